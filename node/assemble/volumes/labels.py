"""Label maps on the grid of a volume: which voxels belong to which segment (PS3.3 C.8.20.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from node.assemble.frames.classic import classic_frame
from node.assemble.frames.enhanced import frame_elements
from node.assemble.frames.model import FrameHeader, InstanceHeader, PixelFormat
from node.assemble.pixels.stored_values import Image
from node.assemble.series import VolumePlan
from node.assemble.space import (
    Matrix,
    canonical_affine,
    canonical_orientation,
    lps_to_ras,
    to_voxel,
)
from node.assemble.stacks.geometry import (
    DEFAULT_SPACING_MM,
    check_plane,
    planes_of,
    residual_limit,
    residuals,
    same_position_mm,
    stack_affine,
)
from node.assemble.stacks.slice_sorting import Piece
from node.assemble.volumes.fill import dicom_view
from node.core.errors import AssemblyError, Reason
from node.dicom import Elements

Voxels = npt.NDArray[np.intp]
Points = npt.NDArray[np.float64]
Colour = tuple[int, int, int]

ALIGNED_VOXELS: Final = 0.1
"""Voxels; a segment's pixel may lie this far from a voxel of the grid. Positions rounded to one
decimal are 0.05 mm off, a tenth of a voxel of half a millimetre."""
HALF: Final = 0.5
"""The fraction (probability or occupancy) from which on a voxel belongs to a segment."""
MOST_SLICES: Final = 4096
"""Slices of a segmentation's own grid; frames that are farther apart are not on one grid."""
MOST_SMALL: Final = 255
"""The largest segment number that a byte holds."""


class Segment(NamedTuple):
    """One segment or region of interest.

    Attributes:
        number: its value in the label map: Segment Number (0062,0004) or ROI Number (3006,0022).
        name: Segment Label (0062,0005) or ROI Name (3006,0026).
        colour: sRGB, 0 to 255; None if no colour is recommended.
    """

    number: int
    name: str
    colour: Colour | None = None


class Mask(NamedTuple):
    """The voxels of one segment.

    Attributes:
        segment: the segment.
        voxels: (n, 3) intp, column, row, k of the grid's stack, each once.
    """

    segment: Segment
    voxels: Voxels


def segmentation_masks(
    elements: Elements,
    pixels: PixelFormat,
    read: Callable[[FrameHeader], Image],
    grid: VolumePlan,
) -> list[Mask]:
    """Map the segments of a Segmentation, classic or label map, onto a grid.

    Args:
        elements: the Segmentation's data set.
        pixels: its pixel format.
        read: returns the stored values of a frame, (rows, columns).
        grid: a volume of the series that it refers to.

    Returns:
        one mask for each segment that has voxels, by ascending number.

    Raises:
        AssemblyError: a frame does not lie on the grid.
    """
    segments = {one.number: one for one in _segments(elements)}
    kind = elements.text(0x00620001) or "BINARY"
    least = HALF * (elements.integer(0x0062000E) or 1) if kind == "FRACTIONAL" else HALF
    found: dict[int, list[Voxels]] = {}
    for index, view in enumerate(frame_elements(elements, pixels.frames)):
        frame = classic_frame(view, pixels)
        check_plane(frame)
        stored = read(FrameHeader(index=index, rows=pixels.rows, columns=pixels.columns))
        if kind == "LABELMAP":
            numbers = [number for number in np.unique(stored).tolist() if number]
            parts = [(number, stored == number) for number in numbers]
        else:
            parts = [(view.integer(0x0062000B) or 0, stored >= least)]
        for number, inside in parts:
            if inside.any():
                found.setdefault(number, []).append(_placed(frame, inside, grid))
    return [
        Mask(
            segments.get(number, Segment(number, f"Segment {number}")),
            np.unique(np.concatenate(found[number]), axis=0),
        )
        for number in sorted(found)
    ]


