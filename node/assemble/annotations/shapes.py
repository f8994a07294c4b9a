"""What somebody drew on images or in space, and where it lies on the grid of a volume.

On an image, DICOM counts columns and rows from the corner of the first pixel (PS3.3 C.10.5.1.2,
C.18.6.1.2); here they are counted from its centre, as voxels are. In space, points are LPS mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

import numpy as np

from node.assemble.series import VolumePlan
from node.assemble.space import Matrix, to_voxel, to_world
from node.assemble.stacks.slice_sorting import Piece
from node.assemble.volumes.contours import SLICE_TOLERANCE, inside_polygon
from node.assemble.volumes.labels import Points, Voxels, on_slices, stack_shape
from node.core.errors import AssemblyError, Reason

CORNER_PIXELS: Final = 0.5
"""Pixels from the corner of the first pixel, where DICOM's coordinates begin, to its centre."""
ELLIPSE_CORNERS: Final = 720
"""Of the polygon that stands for an ellipse; it is 1e-5 of the radius too small."""


class Kind(Enum):
    """What a shape is.

    Members:
        POINTS: one or several points.
        LINE: an open line through points.
        POLYGON: what a closed line encloses.
        ELLIPSE: both ends of the longer axis, then of the shorter one.
        CIRCLE: the centre, and a point of the circumference.
        ELLIPSOID: both ends of each of three axes, in space.
    """

    POINTS = "points"
    LINE = "line"
    POLYGON = "polygon"
    ELLIPSE = "ellipse"
    CIRCLE = "circle"
    ELLIPSOID = "ellipsoid"


MOST_SHAPES: Final = 10_000
"""Of one instance; each takes a millisecond or two."""
COUNTS: Final = {Kind.ELLIPSE: 4, Kind.CIRCLE: 2, Kind.ELLIPSOID: 6}
"""Points that a shape has to have; others have any number."""
REGIONS: Final = frozenset({Kind.POLYGON, Kind.ELLIPSE, Kind.CIRCLE, Kind.ELLIPSOID})


class ImageReference(NamedTuple):
    """The image that something is drawn on; frames count from 1, 0 is the only one."""

    sop_instance_uid: str
    frame: int = 0


class Shape(NamedTuple):
    """One thing that was drawn.

    Attributes:
        number: of what it belongs to, from 1; shapes of one region share it.
        name: what it shows, as far as that is said.
        points: (n, 2) column and row from the centre of the first pixel, on an image; or (n, 3)
            LPS mm.
        image: what it is drawn on; None in space.
        frame_of_reference_uid: of points in space, if it is said.
    """

    number: int
    name: str
    kind: Kind
    points: Points
    image: ImageReference | None = None
    frame_of_reference_uid: str = ""


class Placed(NamedTuple):
    """A shape on a grid.

    Attributes:
        corners: (n, 3) its points: column, row, and slice as measured.
        lps: (n, 3) the same, LPS mm.
    """

    shape: Shape
    corners: Points
    lps: Points


def closed(points: Points) -> bool:
    """Tell whether a line ends where it begins, and encloses something.

    Args:
        points: (n, 2) or (n, 3).
    """
    return len(points) > 3 and bool((points[0] == points[-1]).all())


def place(shape: Shape, grid: VolumePlan) -> Placed | None:
    """Find where a shape lies on a grid; None if it is drawn on another image, or in another space.

    Args:
        shape: on an image or in space.
        grid: a volume of the referenced series.
    """
    if shape.image is not None:
        return _on_image(shape, shape.image, grid)
    theirs, ours = shape.frame_of_reference_uid, grid.first.header.frame_of_reference_uid
    if theirs and ours and theirs != ours:
        return None
    return Placed(shape, on_slices(grid, to_voxel(grid.lps, shape.points)), shape.points)


def _on_image(shape: Shape, image: ImageReference, grid: VolumePlan) -> Placed | None:
    for row in grid.grid:
        for k, piece in enumerate(row):
            if not _is(piece, image):
                continue
            points = shape.points
            frame = piece.frame
            if frame.tile is not None:  # of a mosaic, in which every slice is a tile
                points = points - np.array([frame.tile[1], frame.tile[0]], np.float64)
                low, high = points.min(axis=0), points.max(axis=0)
                size = np.array([frame.columns, frame.rows]) - CORNER_PIXELS
                if (low < -CORNER_PIXELS).any() or (high >= size).any():
                    continue
            corners = np.column_stack([points, np.full(len(points), float(k))])
            return Placed(shape, corners, to_world(_plane(piece), corners * [1.0, 1.0, 0.0]))
    return None


def _is(piece: Piece, image: ImageReference) -> bool:
    if piece.uid != image.sop_instance_uid:
        return False
    pixels = piece.header.pixels
    several = pixels is not None and pixels.frames > 1
    return piece.frame.index + 1 == image.frame if several else image.frame in {0, 1}


def _plane(piece: Piece) -> Matrix:
    """Return (4, 4) column, row, 0 of a frame -> LPS mm (PS3.3 C.7.6.2.1.1)."""
    frame = piece.frame
    assert frame.position and frame.orientation and frame.spacing  # noqa: S101, PT018 - on a grid
    plane = np.eye(4)
    plane[:3, 0] = np.array(frame.orientation[:3]) * frame.spacing[1]
    plane[:3, 1] = np.array(frame.orientation[3:]) * frame.spacing[0]
    plane[:3, 3] = frame.position
    return plane


