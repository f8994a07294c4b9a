"""Geometry's hard cases: tilt, uneven steps, gaps, and patients who lie otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.assemble import space
from node.assemble.series import plan
from node.assemble.volumes.regrid import EVENED, SQUARED
from node.convert import OutputOptions, convert_series, read_folder
from node.convert.series import Conversion
from node.core.errors import Reason
from tests.phantom import CT, Phantom, oblique, save
from tests.unit.assemble.build import changed, headers


def ramp(phantom: Phantom, k: int) -> Any:
    """A slice whose values are linear in the world, so that interpolation is exact."""
    dataset = phantom.instance(k)
    x, y, z = np.moveaxis(phantom.positions(k), -1, 0)
    values = np.rint(1000 + x * 2 + y * 3 + z * 10).astype(np.uint16)
    dataset.add_new(0x7FE00010, "OW", values.tobytes())
    return dataset


def converted(
    datasets: list[Any], folder: Path, **options: bool
) -> tuple[Conversion, dict[str, Any]]:
    save(datasets, folder / "in")
    (series,) = read_folder([folder / "in"])[0]
    chosen = OutputOptions(compress=False, **options)  # type: ignore[arg-type]
    result = convert_series(series.instances, folder, "one", chosen)
    manifest = folder / "one.manifest.json"
    return result, msgspec.json.decode(manifest.read_bytes()) if manifest.exists() else {}


def check_ramp(path: Path, tolerance: float) -> None:
    image = nib.load(path)
    data = np.asanyarray(image.dataobj).astype(float)
    voxels = np.stack(np.indices(data.shape), axis=-1)
    lps = space.to_world(space.lps_to_ras(np.asarray(image.affine, float)), voxels)
    expected = 1000 + lps[..., 0] * 2 + lps[..., 1] * 3 + lps[..., 2] * 10
    inside = data > 0
    assert inside.mean() > 0.5
    assert np.abs(data - expected)[inside].max() <= tolerance


@pytest.mark.parametrize("shear", [-1.3, 1.3])
def test_tilt_is_kept_exactly_and_said(tmp_path: Path, shear: float) -> None:
    phantom = Phantom(sop_class=CT, shear=shear, size=(9, 12, 6))
    _, manifest = converted([ramp(phantom, k) for k in range(6)], tmp_path)
    assert manifest["sheared"] is True
    assert manifest["resampled"] == []
    assert manifest["residual_mm"] < 1e-6
    check_ramp(tmp_path / "one.nii", 1)


@pytest.mark.parametrize("shear", [-1.3, 1.3])
def test_tilt_is_squared_on_request(tmp_path: Path, shear: float) -> None:
    phantom = Phantom(sop_class=CT, shear=shear, size=(9, 12, 6))
    made = [ramp(phantom, k) for k in range(6)]
    _, manifest = converted(made, tmp_path, resample_tilt=True)
    assert manifest["sheared"] is False
    assert manifest["resampled"] == [SQUARED]
    image = nib.load(tmp_path / "one.nii")
    assert space.voxel_sizes(image.affine) == pytest.approx((1.5, 2.0, 3.0))
    data, affine = np.asanyarray(image.dataobj).astype(float), np.asarray(image.affine, float)
    voxels = np.stack(np.indices(data.shape), axis=-1)
    world = space.to_world(affine, voxels)
    source = space.to_voxel(space.lps_to_ras(phantom.affine), world)
    inside = ((source >= 0) & (source <= np.array([8, 11, 5]))).all(axis=-1)
    lps = world * [-1, -1, 1]
    expected = 1000 + lps[..., 0] * 2 + lps[..., 1] * 3 + lps[..., 2] * 10
    assert inside.mean() > 0.4
    assert np.abs(data - expected)[inside].max() <= 1.5


def test_squaring_leaves_a_square_volume_as_it_is(tmp_path: Path) -> None:
    phantom = Phantom(sop_class=CT, rotation=oblique((0.2, 0.3, 0.1)))
    _, manifest = converted(phantom.instances(), tmp_path, resample_tilt=True)
    assert manifest["resampled"] == []


def uneven() -> list[Any]:
    phantom = Phantom(sop_class=CT, spacing=(1.5, 2.0, 0.5), size=(6, 5, 20))
    return [ramp(phantom, k) for k in (0, 4, 8, 11, 15, 19)]


def test_uneven_steps_are_refused_with_the_measured_positions(tmp_path: Path) -> None:
    (error,) = plan(headers(uneven())).refusals
    assert error.reason is Reason.UNEQUAL_SPACING
    assert "12.000, 14.000, 16.000, 17.500, 19.500, 21.500 mm" in error.sentence
    result, _ = converted(uneven(), tmp_path)
    assert not result.products


@pytest.mark.parametrize("upside_down", [False, True])
def test_uneven_steps_are_interpolated_on_request(tmp_path: Path, upside_down: bool) -> None:
    made = uneven()
    if upside_down:
        for dataset in made:  # rows from right to left: the normal points down
            dataset.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
            x, y, z = dataset.ImagePositionPatient
            dataset.ImagePositionPatient = [x + 1.5 * 5, y, z]
            values = np.frombuffer(dataset.PixelData, np.uint16).reshape(5, 6)[:, ::-1]
            dataset.add_new(0x7FE00010, "OW", values.tobytes())
    _, manifest = converted(made, tmp_path, resample_unequal=True)
    assert manifest["resampled"] == [EVENED]
    assert manifest["shape"] == [6, 5, 7]
    assert manifest["residual_mm"] < 1e-6
    check_ramp(tmp_path / "one.nii", 1)
    places = [source["k"] for source in manifest["sources"]]
    assert places == sorted(places)
    affine = np.array(manifest["affine"])
    heights = [float((affine @ [0, 0, k, 1])[2]) for k in places]
    assert heights == pytest.approx([12, 14, 16, 17.5, 19.5, 21.5])


def test_a_gap_is_named_and_never_filled(tmp_path: Path) -> None:
    made = Phantom(size=(6, 5, 8)).instances()
    del made[3]
    for even_out in (False, True):
        (error,) = plan(headers(made), even_out=even_out).refusals
        assert error.reason is Reason.MISSING_SLICE
        assert "Slices missing: 1, at 21.000 mm" in error.sentence


def test_mostly_invented_slices_are_refused_even_on_request() -> None:
    made = Phantom(size=(6, 5, 8), spacing=(1.5, 2.0, 3.0)).instances()
    x, y, z = made[4].ImagePositionPatient
    made[4].ImagePositionPatient = [x, y, z + 2.9]
    (error,) = plan(headers(made), even_out=True).refusals
    assert error.reason is Reason.UNEQUAL_SPACING


def test_two_stacks_in_one_series_are_two_volumes() -> None:
    made = Phantom().instances()
    for dataset in Phantom(rotation=oblique((0.2, 0, 0))).instances():
        made.append(changed(dataset, SOPInstanceUID=dataset.SOPInstanceUID + ".5"))
    result = plan(headers(made))
    assert [volume.shape for volume in result.volumes] == [(6, 5, 4)] * 2
    assert not result.refusals


def test_mixed_sizes_are_two_volumes() -> None:
    made = Phantom().instances()
    for dataset in Phantom(size=(7, 5, 4)).instances():
        made.append(changed(dataset, SOPInstanceUID=dataset.SOPInstanceUID + ".5"))
    assert {volume.shape for volume in plan(headers(made)).volumes} == {(6, 5, 4), (7, 5, 4)}


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"Rows": 4}, Reason.INCONSISTENT_FRAMES),
        ({"PixelSpacing": [1, 3]}, Reason.INCONSISTENT_FRAMES),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, Reason.MIXED_ORIENTATIONS),
    ],
)
def test_one_image_that_contradicts_the_others_is_refused(
    attributes: dict[str, object], reason: Reason
) -> None:
    made = Phantom(size=(6, 5, 6)).instances()
    changed(made[2], **attributes)
    result = plan(headers(made))
    assert not result.volumes
    assert sorted(error.reason for error in result.refusals) == sorted(
        [reason, Reason.MISSING_SLICE]
    )
    (named,) = (error for error in result.refusals if error.reason is reason)
    assert named.instances == (made[2].SOPInstanceUID,)


@pytest.mark.parametrize("end", [0, -1])
def test_an_image_of_other_size_at_an_end_is_refused_and_the_rest_made(end: int) -> None:
    made = Phantom(size=(6, 5, 6)).instances()
    changed(made[end], Rows=4)
    result = plan(headers(made))
    assert [volume.shape for volume in result.volumes] == [(6, 5, 5)]
    assert [error.reason for error in result.refusals] == [Reason.INCONSISTENT_FRAMES]


def test_a_view_beside_a_whole_stack_is_a_volume_of_its_own() -> None:
    """As localizers have it: another direction, and nothing of the stack is missing."""
    made = Phantom(size=(6, 5, 6)).instances()
    (view,) = Phantom(size=(6, 5, 1), rotation=oblique((1.5, 0, 0))).instances()
    made.append(changed(view, SOPInstanceUID=view.SOPInstanceUID + ".5"))
    result = plan(headers(made))
    assert not result.refusals
    assert sorted(volume.shape for volume in result.volumes) == [(6, 1, 5), (6, 5, 6)]


def test_no_position_no_volume() -> None:
    made = [changed(one, ImagePositionPatient=None) for one in Phantom().instances()]
    result = plan(headers(made))
    assert not result.volumes
    assert [error.reason for error in result.refusals] == [Reason.NO_GEOMETRY]


PATIENTS = {  # directions of increasing columns and rows in LPS (PS3.3 C.7.3.1.1.2)
    "HFS": [1, 0, 0, 0, 1, 0],
    "HFP": [-1, 0, 0, 0, -1, 0],
    "FFS": [-1, 0, 0, 0, 1, 0],
    "FFP": [1, 0, 0, 0, -1, 0],
    "HFDR": [0, -1, 0, 1, 0, 0],
    "HFDL": [0, 1, 0, -1, 0, 0],
    "FFDR": [0, 1, 0, 1, 0, 0],
    "FFDL": [0, -1, 0, -1, 0, 0],
}


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(sorted(PATIENTS)), st.tuples(*[st.floats(-0.2, 0.2)] * 3))
def test_however_the_patient_lies_the_array_is_ras(
    position: str, turned: tuple[float, float, float]
) -> None:
    row, column = np.reshape(PATIENTS[position], (2, 3)).astype(float)
    axes = oblique(turned) @ np.stack([row, column, np.cross(row, column)], axis=1)
    phantom = Phantom(rotation=axes, attributes={"PatientPosition": position})
    (volume,) = plan(headers(phantom.instances())).volumes
    assert nib.aff2axcodes(volume.affine) == ("R", "A", "S")
    for k, piece in enumerate(volume.grid[0]):
        placed = phantom.affine @ [0, 0, k, 1]
        assert piece.frame.position == pytest.approx(placed[:3].tolist(), abs=1e-6)
