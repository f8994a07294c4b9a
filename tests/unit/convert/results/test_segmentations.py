"""A Segmentation is what highdicom makes of the same mask, and what highdicom reads is the mask."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import Any

import highdicom as hd
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import Phase, given
from hypothesis import settings as tried
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.convert.results import Form, SourceGrid, to_seg
from node.convert.results.source import finished, refer, stand_ins
from node.lifecycle.results.kept import encode
from tests.phantom import Phantom
from tests.unit.convert.results.test_round_trip import geometries
from tests.unit.convert.results.worlds import grid_of, reread

OF_THE_SOURCE = {
    "SpecificCharacterSet", "InstanceCreationDate", "InstanceCreationTime", "ContentDate",
    "ContentTime", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "PatientName",
    "Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions",
    "ContributingEquipmentSequence", "DimensionOrganizationSequence", "DimensionIndexSequence",
    "SegmentSequence",
}  # fmt: skip
"""What `describe` says, UIDs that differ in each object, and what the labels are called."""


def numbers(shape: tuple[int, ...], seed: int, most: int) -> npt.NDArray[np.uint16]:
    """Segment numbers from 1, each of which is there, on some of the slices."""
    chance = np.random.default_rng(seed)
    found = chance.integers(0, most + 1, shape).astype(np.uint16)
    found *= chance.random(shape) < 0.3
    found[:, :, chance.random(shape[2]) < 0.3] = 0
    found.ravel()[chance.permutation(found.size)[:most]] = np.arange(1, most + 1)
    return found


def by_highdicom(grid: SourceGrid, pixels: npt.NDArray[Any], form: Form, most: int) -> Dataset:
    """The Segmentation that highdicom makes, with the references of ours."""
    code = hd.sr.CodedConcept("85756007", "SCT", "Tissue")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = hd.seg.Segmentation(
            source_images=stand_ins(grid),
            pixel_array=pixels,
            segmentation_type=hd.seg.SegmentationTypeValues[form.name],
            segment_descriptions=[
                hd.seg.SegmentDescription(number, f"Label {number}", code, code, "MANUAL")
                for number in range(1, most + 1)
            ],
            series_instance_uid=hd.UID(),
            series_number=1,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="",
            manufacturer_model_name="",
            software_versions="",
            device_serial_number="",
            max_fractional_value=255,
            content_label="SEGMENTATION",
        )
    result = finished(made)
    refer(result, grid)
    if len(grid.frames) == 1:  # highdicom says 1 mm then, and readers take that for its thickness
        (measures,) = result.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
        measures.SpacingBetweenSlices = measures.SliceThickness
    result.LossyImageCompression = "00"
    bits = result.NumberOfFrames * result.Rows * result.Columns * result.BitsAllocated
    if bits % 16 and bits % 16 <= 8:  # highdicom pads with the character 0
        result.PixelData = result.PixelData[:-1] + b"\0"
    return reread(result)


def assert_same(ours: Dataset, theirs: Dataset) -> None:
    compared = 0
    for element in theirs:
        if element.keyword not in OF_THE_SOURCE:
            assert ours[element.tag] == element
            assert ours[element.tag].VR == element.VR
            compared += 1
    assert compared > 25
    tags = [item.DimensionIndexPointer for item in theirs.DimensionIndexSequence]
    assert [item.DimensionIndexPointer for item in ours.DimensionIndexSequence] == tags
    groups = [item.FunctionalGroupPointer for item in theirs.DimensionIndexSequence]
    assert [item.FunctionalGroupPointer for item in ours.DimensionIndexSequence] == groups


@given(
    geometries, st.integers(0, 999), st.sampled_from([1, 2, 5]),
    st.sampled_from([Form.BINARY, Form.LABELMAP]),
)  # fmt: skip
@tried(max_examples=60, phases=(Phase.explicit, Phase.reuse, Phase.generate))
def test_masks_are_written_as_highdicom_writes_them(
    phantom: Phantom, seed: int, most: int, form: Form
) -> None:
    grid = grid_of(phantom)
    mask = numbers(grid.shape, seed, most)
    ours = to_seg(grid, phantom.instances()[0], mask, form=form)
    theirs = by_highdicom(grid, grid.slices(mask), form, most)
    assert_same(reread(ours), theirs)


@given(geometries, st.integers(0, 999))
@tried(max_examples=20, phases=(Phase.explicit, Phase.reuse, Phase.generate))
def test_probabilities_are_written_as_highdicom_writes_them(phantom: Phantom, seed: int) -> None:
    grid = grid_of(phantom)
    chance = np.random.default_rng(seed).random(grid.shape)
    values = (np.rint(chance * 255) / 255 * numbers(grid.shape, seed, 1)).astype(np.float32)
    values[0, 0, 0] = 1
    ours = reread(to_seg(grid, phantom.instances()[0], values, form=Form.FRACTIONAL))
    assert_same(ours, by_highdicom(grid, grid.slices(values), Form.FRACTIONAL, 1))


@pytest.mark.parametrize("form", [Form.BINARY, Form.LABELMAP])
@pytest.mark.parametrize("most", [1, 255, 256, 300])
def test_highdicom_reads_every_segment_back(form: Form, most: int) -> None:
    phantom = Phantom(size=(13, 11, 6))
    grid = grid_of(phantom)
    mask = numbers(grid.shape, 5, most)
    made = to_seg(grid, phantom.instances()[0], mask, form=form)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = hd.seg.segread(BytesIO(encode(made)))
        volume = read.get_volume(combine_segments=True, allow_missing_positions=True)
    slices = grid.slices(mask)
    there = np.flatnonzero(slices.any(axis=(1, 2)))
    # highdicom's volumes run against the order of the grid, from the first slice with a segment on
    assert np.array_equal(volume.array[::-1], slices[there[0] : there[-1] + 1])


def test_frames_of_few_pixels_are_packed_without_gaps() -> None:
    phantom = Phantom(size=(1, 3, 5))
    grid = grid_of(phantom)
    mask = np.zeros(grid.shape, np.uint8)
    mask[0, :, 0], mask[0, 1, 2], mask[0, 2, 4] = 1, 1, 1
    result = reread(to_seg(grid, phantom.instances()[0], mask))
    expected = [one for one in grid.slices(mask)[::-1] if one.any()]
    assert np.array_equal(result.pixel_array, expected)
    assert result.PixelData[2:] == b""


def test_an_object_that_was_looked_at_is_written_as_before() -> None:
    phantom = Phantom()
    grid = grid_of(phantom)
    made = to_seg(grid, phantom.instances()[0], numbers(grid.shape, 1, 3))
    before = encode(made)
    (item,) = made.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence
    assert len(item.ImagePositionPatient) == 3
    assert encode(made) == before
    assert dcmread(BytesIO(before)) == dcmread(BytesIO(encode(made)))