def voxels_of(placed: Placed, grid: VolumePlan) -> Voxels:
    """Return (n, 3) column, row, slice of the voxels whose centres a shape encloses.

    Args:
        placed: a region.
        grid: that it lies on.

    Raises:
        AssemblyError: it lies between slices or across them, or outside the grid.
    """
    if placed.shape.kind is Kind.ELLIPSOID:
        return _in_ellipsoid(placed, grid)
    outline = _outline(placed)
    k = _slice_of(placed, grid)
    columns, rows, _ = stack_shape(grid)
    beyond = (outline[:, :2] < -1.0).any() or (outline[:, :2] > [columns, rows]).any()
    if beyond:
        raise _outside(placed)
    at = np.argwhere(inside_polygon(outline[:, :2], (columns, rows)))
    return np.column_stack([at, np.full(len(at), k, np.intp)])


def _outline(placed: Placed) -> Points:
    """Return (n, 3) corners of the polygon that a region is, or nearly is."""
    corners = placed.corners
    if placed.shape.kind is Kind.POLYGON:
        return corners
    angles = np.linspace(0.0, 2.0 * np.pi, ELLIPSE_CORNERS, endpoint=False)[:, np.newaxis]
    if placed.shape.kind is Kind.CIRCLE:
        centre = corners[0]
        radius = float(np.linalg.norm(corners[1, :2] - centre[:2]))
        one, other = np.array([radius, 0, 0]), np.array([0, radius, 0])
    else:
        centre = corners.mean(axis=0)
        one, other = (corners[1] - corners[0]) / 2, (corners[3] - corners[2]) / 2
    outline: Points = centre + np.cos(angles) * one + np.sin(angles) * other
    return outline


def _slice_of(placed: Placed, grid: VolumePlan) -> int:
    along = placed.corners[:, 2]
    k = round(float(along.mean()))
    apart = float(np.abs(along - k).max())
    if apart > SLICE_TOLERANCE:
        raise AssemblyError(
            Reason.RESIDUAL_TOO_LARGE,
            f"A region of {placed.shape.name!r} lies {apart:.2f} slices away from the slices of "
            "the referenced series.",
        )
    if not 0 <= k < stack_shape(grid)[2]:
        raise _outside(placed)
    return k


def _in_ellipsoid(placed: Placed, grid: VolumePlan) -> Voxels:
    centre = placed.lps.mean(axis=0)
    axes = (placed.lps[1::2] - placed.lps[::2]).T / 2
    if abs(np.linalg.det(axes)) < np.finfo(np.float64).eps:
        raise AssemblyError(
            Reason.RESIDUAL_TOO_LARGE, f"The ellipsoid {placed.shape.name!r} encloses nothing."
        )
    reach = np.abs(axes).sum(axis=1)
    ends = np.stack([centre - reach, centre + reach])
    box = np.stack(np.meshgrid(*ends.T, indexing="ij"), axis=-1).reshape(-1, 3)
    around = to_voxel(grid.lps, box)
    low = np.floor(around.min(axis=0)).astype(int)
    high = np.ceil(around.max(axis=0)).astype(int) + 1
    size = stack_shape(grid)
    if grid.places:
        low[2], high[2] = 0, size[2]
    low, high = np.maximum(low, 0), np.minimum(high, size)
    if (low >= high).any():
        raise _outside(placed)
    inverse = np.linalg.inv(axes)
    found: list[Voxels] = []
    column, row = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]), indexing="ij")
    for k in range(low[2], high[2]):  # a slice at a time: it may hold most of a volume
        along = float(grid.places[k]) if grid.places else float(k)
        places = np.stack([column, row, np.full(column.shape, along)], axis=-1)
        from_centre = (to_world(grid.lps, places) - centre) @ inverse.T
        inside = np.argwhere((from_centre**2).sum(axis=-1) <= 1.0) + low[:2]
        found.append(np.column_stack([inside, np.full(len(inside), k, np.intp)]))
    return np.concatenate(found)


def _outside(placed: Placed) -> AssemblyError:
    return AssemblyError(
        Reason.MISSING_REFERENCE,
        f"A region of {placed.shape.name!r} lies outside what is there of the referenced series.",
    )


def checked(shapes: Sequence[Shape]) -> list[Shape]:
    """Return shapes whose points can be what they say.

    Raises:
        AssemblyError: `annotation-unreadable`: one has too few points, too many, or none; or
            there are too many shapes.
    """
    if len(shapes) > MOST_SHAPES:
        raise AssemblyError(
            Reason.ANNOTATION_UNREADABLE, f"It has more than {MOST_SHAPES} graphics."
        )
    for shape in shapes:
        expected = COUNTS.get(shape.kind)
        if not len(shape.points) or (expected and len(shape.points) != expected):
            raise AssemblyError(
                Reason.ANNOTATION_UNREADABLE,
                f"{len(shape.points)} points are no {shape.kind.value} ({shape.name!r}).",
            )
    return list(shapes)
