"""Group frames by direction and pixel spacing, whatever rounding did to them."""

from __future__ import annotations

from typing import Final

import numpy as np

from node.assemble.stacks.geometry import RESIDUAL_MM, SAME_DIRECTION, Planes, Points

_SAME_SPACING_MM: Final = 2e-4
"""mm; the same pixel spacing written with different numbers of decimals."""
_NEAR_DIRECTION: Final = 0.02
"""Difference of a cosine, about one degree: two prescribed directions differ by more."""
_NEAR_SPACING: Final = 0.02
"""Fraction of the pixel spacing: two prescribed spacings differ by more."""


def parallel(planes: Planes, same_place_mm: float) -> list[list[int]]:
    """Separate frames by direction and pixel spacing.

    Frames that differ by more than rounding, but by too little to be prescribed so, stay together
    where they alternate along the normal: separated, each half would look like an image of twice
    the step. Whether they fit one grid together is measured later.

    Args:
        planes: of n frames of one kind and size, LPS mm.
        same_place_mm: mm along the normal; two frames that are nearer lie at one position.

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
    """Tell whether the first frames of two sets have one prescribed direction.

    Args:
        one: planes of frames.
        other: planes of other frames.
    """
    turned = [one.row[0] - other.row[0], one.column[0] - other.column[0]]
    return bool((np.abs(turned) <= _NEAR_DIRECTION).all())


def _alike(planes: Planes) -> list[list[int]]:
    """Separate frames so that every part has the direction and spacing of its first member."""
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
    """Return the distance, mm, of the last pixels of two frames if both lay at one position."""
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
        same_place_mm: mm; two positions that are nearer are one.
    """
    near = np.abs(one[:, None] - other[None, :]) <= same_place_mm
    shared, also = near.any(axis=1), near.any(axis=0)
    return bool(shared.all() != also.all())


def take_turns(one: Points, other: Points, same_place_mm: float) -> bool:
    """Tell whether two sets of positions alternate and share none.

    Args:
        one, other: (n,) and (m,) mm along one normal, in any order.
        same_place_mm: mm; two positions that are nearer are one.
    """
    a, b = np.unique(one), np.unique(other)
    if np.abs(a[:, None] - b[None, :]).min() <= same_place_mm:
        return False
    owners = np.concatenate([np.zeros(len(a)), np.ones(len(b))])
    owners = owners[np.argsort(np.concatenate([a, b]), kind="stable")]
    changes = int((np.diff(owners) != 0).sum())
    return changes >= max(2, min(len(a), len(b)) // 2)
