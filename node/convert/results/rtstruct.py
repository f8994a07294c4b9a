"""Masks to RT Structure Sets: closed contours on the source planes (PS3.3 A.19, C.8.8.5-8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import RTStructureSetStorage

from node.assemble.space import Array, to_world
from node.convert.results.contours import outlines
from node.convert.results.grid import SourceFrame, SourceGrid
from node.convert.results.labels import Label
from node.convert.results.masks import Mask, numbered
from node.convert.results.options import ResultOptions
from node.convert.results.source import (
    describe,
    finished,
    frame_reference,
    instance_references,
)

_STUDY_CLASS: Final = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management (retired), by which RT objects refer to a study (PS3.3 C.8.8.5.1)."""


def to_rtstruct(
    grid: SourceGrid,
    source: Dataset,
    mask: Mask,
    labels: Sequence[Label] | None = None,
    options: ResultOptions | None = None,
) -> Dataset:
    """Make an RT Structure Set of a mask.

    Contours run along the edges of pixels, so that filling them gives the mask back. Holes are
    joined to the contour around them (keyhole).

    Args:
        grid: the volume's grid, and its source frames.
        source: the data set of an instance of the series; its pixels are not needed.
        mask: (i, j, k) on the grid, RAS order: label numbers, 0 is no label.
        labels: what the numbers mean; None: `Label N`.
        options: what the caller says of it.

    Raises:
        ResultError: by the names of `Refusal`.
    """
    options = options or ResultOptions()
    slices, present = numbered(grid, mask, labels)
    result = Dataset()
    result.SOPClassUID = RTStructureSetStorage
    result.SOPInstanceUID = options.uid("instance", 1)
    describe(result, source, options, "Structures", "RTSTRUCT")
    for keyword in ("ContentDate", "ContentTime", "PatientPosition"):
        result.pop(keyword, None)
    result.InstanceNumber = 1
    result.OperatorsName = None
    result.FrameOfReferenceUID = grid.frame_of_reference_uid
    result.PositionReferenceIndicator = source.get("PositionReferenceIndicator", "")
    result.StructureSetLabel = "RESULT"
    result.StructureSetName = result.SeriesDescription
    if options.note:
        result.StructureSetDescription = options.note
    result.StructureSetDate = result.InstanceCreationDate
    result.StructureSetTime = result.InstanceCreationTime
    result.ApprovalStatus = "UNAPPROVED"
    result.ReferencedFrameOfReferenceSequence = Items([_referenced(grid)])
    algorithm = "MANUAL" if options.algorithm is None else "AUTOMATIC"
    regions, contours, observations = [], [], []
    for number, label in enumerate(present, 1):
        regions.append(_region(number, label, grid, options, algorithm))
        contours.append(_contours(number, label, grid, slices))
        observations.append(_observation(number, label))
    result.StructureSetROISequence = Items(regions)
    result.ROIContourSequence = Items(contours)
    result.RTROIObservationsSequence = Items(observations)
    return finished(result)


def _referenced(grid: SourceGrid) -> Dataset:
    """Return the item of Referenced Frame of Reference Sequence: study, series, every image."""
    series = Dataset()
    series.SeriesInstanceUID = grid.series_instance_uid
    series.ContourImageSequence = Items(_images(grid.frames))
    study = Dataset()
    study.ReferencedSOPClassUID = _STUDY_CLASS
    study.ReferencedSOPInstanceUID = grid.study_instance_uid
    study.RTReferencedSeriesSequence = Items([series])
    item = Dataset()
    item.FrameOfReferenceUID = grid.frame_of_reference_uid
    item.RTReferencedStudySequence = Items([study])
    return item


def _images(frames: Sequence[SourceFrame]) -> list[Dataset]:
    """Return an item for each instance; a multi-frame one with the numbers of its frames."""
    found = instance_references(frames)
    for item in found:
        uid = item.ReferencedSOPInstanceUID
        used = [frame.frame for frame in frames if frame.sop_instance_uid == uid]
        if used[0] is not None:
            item.ReferencedFrameNumber = sorted(set(used))
    return found


def _region(
    number: int, label: Label, grid: SourceGrid, options: ResultOptions, algorithm: str
) -> Dataset:
    item = Dataset()
    item.ROINumber = number
    item.ReferencedFrameOfReferenceUID = grid.frame_of_reference_uid
    item.ROIName = label.name
    item.ROIDescription = f"label {label.value}"
    item.ROIGenerationAlgorithm = algorithm
    if options.algorithm is not None:
        item.ROIGenerationDescription = " ".join(options.algorithm)[:1024]
    return item


def _observation(number: int, label: Label) -> Dataset:
    item = Dataset()
    item.ObservationNumber = number
    item.ReferencedROINumber = number
    item.ROIObservationLabel = label.name[:16]
    item.RTROIInterpretedType = ""
    item.ROIInterpreter = ""
    return item


def _contours(number: int, label: Label, grid: SourceGrid, slices: Array) -> Dataset:
    item = Dataset()
    item.ROIDisplayColor = list(label.shown(number - 1))
    item.ReferencedROINumber = number
    found = [
        _contour(frame, points)
        for frame, plane in zip(grid.frames, slices, strict=True)
        for points in _polygons(plane == number)
    ]
    for contour_number, contour in enumerate(found, 1):
        contour.ContourNumber = contour_number
    item.ContourSequence = Items(found)
    return item


def _polygons(mask: Array) -> Iterator[Array]:
    """Yield the outlines of a slice, looked for only where there is something."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return
    columns = np.flatnonzero(mask.any(axis=0))
    top, left = rows[0], columns[0]
    part = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    for points in outlines(part):
        yield points + np.array([left, top])


def _contour(frame: SourceFrame, points: Array) -> Dataset:
    """Return an item of Contour Sequence.

    Args:
        frame: whose plane the contour lies on.
        points: (n, 2) column and row, in pixels.
    """
    world = to_world(frame.lps, np.column_stack([points, np.zeros(len(points))]))
    item = Dataset()
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(points)
    with config.disable_value_validation():
        item.ContourData = [f"{value:.9g}" for value in world.ravel().tolist()]
    item.ContourImageSequence = Items([frame_reference(frame)])
    return item
