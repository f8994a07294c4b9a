"""The outlines of a binary image along the edges of its pixels; holes joined by a keyhole.

Along the edges, a polygon encloses the centres of exactly the pixels that it was drawn around.
CLOSED_PLANAR contours say nothing of holes, so that each is joined to the contour around it by a
channel of no width, the keyhole technique of PS3.3 C.8.8.6.3.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Loop = list[int]
"""Corners of pixels, numbered row by row; pixel (0, 0) has the corners (0, 0) to (1, 1)."""
_RIGHT, _DOWN, _LEFT, _UP = range(4)
_TURNS = (1, 0, 3)
"""Right, straight on, left."""


def outlines(mask: npt.NDArray[np.bool_]) -> list[Points]:
    """Return a closed polygon for each region of pixels that share edges.

    Args:
        mask: (rows, columns).

    Returns:
        (n, 2) column and row of each polygon's corners, in pixels: the centre of the first pixel
        is (0, 0). The last corner joins the first.
    """
    width = mask.shape[1] + 1
    outer, holes = _loops(mask, width)
    if holes:
        owner = {corner: number for number, loop in enumerate(outer) for corner in loop}
        for hole in sorted(holes, key=min):
            start = min(hole)
            met = start - 1
            while met not in owner:
                met -= 1
            number = owner[met]
            outer[number] = _joined(outer[number], met, hole, start)
            owner |= dict.fromkeys(hole, number)
    return [_polygon(loop, width) for loop in outer]


def _loops(mask: npt.NDArray[np.bool_], width: int) -> tuple[list[Loop], list[Loop]]:
    """Return the loops around regions and those around holes, corner by corner.

    Each edge between a pixel and its background has the pixel on its right. Where two loops touch
    at a corner, each turns right, so that regions that touch at a corner stay apart.
    """
    edges = _edges(mask, width)
    along = (1, width, -1, -width)
    outer: list[Loop] = []
    holes: list[Loop] = []
    while edges:
        first = edge = edges.pop()
        loop: Loop = []
        area = 0
        while True:
            corner, direction = divmod(edge, 4)
            loop.append(corner)
            if direction == _DOWN:
                area += corner % width
            elif direction == _UP:
                area -= corner % width
            corner += along[direction]
            ways = (4 * corner + (direction + turn) % 4 for turn in _TURNS)
            edge = next(way for way in ways if way in edges or way == first)
            if edge == first:
                break
            edges.remove(edge)
        (outer if area > 0 else holes).append(loop)
    return outer, holes


def _edges(mask: npt.NDArray[np.bool_], width: int) -> set[int]:
    """Return the edges of pixels where the mask ends: 4 x first corner + direction."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    found: set[int] = set()
    for direction, beyond, down, right in (
        (_RIGHT, padded[:-2, 1:-1], 0, 0),
        (_DOWN, padded[1:-1, 2:], 0, 1),
        (_LEFT, padded[2:, 1:-1], 1, 1),
        (_UP, padded[1:-1, :-2], 1, 0),
    ):
        row, column = np.nonzero(inside & ~beyond)
        found.update((4 * ((row + down) * width + column + right) + direction).tolist())
    return found


def _joined(outer: Loop, met: int, hole: Loop, start: int) -> Loop:
    """Join a hole to the loop around it by a channel along a line of pixel edges.

    Args:
        outer: the loop around it.
        met: a corner of that loop, on the row of corners of `start`.
        hole: the loop around the hole.
        start: its first corner, row by row.
    """
    at, begin = outer.index(met), hole.index(start)
    return [*outer[: at + 1], *hole[begin:], *hole[:begin], start, *outer[at:]]


def _polygon(loop: Loop, width: int) -> Points:
    """Return (n, 2) column and row of the corners at which a loop turns."""
    row, column = np.divmod(np.array(loop), width)
    points = np.stack([column, row], axis=1).astype(np.float64) - 0.5
    before = np.sign(points - np.roll(points, 1, axis=0))
    after = np.sign(np.roll(points, -1, axis=0) - points)
    return np.asarray(points[(before != after).any(axis=1)])
