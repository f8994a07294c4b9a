"""What a Segmentation says of all its frames (PS3.3 A.51.3, C.8.20.2, C.7.6.16, C.7.6.17).

highdicom's own class reads a table of 22 MB first, which takes longer than all the frames of a mask
do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import SegmentationStorage

from node.convert.results.grid import SourceGrid
from node.convert.results.options import Form, ResultOptions
from node.convert.results.segmentation.frames import FRACTIONS, bits_of
from node.convert.results.source import numbers, thickness

LABEL_MAP_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.66.7"
"""Label Map Segmentation Storage."""
_BY_SEGMENT: Final = (0x0062000B, 0x0062000A, "Referenced Segment Number")
_BY_PLACE: Final = (0x00200032, 0x00209113, "Image Position Patient")
"""Dimension Index Pointer, Functional Group Pointer and their name (PS3.3 C.7.6.17)."""


def segment_header(
    grid: SourceGrid,
    segments: Sequence[Dataset],
    places: Sequence[tuple[int, int]],
    options: ResultOptions,
    form: Form,
) -> Dataset:
    """Return a Segmentation without frames, patient, study and series.

    Args:
        grid: the volume's grid, and its source frames.
        segments: items of Segment Sequence (0062,0002).
        places: of `Frames`.
        options: what the caller says of it.
        form: which kind of Segmentation.
    """
    header = Dataset()
    whole = form is Form.LABELMAP
    header.SOPClassUID = LABEL_MAP_STORAGE if whole else SegmentationStorage
    header.SOPInstanceUID = options.uid("instance", 1)
    header.InstanceNumber = 1
    header.ImageType = ["DERIVED", "PRIMARY"]
    header.ContentLabel = "SEGMENTATION"
    header.ContentDescription = options.note[:64] or None
    header.FrameOfReferenceUID = grid.frame_of_reference_uid
    header.PositionReferenceIndicator = None
    header.SegmentationType = form.name
    header.SegmentsOverlap = "NO"
    header.SegmentSequence = Items(segments)
    header.PresentationLUTShape = "IDENTITY"
    header.LossyImageCompression = "00"
    _describe_pixels(header, grid, len(segments), form)
    _describe_dimensions(header, options, (_BY_PLACE,) if whole else (_BY_SEGMENT, _BY_PLACE))
    if (whole or len(segments) == 1) and _is_volume(grid, sorted(at for _, at in places)):
        header.DimensionOrganizationType = "3D"
    shared = _shared(grid)
    if not whole and len(segments) == 1:
        one = Dataset()
        one.ReferencedSegmentNumber = 1
        shared.SegmentIdentificationSequence = Items([one])
    header.SharedFunctionalGroupsSequence = Items([shared])
    return header


def _describe_pixels(header: Dataset, grid: SourceGrid, segments: int, form: Form) -> None:
    """Fill in Image Pixel, and what the kind of Segmentation says of its values."""
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.PixelRepresentation = 0
    header.Rows, header.Columns = grid.frames[0].rows, grid.frames[0].columns
    bits = bits_of(form, segments)
    header.BitsAllocated, header.BitsStored, header.HighBit = bits, bits, bits - 1
    if form is Form.FRACTIONAL:
        header.SegmentationFractionalType = "PROBABILITY"
        header.MaximumFractionalValue = FRACTIONS
    if form is Form.LABELMAP:
        header.PixelPaddingValue = 0


def _describe_dimensions(
    header: Dataset, options: ResultOptions, dimensions: Sequence[tuple[int, int, str]]
) -> None:
    uid = options.uid("dimensions")
    organization = Dataset()
    organization.DimensionOrganizationUID = uid
    header.DimensionOrganizationSequence = Items([organization])
    found = []
    for pointer, group, name in dimensions:
        item = Dataset()
        item.DimensionOrganizationUID = uid
        item.DimensionIndexPointer, item.FunctionalGroupPointer = pointer, group
        item.DimensionDescriptionLabel = name
        found.append(item)
    header.DimensionIndexSequence = Items(found)


def _is_volume(grid: SourceGrid, slices: Sequence[int]) -> bool:
    """Tell whether some slices are a block without gaps and shear."""
    if len(slices) < 2:
        return False
    step, _ = hd.spatial.get_volume_positions(
        image_positions=[grid.frames[at].position for at in slices],
        image_orientation=grid.frames[0].orientation,
        sort=False,
    )
    return step is not None


def _shared(grid: SourceGrid) -> Dataset:
    """Return the item of Shared Functional Groups Sequence (5200,9229)."""
    first = grid.frames[0]
    orientation = Dataset()
    orientation.ImageOrientationPatient = numbers(first.orientation)
    measures = Dataset()
    measures.PixelSpacing = numbers(first.spacing)
    measures.SliceThickness = numbers([thickness(grid)])[0]
    # readers take it for the size of a voxel, also of a single slice
    measures.SpacingBetweenSlices = numbers([grid.step or thickness(grid)])[0]
    shared = Dataset()
    shared.PlaneOrientationSequence = Items([orientation])
    shared.PixelMeasuresSequence = Items([measures])
    return shared
