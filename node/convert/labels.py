"""Make label maps of segmentations and structure sets, on the grid of the labelled series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from node.assemble.frames.model import STRUCTURE_SET, FrameHeader
from node.assemble.pixels.stored_values import Image
from node.assemble.series import VolumePlan
from node.assemble.stacks.slice_sorting import Piece
from node.assemble.volumes.contours import contour_masks
from node.assemble.volumes.labels import Mask, Segment, layers, own_grid, segmentation_masks
from node.assemble.volumes.layers import cut
from node.assemble.volumes.nifti import make_header
from node.assemble.volumes.preview import PreviewPlanes, render
from node.assemble.volumes.regrid import regrid
from node.convert.memory import check_room
from node.convert.sources import InstanceSource, PixelReader, plain
from node.convert.writing import OutputOptions, write_image, write_json
from node.core.errors import AssemblyError, Reason
from node.core.version import VERSION
from node.dicom import Elements, scan

_BYTES_A_VOXEL: Final = 8
"""Memory per voxel while a label map is made: masks, numbers and preview."""
FURTHER: Final = "_overlap{}"
"""Suffix of the second and later maps, whose segments overlap those of earlier maps."""


class LabelMap(NamedTuple):
    """One label map in memory.

    Attributes:
        plan: its grid; its only piece is the instance with the labels.
        array: (i, j, k) segment numbers in RAS order; 0 is no segment.
        segments: the segments in it.
        reference: Series Instance UID of the labelled series.
        own: the grid is that of the segmentation, as the labelled series has not been received.
    """

    plan: VolumePlan
    array: Image
    segments: tuple[Segment, ...]
    reference: str
    own: bool = False


def read_labels(
    source: InstanceSource, grids: Sequence[VolumePlan], *, square: bool = False
) -> list[LabelMap]:
    """Put the labels of one instance on the first grid that they fit.

    Args:
        source: a Segmentation or an RT Structure Set.
        grids: the volumes of the series that it refers to.
        square: sheared grids of that series are resampled to right angles, and so are its labels.

    Raises:
        AssemblyError: there is no grid, or the labels lie on none of them.
    """
    if not grids:
        raise not_here(source)
    elements = elements_of(source)
    refusal: AssemblyError | None = None
    for grid in grids:
        try:
            return _on(source, elements, grid, square=square)
        except AssemblyError as error:
            refusal = refusal or AssemblyError(error.reason, error.sentence, (source.uid,))
    assert refusal is not None  # noqa: S101 - there was at least one grid
    raise refusal


def read_own(
    source: InstanceSource, *, square: bool = False, stated: bool = False
) -> list[LabelMap]:
    """Put the labels of one instance on its own grid, without the labelled series.

    Args:
        source: a Segmentation. An RT Structure Set has no grid and is refused.
        square: a sheared grid is resampled to right angles.
        stated: the grid has to be stated completely; nothing of it is measured.

    Raises:
        AssemblyError: the instance has no positions, or its frames lie on no regular grid.
    """
    pixels = source.header.pixels
    if source.header.sop_class_uid == STRUCTURE_SET or pixels is None:
        raise not_here(source)
    elements = elements_of(source)
    try:
        grid = own_grid(elements, source.header, pixels, stated=stated)
        maps = _on(source, elements, grid, square=square)
    except AssemblyError as error:
        if error.reason is Reason.NO_GEOMETRY:
            raise not_here(source) from error
        raise AssemblyError(error.reason, error.sentence, (source.uid,)) from error
    labelled = source.header.references
    reference = labelled[0] if len(labelled) == 1 else ""
    return [one._replace(reference=reference, own=True) for one in maps]


def not_here(source: InstanceSource) -> AssemblyError:
    """Return the refusal of labels whose series is not at hand."""
    return AssemblyError(
        Reason.MISSING_REFERENCE,
        "The labelled series has not been received, or makes no volume: "
        f"{', '.join(source.header.references) or 'its Series Instance UID is not stated'}. Send "
        "that series: the label map is then made.",
        (source.uid,),
    )


def _on(
    source: InstanceSource, elements: Elements, grid: VolumePlan, *, square: bool
) -> list[LabelMap]:
    ours, theirs = source.header.frame_of_reference_uid, grid.first.header.frame_of_reference_uid
    if ours and theirs and ours != theirs:
        raise AssemblyError(
            Reason.FRAME_OF_REFERENCE,
            f"The labels have Frame of Reference UID {ours}, and the labelled series {theirs}: "
            "their positions are not comparable. Export the labels in the frame of reference of "
            "that series.",
        )
    _check_room(grid)
    return label_maps(source, grid, _masks(source, elements, grid), square=square)


def _check_room(grid: VolumePlan) -> None:
    voxels = prod(grid.shape[:3])
    check_room(_BYTES_A_VOXEL * voxels, f"A label map of {grid.shape[:3]} voxels")


def label_maps(
    source: InstanceSource, grid: VolumePlan, masks: Sequence[Mask], *, square: bool
) -> list[LabelMap]:
    """Put masks into label maps.

    Args:
        source: the instance that they come from.
        grid: that they lie on.
        masks: the voxels of each segment.
        square: a sheared grid is brought to right angles.

    Raises:
        AssemblyError: there is no voxel in any mask, or they take too much memory.
    """
    _check_room(grid)
    if not masks:
        raise AssemblyError(
            Reason.NOT_AN_IMAGE,
            "No segment has a voxel, so that there is nothing to write. The instance stays "
            "archived as it is.",
        )
    piece = Piece(source.header, FrameHeader(index=0, rows=0, columns=0))
    made = []
    for number, (array, segments) in enumerate(layers(masks, grid)):
        suffix = FURTHER.format(number) if number else ""
        plan = replace(
            grid, grid=((piece,),), shape=grid.shape[:3], defined_by="", suffix=suffix, left_out=()
        )
        plan, whole = regrid(plan, array[..., np.newaxis], square=square, labels=True)
        reference = grid.first.header.series_instance_uid
        made.append(LabelMap(plan, whole[..., 0], segments, reference))
    return made


def _masks(source: InstanceSource, elements: Elements, grid: VolumePlan) -> list[Mask]:
    pixels = source.header.pixels
    if source.header.sop_class_uid == STRUCTURE_SET:
        return contour_masks(elements, grid)
    if pixels is None:
        raise AssemblyError(
            Reason.NO_PIXEL_DATA,
            "The segmentation has no pixel data. Send it again from its original source.",
        )
    reader = PixelReader([source])
    return segmentation_masks(
        elements, pixels, lambda frame: reader(Piece(source.header, frame)), grid
    )


def elements_of(source: InstanceSource) -> Elements:
    """Return all elements of an instance's data set but its pixels."""
    return scan(plain(source), source.transfer_syntax_uid).elements


