"""Contours to voxels: an RT Structure Set on the grid that it was drawn on (PS3.3 C.8.8.5-6)."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from node.assemble.series import VolumePlan
from node.assemble.space import to_voxel
from node.assemble.volumes.labels import Mask, Points, Segment, Voxels, on_slices, stack_shape
from node.core.errors import AssemblyError, Reason
from node.dicom import Elements

SLICE_TOLERANCE: Final = 0.25
"""Slices; a contour may lie this far from the slice that it was drawn on."""
CLOSED: Final = "CLOSED_PLANAR"
FEWEST_CORNERS: Final = 3
_CONTOURS: Final = 0x30060040


def contour_masks(elements: Elements, grid: VolumePlan) -> list[Mask]:
    """Fill the closed contours of a structure set, by the even-odd rule, so that holes stay holes.

    A voxel belongs to a region if its centre is inside. Points and open contours enclose no voxel.

    Args:
        elements: the RT Structure Set's data set.
        grid: a volume of the series that it refers to.

    Returns:
        one mask for each region that has voxels.

    Raises:
        AssemblyError: contours lie between or across slices, or outside the grid.
    """
    names = {
        item.integer(0x30060022): item.text(0x30060026) or "" for item in elements.items(0x30060020)
    }
    masks: list[Mask] = []
    for region in elements.items(0x30060039):
        number = region.integer(0x30060084) or 0
        segment = Segment(number, names.get(number, f"ROI {number}"), _colour(region))
        slices: dict[int, npt.NDArray[np.bool_]] = {}
        for contour in region.items(_CONTOURS):
            values = contour.numbers(0x30060050)
            if contour.text(0x30060042) != CLOSED or len(values) < 3 * FEWEST_CORNERS:
                continue
            points = np.reshape(values[: len(values) // 3 * 3], (-1, 3))
            corners = on_slices(grid, to_voxel(grid.lps, points))
            k = _slice_of(corners, grid, segment)
            columns, rows, _ = stack_shape(grid)
            plane = slices.setdefault(k, np.zeros((columns, rows), np.bool_))
            plane ^= inside_polygon(corners[:, :2], (columns, rows))
        found: list[Voxels] = []
        for k, plane in sorted(slices.items()):
            at = np.argwhere(plane)
            found.append(np.column_stack([at, np.full(len(at), k, np.intp)]))
        if found and sum(map(len, found)):
            masks.append(Mask(segment, np.concatenate(found)))
    return masks


def inside_polygon(corners: Points, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels whose centres are inside a polygon, by the even-odd rule.

    Args:
        corners: (n, 2) float64, column and row, in pixels; the last corner joins the first.
        size: columns, rows.

    Returns:
        (columns, rows) bool.
    """
    columns, rows = size
    inside = np.zeros((columns, rows), np.bool_)
    x, y = corners.T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    first = max(int(np.ceil(y.min())), 0)
    last = min(int(np.floor(y.max())), rows - 1)
    centres = np.arange(columns)
    for row in range(first, last + 1):
        crossing = (y <= row) != (next_y <= row)
        if crossing.any():
            part = (row - y[crossing]) / (next_y[crossing] - y[crossing])
            at = np.sort(x[crossing] + part * (next_x[crossing] - x[crossing]))
            inside[:, row] = np.searchsorted(at, centres, side="right") % 2 == 1
    return inside


def _slice_of(corners: Points, grid: VolumePlan, segment: Segment) -> int:
    k = round(float(corners[:, 2].mean()))
    apart = float(np.abs(corners[:, 2] - k).max())
    if apart > SLICE_TOLERANCE:
        raise AssemblyError(
            Reason.RESIDUAL_TOO_LARGE,
            f"A contour of {segment.name!r} lies {apart:.2f} slices away from the slices of the "
            f"labelled series, and at most {SLICE_TOLERANCE} is allowed. Export the structure set "
            "with the series that it was drawn on.",
        )
    if not 0 <= k < stack_shape(grid)[2]:
        raise AssemblyError(
            Reason.MISSING_REFERENCE,
            f"Contours of {segment.name!r} lie outside the received slices of the labelled series. "
            "Send the whole series: the label map is then made.",
        )
    return k


def _colour(region: Elements) -> tuple[int, int, int] | None:
    values = region.numbers(0x3006002A)
    if len(values) != 3:
        return None
    return int(values[0]), int(values[1]), int(values[2])
