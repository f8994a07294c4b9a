"""The quality of 4D MR is measured while it is converted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from node.convert import Conversion, OutputOptions, convert_series, read_folder
from tests.phantom import CT, Phantom, save

SIZE = (24, 22, 10)


def run(volumes: int = 12, **more: object) -> list[Dataset]:
    """A blob that moves 1 mm along R in every second volume, with one bad slice."""
    phantom = Phantom(volumes=volumes, size=SIZE, spacing=(2.0, 2.0, 3.0), **more)  # type: ignore[arg-type]
    middle = phantom.affine[:3] @ [*((np.array(SIZE) - 1) / 2), 1]
    chance = np.random.default_rng(0)
    made = phantom.instances()
    for one in made:
        t, k = divmod(made.index(one), SIZE[2])
        places = phantom.positions(k) - middle + [1.0 * (t % 2), 0, 0]  # LPS: R is -x
        ratio = np.linalg.norm(places / [14, 13, 11], axis=-1)
        values = 2000 / (1 + np.exp((ratio - 1) * 8)) + 300 + chance.normal(0, 3, ratio.shape)
        if (t, k) == (6, 4):
            values = values * 0.5
        one.PixelData = np.asarray(values, np.uint16).tobytes()
    return made


def converted(datasets: list[Dataset], folder: Path, *, compress: bool = True) -> Conversion:
    save(datasets, folder / "in")
    (series,) = read_folder([folder / "in"])[0]
    options = OutputOptions(quality=True, compress=compress)
    return convert_series(series.instances, folder / "out", "v", options)


@pytest.mark.parametrize("compress", [True, False])
def test_motion_tsnr_and_spikes_are_beside_the_volume(compress: bool, tmp_path: Path) -> None:
    (product,) = converted(run(), tmp_path, compress=compress).products
    assert product.files[-3:] == ("v.quality.json", "v.tsnr.png", "v.manifest.json")
    fields = json.loads((tmp_path / "out/v.quality.json").read_text())
    along = np.array(fields["motion"]["translation_mm"])
    assert np.allclose(along[1::2], [1.0, 0, 0], atol=0.1)
    assert np.allclose(along[[2, 4, 8, 10]], 0, atol=0.1)
    assert [(one["t"], one["k"]) for one in fields["spikes"]["slices"]] == [(6, 4)]
    assert fields["tsnr"]["median"] > 10
    assert fields["tsnr"]["white"] >= fields["tsnr"]["percentile_95"]
    with Image.open(tmp_path / "out/v.tsnr.png") as picture:
        levels = np.asarray(picture.convert("L"))
    assert np.percentile(levels, 99) > 150  # the head is bright
    assert np.median(levels) == 0  # what is outside the mask is not shown
    assert product.quality is not None
    ways = fields["motion"]["framewise_displacement"]
    assert ways["median_mm"] == pytest.approx(1.0, abs=0.2)  # rotations of so small a head
    assert product.quality["fd_max_mm"] == ways["max_mm"]
    assert product.quality["fd_above_limit"] == 11
    assert product.quality["volumes"] == 12


def test_short_series_other_modalities_and_diffusion_are_not_measured(tmp_path: Path) -> None:
    weighted = run()
    for one in weighted:
        one.DiffusionBValue = 1000.0 if one.TemporalPositionIdentifier > 1 else 0.0
    for number, made in enumerate((run(9), run(sop_class=CT), weighted)):
        for product in converted(made, tmp_path / str(number)).products:
            assert product.quality is None
            assert not [name for name in product.files if "quality" in name]


def test_a_volume_is_written_even_if_it_cannot_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("node.convert.quality.SignalRecorder", fail)
    (product,) = converted(run(), tmp_path).products
    assert product.quality is None
    assert (tmp_path / "out/v.nii.gz").exists()
