"""A mask that went out as DICOM lies where it lay, whatever the source's geometry."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import Phase, given
from hypothesis import settings as tried
from hypothesis import strategies as st
from nibabel.orientations import apply_orientation, inv_ornt_aff

from node.convert.results import Form, Label, to_map, to_rtstruct, to_seg
from tests.phantom import CT, MR, Phantom, oblique
from tests.unit.convert.results.worlds import frame_points, grid_of, reread, voxels, where

LABELS = [Label(3, "Liver", (200, 10, 10)), Label(7, "Spleen"), Label(900, "Kidney left")]
angles = st.tuples(*[st.floats(-3.1, 3.1)] * 3)
geometries = st.builds(
    Phantom,
    rotation=angles.map(oblique),
    spacing=st.tuples(*[st.sampled_from([0.4, 1.0, 2.37, 5.5])] * 3),
    origin=st.tuples(*[st.floats(-300, 300).map(lambda value: round(value, 3))] * 3),
    size=st.tuples(st.integers(3, 7), st.integers(3, 6), st.integers(1, 5)),
    shear=st.sampled_from([0.0, 0.0, 1.7]),
    sop_class=st.sampled_from([CT, MR]),
)
orders = st.tuples(st.permutations([0, 1, 2]), st.tuples(*[st.sampled_from([1, -1])] * 3))


def masked(shape: tuple[int, ...], seed: int) -> npt.NDArray[np.int16]:
    """Labels here and there; at least one."""
    chosen = np.random.default_rng(seed).choice([0, 0, 0, 3, 7, 900], shape).astype(np.int16)
    chosen[0, 0, 0] = 3
    return chosen


@given(geometries, orders, st.integers(0, 99), st.sampled_from([Form.BINARY, Form.LABELMAP]))
@tried(max_examples=40, phases=(Phase.explicit, Phase.reuse, Phase.generate))
def test_a_segmentation_has_each_voxel_at_its_place(
    phantom: Phantom,
    order: tuple[list[int], tuple[int, ...]],
    seed: int,
    form: Form,
) -> None:
    grid = grid_of(phantom)
    mask = masked(grid.shape, seed)
    # As a tool might have stored it: its axes in another order and direction.
    turn = np.column_stack([np.array(order[0], float), np.array(order[1], float)])
    stored = apply_orientation(mask, turn)
    affine = grid.affine @ inv_ornt_aff(turn, grid.shape)
    placed = grid.placed(stored, grid.fit(affine, stored.shape))
    assert np.array_equal(placed, mask)
    instance = phantom.instances()[0]
    result = reread(to_seg(grid, instance, placed, LABELS, form=form))
    pixels = result.pixel_array.reshape(-1, result.Rows, result.Columns)
    numbers = {
        item.get("SegmentDescription"): item.SegmentNumber for item in result.SegmentSequence
    }
    sources = {one.SOPInstanceUID: one for one in phantom.instances()}
    for value in (3, 7, 900):
        found: set[tuple[int, ...]] = set()
        for at, group in enumerate(result.PerFrameFunctionalGroupsSequence):
            number = numbers.get(f"label {value}")
            if form is Form.BINARY:
                shared = result.SharedFunctionalGroupsSequence[0]
                holder = group if "SegmentIdentificationSequence" in group else shared
                said = holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber
                inside = pixels[at].astype(bool) & (said == number)
            else:
                inside = pixels[at] == (number or -1)
            assert form is Form.LABELMAP or pixels[at].any()
            found |= voxels(grid, frame_points(result, at, inside))
            (reference,) = group.DerivationImageSequence[0].SourceImageSequence
            source = sources[reference.ReferencedSOPInstanceUID]
            assert np.allclose(
                source.ImagePositionPatient, group.PlanePositionSequence[0].ImagePositionPatient
            )
        assert found == where(mask == value)


@given(geometries, st.integers(0, 99))
@tried(max_examples=15)
def test_contours_filled_again_are_the_mask(phantom: Phantom, seed: int) -> None:
    grid = grid_of(phantom)
    mask = masked(grid.shape, seed)
    result = reread(to_rtstruct(grid, phantom.instances()[0], mask, LABELS))
    lps = np.linalg.inv(phantom.affine)
    regions = {one.ROINumber: one.ROIDescription for one in result.StructureSetROISequence}
    for region in result.ROIContourSequence:
        expected = grid.slices(mask) == int(regions[region.ReferencedROINumber].split()[1])
        filled = np.zeros_like(expected)
        for contour in region.ContourSequence:
            points = np.reshape(np.array(contour.ContourData, float), (-1, 3))
            voxels = points @ lps[:3, :3].T + lps[:3, 3]
            k = round(float(voxels[0, 2]))
            assert np.abs(voxels[:, 2] - k).max() < 1e-3
            filled[k] ^= even_odd(voxels[:, :2], expected.shape[1:])
            uid = contour.ContourImageSequence[0].ReferencedSOPInstanceUID
            assert uid == phantom.instance(k).SOPInstanceUID
        assert np.array_equal(filled, expected)


def even_odd(corners: npt.NDArray[np.float64], size: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Pixel centres inside a polygon of (column, row) corners."""
    inside = np.zeros(size, bool)
    following = np.roll(corners, -1, axis=0)
    for row in range(size[0]):
        for column in range(size[1]):
            crossed = 0
            for (x, y), (u, v) in zip(corners, following, strict=True):
                if (y > row) != (v > row) and x + (row - y) * (u - x) / (v - y) > column:
                    crossed += 1
            inside[row, column] = crossed % 2 == 1
    return inside


