"""Volumes that are written slice by slice are, to the voxel, those that are filled in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import node.assemble.volumes.layers
import node.convert.series
import node.convert.volume
from node.assemble.volumes.layers import blocks, cut
from node.assemble.volumes.preview import PreviewRecorder
from node.convert import InstanceSource, OutputOptions, convert_series, read_folder
from node.convert.planning import plan_series
from node.convert.sources import PixelReader
from node.convert.volume import StreamedVolume, Volume, prepare_volume, read_volume
from node.core.errors import Reason
from tests.files import contents
from tests.phantom import CT, PET, Phantom, oblique, save
from tests.running import shared

SCALES: list[dict[str, Any]] = [
    {},
    {"RescaleSlope": 1, "RescaleIntercept": -1024},
    {"RescaleSlope": 0.5, "RescaleIntercept": 3},
    {"RescaleSlope": 1, "RescaleIntercept": -1024, "BitsStored": 16, "HighBit": 15},
    {"BitsStored": 16, "HighBit": 15},
    {"BitsStored": 15, "HighBit": 14, "RescaleSlope": 1, "RescaleIntercept": 100},
    {"BitsStored": 16, "HighBit": 15, "RescaleSlope": 1, "RescaleIntercept": 40000},
    {
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
    },
    {
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleSlope": 1,
        "RescaleIntercept": -32000,
    },
    {"BitsStored": 16, "HighBit": 15, "RescaleIntercept": 0, "RescaleSlope": None},
]
AXES = [np.eye(3)[:, order] for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1])]


@pytest.fixture(params=[1, 200, 1 << 17])
def block_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One layer at a time, some, and all."""
    monkeypatch.setattr(node.assemble.volumes.layers, "BLOCK_BYTES", request.param)


@pytest.fixture
def nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.convert.volume, "SMALL_BYTES", 0)


def instances(folder: Path) -> tuple[InstanceSource, ...]:
    (series,), strangers = read_folder([folder])
    assert not strangers
    return series.instances


def written(sources: tuple[InstanceSource, ...], folder: Path, options: OutputOptions) -> Any:
    conversion = convert_series(sources, folder, "x", options)
    products = [replace(product, sha256="") for product in conversion.products]
    return replace(conversion, products=tuple(products)), contents(folder)


def in_memory(volume: Any, read: Any, _stock: Any, *, square: bool) -> Volume:
    return read_volume(volume, read, square=square)