def own_grid(
    elements: Elements, header: InstanceHeader, pixels: PixelFormat, *, stated: bool = False
) -> VolumePlan:
    """Return the regular grid that the frames of a Segmentation lie on, without the series.

    It reaches from the first frame to the last. Slices between them without a frame are empty, if
    the steps are whole multiples of Spacing Between Slices, or else of the smallest step.

    Args:
        elements: the Segmentation's data set.
        header: its header.
        pixels: its pixel format.
        stated: take only the Spacing Between Slices that it states, which says of every slice
            whether it is there; nothing is measured.

    Raises:
        AssemblyError: a frame has no place, or the places are on no regular grid.
    """
    frames: list[FrameHeader] = []
    for view in frame_elements(elements, pixels.frames):
        frame = classic_frame(view, pixels)
        check_plane(frame)
        frames.append(frame)
    planes = planes_of(frames)
    along = planes.position @ planes.normal()
    order: list[int] = np.argsort(along, kind="stable").tolist()
    steps = np.diff(along[order])
    betweens = {abs(frame.between) for frame in frames if frame.between}
    candidates = sorted(betweens) if len(betweens) == 1 else []
    if stated and not candidates:
        raise AssemblyError(
            Reason.NO_GEOMETRY, "The segmentation does not state its Spacing Between Slices."
        )
    apart = steps[steps > same_position_mm(frames)]
    if apart.size and not stated:
        candidates.append(float(apart.min()))
    single = next(iter(betweens), frames[0].thickness or DEFAULT_SPACING_MM)
    for step in candidates or [single]:
        if float(steps.sum()) > MOST_SLICES * step:
            continue
        k = np.concatenate([[0.0], np.cumsum(np.rint(steps / step))])
        lps = stack_affine(planes.take(order[:: len(order) - 1] if k[-1] else order[:1]), single)
        lps[:3, 2] /= max(k[-1], 1.0)
        worst = float(residuals(planes.take(order), k, lps).max())
        if worst <= residual_limit(float(np.linalg.norm(lps[:3, 2]))):
            return _grid_of(Piece(header, frames[order[0]]), lps, int(k[-1]) + 1, worst)
    raise AssemblyError(
        Reason.UNEQUAL_SPACING,
        f"The labelled series has not been received, and the {len(frames)} frames of the "
        "segmentation lie on no regular grid. Send the labelled series to get the label map.",
    )


def _grid_of(piece: Piece, lps: Matrix, slices: int, residual: float) -> VolumePlan:
    ras = lps_to_ras(lps)
    spatial = (piece.frame.columns, piece.frame.rows, slices)
    orientation = canonical_orientation(ras)
    shape = [0, 0, 0]
    for axis in range(3):
        shape[int(orientation[axis, 0])] = spatial[axis]
    return VolumePlan(
        grid=((piece,),),
        lps=lps,
        affine=canonical_affine(ras, spatial, orientation),
        orientation=orientation,
        shape=tuple(shape),
        residual_mm=residual,
        defined_by="",
    )


def layers(masks: Iterable[Mask], grid: VolumePlan) -> list[tuple[Image, tuple[Segment, ...]]]:
    """Put masks into as few label maps as possible, without overlap in any of them.

    Args:
        masks: of one instance.
        grid: the grid that they are on.

    Returns:
        for each map: (i, j, k) uint8 or uint16 in RAS order with segment numbers, 0 elsewhere; and
        its segments.
    """
    ordered = sorted(masks, key=lambda mask: mask.segment.number)
    largest = max((mask.segment.number for mask in ordered), default=0)
    dtype = np.uint8 if largest <= MOST_SMALL else np.uint16
    maps: list[tuple[Image, Any, list[Segment]]] = []
    for mask in ordered:
        at = tuple(mask.voxels.T)
        free = next((one for one in maps if not one[1][at].any()), None)
        if free is None:
            array = np.zeros(grid.shape[:3], dtype, order="F")
            free = (array, dicom_view(array[..., np.newaxis], grid.orientation)[..., 0], [])
            maps.append(free)
        free[1][at] = mask.segment.number
        free[2].append(mask.segment)
    return [(array, tuple(segments)) for array, _, segments in maps]