def write_labels(
    labels: LabelMap,
    base: str,
    path: Callable[[str], Path],
    options: OutputOptions,
    proof: Mapping[str, object],
) -> str:
    """Write the files of one label map, the manifest last.

    Args:
        labels: the label map.
        base: file name without extension.
        path: returns the path of the file with an extension.
        options: which files to write.
        proof: verdict and evidence of the series, for the manifest.

    Returns:
        sha256 of the image, hexadecimal; empty if no image is written.
    """
    plan = labels.plan
    digest = ""
    ending = ".nii.gz" if options.compress else ".nii"
    if options.image:
        head = make_header(
            labels.array.shape,
            labels.array.dtype,
            plan.affine,
            description=options.comment or f"rasnode {VERSION}",
            comment=options.comment,
        )
        digest = write_image(path(ending), head, cut(labels.array[..., np.newaxis]), options)
    if options.sidecar:
        write_json(path(".json"), _sidecar_of(labels))
    if options.preview:
        preview = PreviewPlanes(labels.array.shape, labels.array.dtype)
        preview.take(0, labels.array)
        path(".png").write_bytes(render([preview], plan.affine))
    if options.manifest:
        image = base + ending if options.image else ""
        write_json(path(".manifest.json"), _manifest_of(labels, image, digest, proof))
    return digest


def _sidecar_of(labels: LabelMap) -> dict[str, object]:
    header = labels.plan.first.header
    fields = {
        "Modality": header.modality,
        "SeriesInstanceUID": header.series_instance_uid,
        "StudyInstanceUID": header.study_instance_uid,
        "SeriesNumber": header.series_number,
        "SeriesDescription": header.facts.get("SeriesDescription"),
        "FrameOfReferenceUID": header.frame_of_reference_uid,
        "ReferencedSeriesInstanceUID": labels.reference,
        "LabelsOnOwnGrid": labels.own,
        "Labels": [_described(segment) for segment in labels.segments],
        "ConversionSoftware": "rasnode",
        "ConversionSoftwareVersion": VERSION,
    }
    return {name: value for name, value in fields.items() if value}


def _manifest_of(
    labels: LabelMap, image: str, digest: str, proof: Mapping[str, object]
) -> dict[str, object]:
    plan, header = labels.plan, labels.plan.first.header
    return {
        "series_instance_uid": header.series_instance_uid,
        "study_instance_uid": header.study_instance_uid,
        "frame_of_reference_uid": header.frame_of_reference_uid,
        **proof,
        "rasnode": VERSION,
        "image": image,
        "sha256": digest,
        "orientation": "RAS",
        "shape": list(plan.shape),
        "affine": plan.affine.tolist(),
        "residual_mm": plan.residual_mm,
        "resampled": list(plan.resampled),
        "slice_axis": "ijk"[int(plan.orientation[2, 0])],
        "reference_series_instance_uid": labels.reference,
        "own_grid": labels.own,
        "labels": [_described(segment) for segment in labels.segments],
        "sources": [{"sop_instance_uid": header.sop_instance_uid}],
        "left_out": [],
        "refused": [],
    }


def _described(segment: Segment) -> dict[str, object]:
    found: dict[str, object] = {"value": segment.number, "name": segment.name}
    return found | ({"colour": list(segment.colour)} if segment.colour else {})
