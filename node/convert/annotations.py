"""Labels of every kind on the grids they refer to: label maps, and lists of points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from node.assemble.annotations.presentation import presentation_graphics
from node.assemble.annotations.report import report_shapes
from node.assemble.annotations.shapes import REGIONS, Placed, Shape, place, voxels_of
from node.assemble.annotations.structures import has_regions, structure_points
from node.assemble.frames.model import (
    PRESENTATION_CLASSES,
    REPORT_CLASSES,
    STRUCTURE_SET,
    FrameHeader,
)
from node.assemble.series import VolumePlan
from node.assemble.space import lps_to_ras, ras_to_lps, to_voxel, to_world
from node.assemble.stacks.slice_sorting import Piece
from node.assemble.volumes.labels import Mask, Segment, Voxels, stack_shape
from node.assemble.volumes.regrid import is_resampled, regrid
from node.convert.labels import LabelMap, elements_of, label_maps, not_here, read_labels
from node.convert.sources import InstanceSource
from node.convert.writing import OutputOptions, write_json
from node.core.errors import AssemblyError, Reason
from node.core.version import VERSION

POINTS_SUFFIX: Final = "_points"
"""What follows the name of a list of points."""
DECIMALS: Final = 6
"""Of mm and voxels in a list of points."""


class PointList(NamedTuple):
    """Points and lines of one instance on one grid.

    Attributes:
        plan: the grid; the one piece in it is the instance with the annotations.
        points: each a mapping with `value`, `name`, `kind`, `ijk`, `lps`, `ras` and `source`.
        reference: Series Instance UID of the series whose grid it is.
        left_out: what is in none of the instance's results, and why.
    """

    plan: VolumePlan
    points: tuple[Mapping[str, Any], ...]
    reference: str
    left_out: tuple[str, ...] = ()


class Annotations(NamedTuple):
    """What one instance gives."""

    maps: list[LabelMap]
    points: list[PointList]


def read_annotations(
    source: InstanceSource, grids: Sequence[VolumePlan], *, square: bool = False
) -> Annotations:
    """Put what one instance labels or marks on the grids of the series it refers to.

    Args:
        source: a Segmentation, an RT Structure Set, a structured report with coordinates, or a
            presentation state with graphics.
        grids: the volumes of the series that it refers to.
        square: those series' sheared grids are brought to right angles, and so is this.

    Raises:
        AssemblyError: there is no grid, or something lies on none: then nothing is made, as a part
            of it would look like the whole.
    """
    sop_class = source.header.sop_class_uid
    if sop_class not in {STRUCTURE_SET, *REPORT_CLASSES, *PRESENTATION_CLASSES}:
        return Annotations(read_labels(source, grids, square=square), [])
    if not grids:
        raise not_here(source)
    elements = elements_of(source)
    maps: list[LabelMap] = []
    left_out: tuple[str, ...] = ()
    try:
        if sop_class == STRUCTURE_SET:
            shapes = structure_points(elements)
            if has_regions(elements) or not shapes:
                maps = read_labels(source, grids, square=square)
        elif sop_class in REPORT_CLASSES:
            shapes = report_shapes(elements)
        else:
            graphics = presentation_graphics(elements)
            shapes, left_out = graphics.shapes, graphics.left_out
        found, points = _placed(source, shapes, grids, left_out, square=square)
    except AssemblyError as error:
        raise AssemblyError(
            error.reason, error.sentence, error.instances or (source.uid,)
        ) from error
    maps += found
    if not maps and not points:
        raise AssemblyError(Reason.NOT_AN_IMAGE, "Nothing is drawn on any image.", (source.uid,))
    return Annotations(maps, points)


def _placed(
    source: InstanceSource,
    shapes: Sequence[Shape],
    grids: Sequence[VolumePlan],
    left_out: tuple[str, ...],
    *,
    square: bool,
) -> tuple[list[LabelMap], list[PointList]]:
    by_grid: list[list[Placed]] = [[] for _ in grids]
    for shape in _without_repeats(shapes):
        number, placed = _home(shape, grids)
        by_grid[number].append(placed)
    maps: list[LabelMap] = []
    lists: list[PointList] = []
    for grid, all_placed in zip(grids, by_grid, strict=True):
        regions = [one for one in all_placed if one.shape.kind in REGIONS]
        masks, tiny = _masks(regions, grid)
        if masks:
            maps += label_maps(source, grid, masks, square=square)
        marks = [one for one in all_placed if one.shape.kind not in REGIONS] + tiny
        if marks:
            lists.append(_listed(source, marks, grid, left_out, square=square))
    return maps, lists


def _without_repeats(shapes: Sequence[Shape]) -> list[Shape]:
    """Drop a shape that is there again: reports repeat a region at each of its measurements."""
    kept: dict[object, Shape] = {}
    for shape in shapes:
        key = (shape.number, shape.kind, shape.points.tobytes(), shape.image)
        kept.setdefault(key, shape)
    return list(kept.values())


def _home(shape: Shape, grids: Sequence[VolumePlan]) -> tuple[int, Placed]:
    """Return the grid that a shape lies on: by its image, or the first in whose space it fits."""
    refusal: AssemblyError | None = None
    for number, grid in enumerate(grids):
        placed = place(shape, grid)
        if placed is None:
            continue
        try:
            if shape.kind in REGIONS:
                voxels_of(placed, grid)
            elif shape.image is None and not _within(placed, grid):
                raise AssemblyError(
                    Reason.MISSING_REFERENCE,
                    f"Points of {shape.name!r} lie outside what is there of the referenced series.",
                )
        except AssemblyError as error:
            refusal = refusal or error
            continue
        return number, placed
    raise refusal or AssemblyError(
        Reason.MISSING_REFERENCE,
        f"{shape.name!r} is drawn on an image that is in no volume here: "
        f"{shape.image.sop_instance_uid if shape.image else shape.frame_of_reference_uid}. Send "
        "the series that it is drawn on.",
    )


def _within(placed: Placed, grid: VolumePlan) -> bool:
    size = np.array(stack_shape(grid))
    return bool(((placed.corners >= -0.5) & (placed.corners <= size - 0.5)).all())


def _masks(regions: Sequence[Placed], grid: VolumePlan) -> tuple[list[Mask], list[Placed]]:
    """Return the voxels of each region, and shapes that hold the centre of none."""
    found: dict[int, list[Voxels]] = {}
    names: dict[int, str] = {}
    tiny: list[Placed] = []
    for placed in regions:
        voxels = voxels_of(placed, grid)
        if not len(voxels):
            tiny.append(placed)
            continue
        found.setdefault(placed.shape.number, []).append(voxels)
        names[placed.shape.number] = placed.shape.name
    masks = []
    for number, parts in sorted(found.items()):
        whole = np.unique(np.concatenate(parts), axis=0)
        if len(whole) < sum(map(len, parts)):
            raise AssemblyError(
                Reason.AMBIGUOUS_REGION,
                f"Outlines of {names[number]!r} lie over each other, and nothing says whether the "
                "inner one is a hole. Ask for a segmentation instead.",
            )
        masks.append(Mask(Segment(number, names[number]), whole))
    return masks, tiny


def _listed(
    source: InstanceSource,
    marks: Sequence[Placed],
    grid: VolumePlan,
    left_out: tuple[str, ...],
    *,
    square: bool,
) -> PointList:
    piece = Piece(source.header, FrameHeader(index=0, rows=0, columns=0))
    plan = replace(
        grid, grid=((piece,),), shape=grid.shape[:3], defined_by="", suffix="", left_out=()
    )
    if is_resampled(plan, square=square):
        empty = np.zeros((*plan.shape[:3], 1), np.uint8, order="F")
        plan, _ = regrid(plan, empty, square=square, labels=True)
    points = tuple(_described(one, grid, plan) for one in marks)
    return PointList(plan, points, grid.first.header.series_instance_uid, left_out)


def _described(placed: Placed, grid: VolumePlan, plan: VolumePlan) -> Mapping[str, Any]:
    lps = placed.lps
    ras = to_world(lps_to_ras(np.eye(4)), lps)
    ijk = to_voxel(ras_to_lps(plan.affine), lps)
    return {
        "value": placed.shape.number,
        "name": placed.shape.name,
        "kind": placed.shape.kind.value,
        "ijk": _rounded(ijk),
        "lps": _rounded(lps),
        "ras": _rounded(ras),
        "source": [_source(corner, grid) for corner in placed.corners.tolist()],
    }


def _source(corner: Sequence[float], grid: VolumePlan) -> dict[str, object] | None:
    """Return the instance, and row and column from 0, that a point is nearest to."""
    column, row, along = corner
    k = round(along)
    if not 0 <= k < len(grid.grid[0]):
        return None
    piece = grid.grid[0][k]
    down, right = piece.frame.tile or (0, 0)
    pixels = piece.header.pixels
    several = pixels is not None and pixels.frames > 1
    return {
        "sop_instance_uid": piece.uid,
        **({"frame": piece.frame.index + 1} if several else {}),
        "row": round(row + down, DECIMALS),
        "column": round(column + right, DECIMALS),
    }


def _rounded(values: Any) -> list[list[float]]:
    return [[round(value, DECIMALS) + 0.0 for value in row] for row in values.tolist()]


def write_points(
    found: PointList,
    path: Callable[[str], Path],
    options: OutputOptions,
    proof: Mapping[str, object],
) -> None:
    """Write a list of points, the manifest last.

    Args:
        found: the points.
        path: returns where the file with an ending goes.
        options: which files.
        proof: what is known of the series' completeness.
    """
    header = found.plan.first.header
    fields = {
        "Modality": header.modality,
        "SeriesInstanceUID": header.series_instance_uid,
        "StudyInstanceUID": header.study_instance_uid,
        "SeriesNumber": header.series_number,
        "SeriesDescription": header.facts.get("SeriesDescription"),
        "FrameOfReferenceUID": header.frame_of_reference_uid,
        "ReferencedSeriesInstanceUID": found.reference,
        "Points": list(found.points),
        "ConversionSoftware": "rasnode",
        "ConversionSoftwareVersion": VERSION,
    }
    write_json(path(".json"), {name: value for name, value in fields.items() if value})
    if options.manifest:
        uid = header.sop_instance_uid
        manifest = {
            "series_instance_uid": header.series_instance_uid,
            "study_instance_uid": header.study_instance_uid,
            "frame_of_reference_uid": header.frame_of_reference_uid,
            **proof,
            "rasnode": VERSION,
            "image": "",
            "sha256": "",
            "orientation": "RAS",
            "shape": list(found.plan.shape),
            "affine": found.plan.affine.tolist(),
            "residual_mm": found.plan.residual_mm,
            "resampled": list(found.plan.resampled),
            "slice_axis": "ijk"[int(found.plan.orientation[2, 0])],
            "reference_series_instance_uid": found.reference,
            "points": len(found.points),
            "sources": [{"sop_instance_uid": uid}],
            "left_out": [{"sop_instance_uid": uid, "reason": why} for why in found.left_out],
            "refused": [],
        }
        write_json(path(".manifest.json"), manifest)