def stack_shape(grid: VolumePlan) -> tuple[int, int, int]:
    """Return how many columns, rows and slices a grid has."""
    columns, rows, slices = (grid.shape[int(axis)] for axis in grid.orientation[:, 0])
    return columns, rows, slices


def on_slices(grid: VolumePlan, voxels: Points) -> Points:
    """Turn voxels of a volume's affine into columns, rows and measured slices.

    Args:
        grid: a volume of the referenced series.
        voxels: (n, 3) float64, column, row, k on the grid of its affine, on which slices lie at
            `places` if they are uneven.

    Returns:
        (n, 3) float64, column, row, k with k counted in measured slices.
    """
    if not grid.places:
        return voxels
    places, k = np.array(grid.places), voxels[:, 2]
    nearest = np.abs(k[:, None] - places).argmin(axis=1)
    return np.column_stack([voxels[:, :2], nearest + (k - places[nearest])])


def _placed(frame: FrameHeader, inside: Image, grid: VolumePlan) -> Voxels:
    """Return (n, 3) voxels (column, row, k) of the grid at which pixels of a frame lie."""
    assert frame.position and frame.orientation and frame.spacing  # noqa: S101, PT018 - checked
    row = np.array(frame.orientation[:3]) * frame.spacing[1]
    column = np.array(frame.orientation[3:]) * frame.spacing[0]
    steps = np.abs(np.linalg.inv(grid.lps[:3, :3]) @ np.stack([row, column], axis=1))
    down, right = np.nonzero(inside)
    points = np.array(frame.position) + right[:, None] * row + down[:, None] * column
    exact = on_slices(grid, to_voxel(grid.lps, points))
    voxels = np.rint(exact)
    apart = float(np.abs(exact - voxels).max())
    if np.abs(np.sort(steps, axis=0) - [[0], [0], [1]]).max() > ALIGNED_VOXELS:
        raise AssemblyError(
            Reason.RESIDUAL_TOO_LARGE,
            "The pixels of the segments have another size or direction than those of the labelled "
            "series. Export the segmentation on the grid of that series.",
        )
    if apart > ALIGNED_VOXELS:
        raise AssemblyError(
            Reason.RESIDUAL_TOO_LARGE,
            f"The segments lie {apart:.2f} voxels beside the grid of the labelled series, and at "
            f"most {ALIGNED_VOXELS} is rounding. Export the segmentation on the grid of that "
            "series.",
        )
    if (voxels < 0).any() or (voxels >= stack_shape(grid)).any():
        raise AssemblyError(
            Reason.MISSING_REFERENCE,
            "Segments lie outside the received slices of the labelled series. Send the whole "
            "series: the label map is then made.",
        )
    return np.asarray(voxels, np.intp)


def _segments(elements: Elements) -> list[Segment]:
    """Read the Segment Sequence (PS3.3 C.8.20.4)."""
    return [
        Segment(
            item.integer(0x00620004) or 0,
            item.text(0x00620005) or "",
            _srgb(item.numbers(0x0062000D)),
        )
        for item in elements.items(0x00620002)
    ]


def _srgb(scaled: Sequence[float]) -> Colour | None:
    """Turn Recommended Display CIELab Value (PS3.3 C.10.7.1.1, white D65) into sRGB."""
    if len(scaled) != 3:
        return None
    light = scaled[0] / 65535.0 * 100.0
    a, b = (value / 65535.0 * 255.0 - 128.0 for value in scaled[1:])
    y = (light + 16.0) / 116.0
    ratios = np.array([y + a / 500.0, y, y - b / 200.0])
    xyz = np.where(ratios > 6 / 29, ratios**3, (ratios - 4 / 29) * 3 * (6 / 29) ** 2)
    linear = _XYZ_TO_SRGB @ (xyz * [0.95047, 1.0, 1.08883])
    linear = np.clip(linear, 0.0, 1.0)
    coded = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    red, green, blue = np.rint(coded * 255.0).astype(int).tolist()
    return red, green, blue


_XYZ_TO_SRGB: Final = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)
"""IEC 61966-2-1."""
