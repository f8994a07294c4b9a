"""Values that are refused, and derived images whose rescale gives them back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as tried
from hypothesis import strategies as st

from node.convert.results import (
    Form,
    ResultError,
    ResultOptions,
    to_capture,
    to_image,
    to_map,
    to_rtstruct,
    to_seg,
)
from node.convert.results.derived_image import scale_of
from node.convert.results.drawing import sides
from node.convert.results.masks import gathered, numbered, renumbered
from tests.phantom import CT, PET, Phantom
from tests.unit.convert.results.worlds import frame_points, grid_of, reread, voxels

PHANTOM = Phantom()


def values(**changes: Any) -> tuple[Any, Any, Any]:
    phantom = PHANTOM.but(**changes)
    grid = grid_of(phantom)
    return grid, phantom, np.zeros(grid.shape, np.float32)


@pytest.mark.parametrize(
    ("value", "name"),
    [(0.5, "not-integer"), (-1, "not-integer"), (np.nan, "not-finite"), (np.inf, "not-finite"),
     (0, "empty-result"), (3e9, "not-integer")],
)  # fmt: skip
@pytest.mark.parametrize("make", [to_seg, to_rtstruct])
def test_what_is_no_label_is_refused(value: float, name: str, make: Any) -> None:
    grid, phantom, mask = values()
    mask[1, 2, 3] = value
    with pytest.raises(ResultError, match=name):
        make(grid, phantom.instances()[0], mask)


def test_whole_numbers_in_any_type_are_labels() -> None:
    grid, phantom, mask = values()
    mask[1, 2, 3] = 1
    for dtype in (bool, np.int8, np.uint8, np.uint16, np.int32, np.uint64, np.float32, np.float64):
        result = to_seg(grid, phantom.instances()[0], mask.astype(dtype))
        assert result.NumberOfFrames == 1


def test_probabilities_are_from_zero_to_one_and_of_one_label() -> None:
    grid, phantom, mask = values()
    source = phantom.instances()[0]
    for value, name in ((1.5, "out-of-range"), (-0.1, "out-of-range"), (0.001, "empty-result")):
        mask[1, 2, 3] = value
        with pytest.raises(ResultError, match=name):
            to_seg(grid, source, mask, form=Form.FRACTIONAL)
    mask[1, 2, 3] = 0.7
    with pytest.raises(ResultError, match="bad-labels"):
        to_seg(grid, source, mask, [], form=Form.FRACTIONAL)


def test_maps_and_images_need_finite_values_and_maps_a_unit() -> None:
    grid, phantom, mask = values()
    source = phantom.instances()[0]
    for units in ("", "mm 2", "é", "x" * 65):
        with pytest.raises(ResultError, match="out-of-range"):
            to_map(grid, source, mask, units)
    mask[0, 0, 0] = np.nan
    for make in (to_map, to_image):
        with pytest.raises(ResultError, match="not-finite"):
            make(grid, source, mask)
    mask[0, 0, 0] = 1e35
    with pytest.raises(ResultError, match=r"out-of-range: .*--as map"):
        to_image(grid, source, mask)


@given(
    st.floats(-1e6, 1e6), st.floats(1e-9, 1e6), st.integers(0, 99),
    st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
@tried(max_examples=60)
def test_a_rescale_is_within_half_a_step(low: float, wide: float, seed: int, dtype: type) -> None:
    some = (low + wide * np.random.default_rng(seed).random((2, 3, 4))).astype(dtype)
    try:
        scale = scale_of(some)
    except ResultError:  # what lies so close together cannot be said
        assert np.ptp(some) < 2e-5 * abs(low)  # an intercept has 11 digits, half a step 131,070
        return
    stored = np.rint((some.astype(np.float64) - scale.intercept) / scale.slope)
    assert stored.min() >= 0
    assert stored.max() <= 65535
    off = np.abs(stored * scale.slope + scale.intercept - some.astype(np.float64)).max()
    assert off <= scale.slope / 2 + 1e-9 * max(abs(low), wide)
    assert len(f"{scale.slope!r}") <= 24


def test_whole_values_stay_exact() -> None:
    some = np.array([[[-1024, 3071, 17]]])
    assert scale_of(some) == (1.0, -1024.0)
    assert scale_of(some.astype(np.float64)) == (1.0, -1024.0)
    assert scale_of(np.full((1, 2, 2), 0.3))[1] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("source", "expected"),
    [(CT, "1.2.840.10008.5.1.4.1.1.2"), (PHANTOM.sop_class, "1.2.840.10008.5.1.4.1.1.4"),
     ("1.2.840.10008.5.1.4.1.1.20", "1.2.840.10008.5.1.4.1.1.7"),
     (PET, "1.2.840.10008.5.1.4.1.1.7")],
)  # fmt: skip
def test_an_image_has_its_sources_class_where_that_can_be_filled_in(
    source: str, expected: str
) -> None:
    grid, phantom, _ = values(sop_class=source)
    some = np.random.default_rng(2).random(grid.shape) * 100
    made = to_image(grid, phantom.instances()[0], some, ResultOptions(description="Denoised"))
    assert [one.SOPClassUID for one in made] == [expected] * len(grid.frames)
    assert [one.InstanceNumber for one in made] == [1, 2, 3, 4]
    assert len({one.SOPInstanceUID for one in made}) == 4
    for one in map(reread, made):
        assert one.ImageType[0] == "DERIVED"
        assert one.SeriesDescription == "Denoised"
        assert one.PatientName == "Phantom^Test"
        plane = one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept)
        inside = np.ones(plane.shape, bool)
        for point, value in zip(frame_points(one, 0, inside), plane.ravel(), strict=True):
            (at,) = voxels(grid, point[np.newaxis])
            assert abs(some[at] - value) <= float(one.RescaleSlope) / 2 + 1e-9


def test_pet_keeps_what_uptake_is_reckoned_from() -> None:
    said = {
        "SeriesDate": "20260101", "SeriesTime": "101500", "SeriesType": ["STATIC", "IMAGE"],
        "Units": "BQML", "CountsSource": "EMISSION", "DecayCorrection": "START",
        "AcquisitionDate": "20260101", "AcquisitionTime": "101530", "FrameReferenceTime": "7",
    }  # fmt: skip
    grid, phantom, _ = values(sop_class=PET, attributes=said)
    by_uid = {one.SOPInstanceUID: one for one in phantom.instances()}
    some = np.random.default_rng(2).random(grid.shape)
    made = to_image(grid, phantom.instances()[0], some, headers=by_uid.__getitem__)
    assert {one.SOPClassUID for one in made} == {PET}
    assert {(one.SeriesTime, one.Units, one.FrameReferenceTime) for one in made} == {
        ("101500", "BQML", 7)
    }
    assert [one.ImageIndex for one in made] == [1, 2, 3, 4]


def test_captures_show_labels_where_they_are() -> None:
    grid, phantom, mask = values(size=(64, 60, 4))
    mask[20:30, 24:40, 2] = 5
    made = to_capture(grid, phantom.instances()[0], mask.astype(np.uint8), np.ones(grid.shape))
    (one,) = map(reread, made)
    assert one.PhotometricInterpretation == "RGB"
    assert list(one.PatientOrientation) == ["L", "P"]
    (reference,) = one.SourceImageSequence
    k = grid.slices(mask).any(axis=(1, 2)).argmax()
    assert reference.ReferencedSOPInstanceUID == grid.frames[k].sop_instance_uid
    coloured = np.ptp(one.pixel_array.astype(int), axis=2) > 24
    times = one.Rows // phantom.size[1]
    there = np.kron(grid.slices(mask)[k] > 0, np.ones((times, times))) > 0
    assert np.array_equal(coloured, there)


def test_sides_of_the_patient() -> None:
    assert sides(np.array([1.0, 0, 0])) == "L"
    assert sides(np.array([0, -0.8, 0.6])) == "AH"
    assert sides(np.array([0, 0, -1.0])) == "F"
    assert sides(np.array([0, -0.8, 0.6]), quadruped=True) == "VCR"


@pytest.mark.parametrize("most", [3, 300, 70000])
@pytest.mark.parametrize("dtype", [np.int32, np.float64])
def test_numbers_gathered_block_by_block_are_those_of_the_whole(most: int, dtype: type) -> None:
    grid, _, mask = values(size=(20, 18, 9))
    mask = np.random.default_rng(most).integers(0, most, mask.shape).astype(dtype)
    blocks = (mask[:, :, at : at + 2] for at in range(0, mask.shape[2], 2))
    small, said = gathered(blocks, grid.shape)
    assert small.dtype == (np.uint8 if most == 3 else np.uint16)
    found = renumbered(grid.slices(small), said, None)
    whole = numbered(grid, mask, None)
    assert found.labels == whole.labels
    assert np.array_equal(found.numbers, whole.numbers)