def both(
    sources: tuple[InstanceSource, ...], folder: Path, options: OutputOptions
) -> Iterator[Any]:
    """What is written slice by slice, and by way of an array."""
    for name, way in (("streamed", prepare_volume), ("in memory", in_memory)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(node.convert.series, "prepare_volume", way)
            (folder / name).mkdir()
            yield written(sources, folder / name, options)


@pytest.mark.usefixtures("block_bytes", "nothing_is_small")
@given(
    axes=st.sampled_from(AXES),
    flips=st.tuples(*[st.sampled_from([-1, 1])] * 2),
    angles=st.tuples(*[st.floats(-0.3, 0.3)] * 3),
    size=st.tuples(st.integers(2, 9), st.integers(2, 9), st.integers(2, 7)),
    volumes=st.integers(1, 4),
    scale=st.sampled_from(SCALES),
    high=st.booleans(),
    compress=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_no_byte_differs(
    tmp_path_factory: pytest.TempPathFactory,
    axes: Any,
    flips: Any,
    angles: Any,
    size: Any,
    volumes: int,
    scale: dict[str, Any],
    high: bool,
    compress: bool,
) -> None:
    rows, columns = axes[:, 0] * flips[0], axes[:, 1] * flips[1]
    rotation = oblique(angles) @ np.stack([rows, columns, np.cross(rows, columns)], axis=1)
    folder = tmp_path_factory.mktemp("both")
    sop_class = PET if scale.get("RescaleSlope") == 0.5 else CT
    phantom = Phantom(
        rotation=rotation, size=size, volumes=volumes, sop_class=sop_class, attributes=scale
    )
    data_sets = phantom.instances()
    for number, data_set in enumerate(data_sets):
        if scale.get("RescaleSlope", 1) is None:
            data_set.RescaleSlope = number + 1  # whole numbers, another one for each slice
        if high and data_set.BitsStored == 16:
            values = np.frombuffer(data_set.PixelData, "<u2").copy()
            values[0] = 65535  # -1 where it is signed
            data_set.PixelData = values.tobytes()
    save(data_sets, folder / "in")
    flowing, whole = both(instances(folder / "in"), folder, OutputOptions(compress=compress))
    assert flowing == whole
    assert len(flowing[0].products) == 1


def test_axial_slices_flow_and_others_do_not(tmp_path: Path) -> None:
    axial = Phantom(size=(64, 64, 70))
    for name, phantom, kind in (
        ("axial", axial, StreamedVolume),
        ("coronal", axial.but(rotation=AXES[2]), Volume),
        ("small", axial.but(attributes=SCALES[4]), Volume),
        ("unsigned", axial.but(attributes=SCALES[4], size=(512, 512, 65)), StreamedVolume),
    ):
        save(phantom.instances(), tmp_path / name)
        planned, read = plan_series(instances(tmp_path / name), OutputOptions())
        assert type(prepare_volume(planned.volumes[0], read)) is kind


def test_slices_are_read_when_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(Phantom(size=(64, 64, 70)).instances(), tmp_path / "in")
    planned, read = plan_series(instances(tmp_path / "in"), OutputOptions())
    seen: list[str] = []
    plain = PixelReader.__call__
    monkeypatch.setattr(
        PixelReader, "__call__", lambda self, piece: (seen.append(piece.uid), plain(self, piece))[1]
    )
    next(prepare_volume(planned.volumes[0], read).blocks())
    assert len(seen) == (1 << 17) // (64 * 64 * 2)


@pytest.mark.parametrize("image", [True, False])
def test_a_slice_that_cannot_be_read_leaves_nothing_behind(tmp_path: Path, image: bool) -> None:
    save(Phantom(size=(64, 64, 70)).instances(), tmp_path / "in")
    sources = instances(tmp_path / "in")
    sources[60].path.write_bytes(sources[60].path.read_bytes()[:-100])
    (tmp_path / "out").mkdir()
    conversion, files = written(sources, tmp_path / "out", OutputOptions(image=image))
    assert [refusal.reason for refusal in conversion.refusals] == [Reason.PIXELS_TRUNCATED]
    assert not conversion.products
    assert not files


def test_two_that_write_into_one_folder_do_not_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As two `rasnode convert` at once: the second begins and ends in the middle of the first."""
    first, second = (Phantom(size=(64, 64, 70), series=uid) for uid in ("1.2.3", "1.2.4"))
    save(first.instances(), tmp_path / "first")
    save(second.but(origin=(0.0, 0.0, 0.0)).instances(), tmp_path / "second")
    for name in ("first", "second"):
        convert_series(instances(tmp_path / name), tmp_path / "alone", name)
    inner = instances(tmp_path / "second")
    plain, left = PixelReader.__call__, [40]

    def read(self: PixelReader, piece: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            convert_series(inner, tmp_path / "together", "second")
        return plain(self, piece)

    monkeypatch.setattr(PixelReader, "__call__", read)
    convert_series(instances(tmp_path / "first"), tmp_path / "together", "first")
    assert contents(tmp_path / "together") == contents(tmp_path / "alone")


@pytest.mark.parametrize("way", ["streamed", "in memory"])
def test_too_little_memory_is_a_refusal(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    coronal = {"rotation": AXES[2]} if way == "in memory" else {}
    save(Phantom(size=(64, 64, 70)).but(**coronal).instances(), tmp_path / "in")
    sources = instances(tmp_path / "in")
    plain = PixelReader.__call__

    def read(self: PixelReader, piece: Any) -> Any:
        if piece.uid == sources[60].uid:
            raise MemoryError
        return plain(self, piece)

    monkeypatch.setattr(PixelReader, "__call__", read)
    (tmp_path / "out").mkdir()
    conversion, files = written(sources, tmp_path / "out", OutputOptions())
    assert [refusal.reason for refusal in conversion.refusals] == [Reason.UNSUPPORTED_PIXELS]
    assert not files


@pytest.mark.acceptance
@pytest.mark.parametrize(
    "folder", ["ct-gantry-tilt-ge", "philips-classic", "uih-dti", "compressed", "siemens-xa",
               "siemens-mosaic-orientation", "enhanced-multiframe", "pydicom-data"],
)  # fmt: skip
def test_real_series_have_the_same_bytes(tmp_path: Path, folder: str) -> None:
    found = read_folder([shared("corpus") / folder])[0]
    assert found
    for number, series in enumerate(found):
        (tmp_path / str(number)).mkdir()
        flowing, whole = both(series.instances, tmp_path / str(number), OutputOptions())
        assert flowing[1] == whole[1]
        assert [str(one) for one in flowing[0].refusals] == [str(one) for one in whole[0].refusals]


@given(shape=st.tuples(*[st.integers(1, 6)] * 4), block=st.integers(1, 400))
def test_a_glimpse_is_the_same_however_the_layers_come(
    shape: tuple[int, int, int, int], block: int
) -> None:
    array = np.arange(np.prod(shape), dtype="i4").reshape(shape, order="F")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node.assemble.volumes.layers, "BLOCK_BYTES", block)
        recorder = PreviewRecorder(shape, array.dtype)
        parts = [part.copy() for part in recorder.record(cut(array))]
        assert [len(part) for part in blocks(shape, 4)] == [part.shape[2] for part in parts]
        assert np.array_equal(np.concatenate(parts, axis=2).ravel("F"), array.ravel("F"))
        times = sorted({0, shape[3] // 2})
        for preview, t in zip(recorder.previews(), times, strict=True):
            i, j, k = (count // 2 for count in shape[:3])
            volume = array[..., t]
            assert np.array_equal(preview.planes[0], volume[:, :, k])
            assert np.array_equal(preview.planes[1], volume[:, j, :])
            assert np.array_equal(preview.planes[2], volume[i, :, :])
