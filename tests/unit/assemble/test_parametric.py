"""Parametric maps: measured values, whether stored as integers or in floating point."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from highdicom.content import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from node.assemble import space
from node.convert import OutputOptions, convert_series, read_folder
from node.convert.series import Conversion
from node.core.errors import Reason
from tests.phantom import save
from tests.unit.assemble.test_labels import PHANTOM, SIZE, images

SLOPE, INTERCEPT = 0.25, -3.0


def parametric(kind: str) -> Dataset:
    columns, rows, slices = SIZE
    stored = np.arange(columns * rows * slices).reshape(slices, rows, columns).astype(kind)
    limits = (0.0, 1e6) if kind.startswith("f") else (0, int(stored.max()))
    mapping = RealWorldValueMapping(
        "ADC", "apparent diffusion", codes.UCUM.SquareMillimeterPerSecond, limits,
        slope=SLOPE, intercept=INTERCEPT,
    )  # fmt: skip
    return ParametricMap(
        images(), stored, generate_uid(), 5, generate_uid(), 1, "Maker", "Model", "1", "2",
        contains_recognizable_visual_features=False, real_world_value_mappings=[mapping],
        voi_lut_transformations=[VOILUTTransformation(100, 200)],
    )  # fmt: skip


def converted(made: Dataset, folder: Path) -> Conversion:
    save([made], folder / "in")
    (series,) = read_folder([folder / "in"])[0]
    (folder / "out").mkdir()
    return convert_series(series.instances, folder / "out", "map", OutputOptions(compress=False))


@pytest.mark.parametrize("kind", ["u2", "f4", "f8"])
def test_each_voxel_has_its_measured_value_at_its_place(tmp_path: Path, kind: str) -> None:
    result = converted(parametric(kind), tmp_path)
    assert not result.refusals
    image = nib.load(tmp_path / "out/map.nii")
    found = np.asarray(image.get_fdata())
    columns, rows, slices = SIZE
    k, row, column = np.mgrid[:slices, :rows, :columns]
    lps = space.to_world(PHANTOM.affine, np.stack([column, row, k], axis=-1).reshape(-1, 3))
    voxels = space.to_voxel(space.ras_to_lps(np.asarray(image.affine, float)), lps)
    at = np.rint(voxels).astype(int)
    assert np.abs(voxels - at).max() < 1e-3
    expected = np.arange(columns * rows * slices) * SLOPE + INTERCEPT
    assert np.array_equal(found[tuple(at.T)], expected)
    assert json.loads((tmp_path / "out/map.json").read_text())["Units"] == "mm2/s"


def test_a_map_without_slope_and_intercept_is_refused(tmp_path: Path) -> None:
    made = parametric("u2")
    for groups in (made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence):
        for group in groups:
            for item in group.get("RealWorldValueMappingSequence", ()):
                del item.RealWorldValueSlope
    (refusal,) = converted(made, tmp_path).refusals
    assert refusal.reason is Reason.UNSUPPORTED_PIXELS
