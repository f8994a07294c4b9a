"""Frames of one direction and pixel spacing, where rounding makes them look different."""

from __future__ import annotations

from typing import Final

import numpy as np

from node.assemble.stacks.geometry import RESIDUAL_MM, SAME_DIRECTION, Planes, Points

_SAME_SPACING_MM: Final = 2e-4
"""mm; the same pixel spacing written with different numbers of decimals."""
_NEAR_DIRECTION: Final = 0.02
"""Difference of a cosine, about one degree: what no two planned directions differ by."""
_NEAR_SPACING: Final = 0.02
"""Part of the pixel spacing that no two planned ones differ by."""


def parallel(planes: Planes, same_place_mm: float) -> list[list[int]]:
    """Part frames by direction and pixel spacing.

    Frames that differ by more than rounding, but by so little that nobody planned it, stay
    together where they take turns along the normal: apart, each half would look like an image of
    twice the step. Whether together they fit one grid is measured later.

    Args:
        planes: of frames of one kind and size.
        same_place_mm: mm along the normal below which two frames lie at one position.

    Returns:
        the indices of every part.
    """
    parts = _alike(planes)
    merged: list[list[int]] = []
    for part in parts:
        home = next((one for one in merged if _belong(planes, one, part, same_place_mm)), None)
        if home is None:
            merged.append(part)
        else:
            home += part
    return [sorted(part) for part in merged]


def same_direction(one: Planes, other: Planes) -> bool:
    """Tell whether the first frames of two sets are of one planned direction."""
    turned = [one.row[0] - other.row[0], one.column[0] - other.column[0]]
    return bool((np.abs(turned) <= _NEAR_DIRECTION).all())


def _alike(planes: Planes) -> list[list[int]]:
    """Part frames so that every part is like its first member."""
    looks = np.hstack([planes.row, planes.column, planes.spacing])
    tolerance = np.array([SAME_DIRECTION] * 6 + [_SAME_SPACING_MM] * 2)
    left = np.arange(len(looks))
    parts: list[list[int]] = []
    while left.size:
        same = (np.abs(looks[left] - looks[left[0]]) <= tolerance).all(axis=1)
        parts.append(left[same].tolist())
        left = left[~same]
    return parts


def _belong(planes: Planes, one: list[int], other: list[int], same_place_mm: float) -> bool:
    a, b = planes.take(one[:1]), planes.take(other[:1])
    scaled = np.abs(a.spacing / b.spacing - 1.0).max()
    if not same_direction(a, b) or scaled > _NEAR_SPACING:
        return False
    if _far_corner(a, b) <= RESIDUAL_MM:
        return True
    normal = planes.normal()
    along = planes.position[one] @ normal, planes.position[other] @ normal
    return take_turns(*along, same_place_mm) or _some_of(*along, same_place_mm)


def _far_corner(a: Planes, b: Planes) -> float:
    """Return how far apart, mm, the last pixels of two frames at one position would lie."""
    size = a.extent[0] - 1.0
    far = [
        plane.row[0] * size[1] * plane.spacing[0, 1]
        + plane.column[0] * size[0] * plane.spacing[0, 0]
        for plane in (a, b)
    ]
    return float(np.linalg.norm(far[0] - far[1]))


def _some_of(one: Points, other: Points, same_place_mm: float) -> bool:
    """Tell whether one set of positions is a part of the other, so that it is no stack by itself.

    Args:
        one, other: (n,) and (m,) mm along one normal, in any order.
        same_place_mm: below it two positions are one place.
    """
    near = np.abs(one[:, None] - other[None, :]) <= same_place_mm
    shared, also = near.any(axis=1), near.any(axis=0)
    return bool(shared.all() != also.all())


def take_turns(one: Points, other: Points, same_place_mm: float) -> bool:
    """Tell whether two sets of positions lie between each other, at no place together.

    Args:
        one, other: (n,) and (m,) mm along one normal, in any order.
        same_place_mm: below it two positions are one place.
    """
    a, b = np.unique(one), np.unique(other)
    if np.abs(a[:, None] - b[None, :]).min() <= same_place_mm:
        return False
    owners = np.concatenate([np.zeros(len(a)), np.ones(len(b))])
    owners = owners[np.argsort(np.concatenate([a, b]), kind="stable")]
    changes = int((np.diff(owners) != 0).sum())
    return changes >= max(2, min(len(a), len(b)) // 2)