@given(geometries, st.sampled_from([np.float32, np.float64, np.int16]))
@tried(max_examples=15)
def test_a_map_has_each_value_at_its_place(phantom: Phantom, dtype: type) -> None:
    grid = grid_of(phantom)
    values = np.random.default_rng(5).normal(size=grid.shape) * 1000
    values = values.astype(dtype)
    result = reread(to_map(grid, phantom.instances()[0], values, "mm2/s"))
    kind, raw = (
        ("<f8", result.DoubleFloatPixelData)
        if "DoubleFloatPixelData" in result
        else ("<f4", result.FloatPixelData)
    )
    assert (kind == "<f8") == (dtype is np.float64)
    stored = np.frombuffer(raw, kind).reshape(-1, result.Rows, result.Columns)
    assert len(stored) == len(grid.frames)
    seen: set[tuple[int, ...]] = set()
    for number, plane in enumerate(stored):
        for point, value in zip(
            frame_points(result, number, np.ones(plane.shape, bool)), plane.ravel(), strict=True
        ):
            (at,) = voxels(grid, point[np.newaxis])
            assert values[at] == value
            seen.add(at)
    assert seen == where(np.ones(grid.shape))


def test_fractions_are_kept_to_a_step() -> None:
    phantom = Phantom()
    grid = grid_of(phantom)
    values = np.random.default_rng(1).random(grid.shape)
    result = reread(to_seg(grid, phantom.instances()[0], values, [LABELS[0]], form=Form.FRACTIONAL))
    assert (result.SegmentationType, result.MaximumFractionalValue) == ("FRACTIONAL", 255)
    frames = {tuple(frame.position): plane for frame, plane in
              zip(grid.frames, grid.slices(values), strict=True)}  # fmt: skip
    for plane, group in zip(
        result.pixel_array, result.PerFrameFunctionalGroupsSequence, strict=True
    ):
        expected = frames[tuple(map(float, group.PlanePositionSequence[0].ImagePositionPatient))]
        assert np.abs(plane / 255 - expected).max() <= 0.5 / 255 + 1e-7
    assert result.SegmentSequence[0].SegmentLabel == "Liver"


@pytest.mark.parametrize("form", list(Form))
def test_the_same_seed_makes_the_same_object(form: Form) -> None:
    from datetime import UTC, datetime

    from node.convert.results import ResultOptions
    from node.lifecycle.results.kept import encode

    phantom = Phantom()
    grid = grid_of(phantom)
    mask = (masked(grid.shape, 1) > 0).astype(np.uint8)
    options = ResultOptions(seed="a", made_at=datetime(2026, 1, 2, tzinfo=UTC))
    other = ResultOptions(seed="b", made_at=datetime(2026, 1, 2, tzinfo=UTC))
    made = [
        encode(to_seg(grid, phantom.instances()[0], mask, None, one, form=form))
        for one in (options, options, other)
    ]
    assert made[0] == made[1] != made[2]
