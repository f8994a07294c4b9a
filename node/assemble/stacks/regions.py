"""Separate parallel frames of one kind into images by where they lie.

Some attributes separate frames only if their positions confirm it (`grouping.BY_PLACE`), and
positions alone can: two knees side by side, groups of slices at several discs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np

from node.assemble.stacks.attribute_values import Readings
from node.assemble.stacks.geometry import Planes, Points, is_even, residual_limit, same_position_mm
from node.assemble.stacks.grouping import BY_PLACE, STACK, Attribute, Piece, Rule, parted
from node.assemble.stacks.parallel import take_turns

_SIDE_BY_SIDE_MM: Final = 10.0
"""mm in the plane; images that are nearer are one that moved, or slices of a tilted gantry."""
_STRAIGHT_MM: Final = 1.0
"""mm in the plane; slices of one group beside others differ by less."""
_MOST_REGIONS: Final = 8
"""Number of images beside each other in one series, or of groups of slices along one line."""
_MOST_SHARED: Final = 0.5
"""Fraction of positions; two values that share at least so many are two images."""
_FEW_SHARED: Final = 0.25
"""Fraction of positions that two acquisitions may share where one ends and the next begins."""
_FEWEST: Final = 3
"""Number of slices from which on a regular grid is no coincidence."""
_OVERLAP: Final = 1.8
"""Slice thickness per step from which on alternating slices are of two acquisitions."""
_GAP: Final = 1.5
"""Steps; from this distance on the next slice begins another group, or a slice is missing."""


def divided(readings: Readings, planes: Planes, *, merge: bool = False) -> list[list[int]]:
    """Separate parallel frames of one kind.

    Args:
        readings: of n frames of one kind and direction.
        planes: their planes, LPS mm.
        merge: separate them by their positions only.

    Returns:
        the indices of every part.
    """
    found: list[list[int]] = []
    for region in _side_by_side(readings.pieces, planes):
        for part in [region] if merge else _by_attributes(readings, planes, region):
            found += _groups(readings.pieces, planes, part)
    return found


def _side_by_side(pieces: Sequence[Piece], planes: Planes) -> list[list[int]]:
    """Separate frames that lie beside each other in their plane, each group on a straight line."""
    everything = list(range(len(pieces)))
    normal = planes.normal()
    inside = planes.position - np.outer(planes.position @ normal, normal)
    if np.ptp(inside, axis=0).max() < _SIDE_BY_SIDE_MM:
        return [everything]
    along = planes.position @ normal
    limit = same_position_mm([piece.frame for piece in pieces])
    parts: list[list[int]] = []
    for index in everything:
        near = (
            part
            for part in parts
            if np.linalg.norm(inside[part[0]] - inside[index]) < _SIDE_BY_SIDE_MM / 2
        )
        home = next(near, None)
        if home is None:
            parts.append([index])
        else:
            home.append(index)
    if not 1 < len(parts) <= _MOST_REGIONS:
        return [everything]
    places = [_places(along[part], limit) for part in parts]
    straight = all(
        np.ptp(inside[part], axis=0).max() < _STRAIGHT_MM and is_even(own)
        for part, own in zip(parts, places, strict=True)
    )
    meet = any(_shared(one, other, limit) for one, other in combinations(places, 2))
    return parts if straight and meet and max(map(len, parts)) > 1 else [everything]


def _by_attributes(readings: Readings, planes: Planes, members: list[int]) -> list[list[int]]:
    own = readings.take(members)
    along = planes.position[members] @ planes.normal()
    limit = same_position_mm([piece.frame for piece in own.pieces])

    def meet(one: list[int], other: list[int]) -> bool:
        return _shared(_places(along[one], limit), _places(along[other], limit), limit) > 0

    for attribute in BY_PLACE:
        parts = parted(own.of(attribute), attribute, meet)
        if len(parts) > 1 and _parts(own.pieces, along, parts, attribute, limit):
            return [
                found
                for part in parts
                for found in _by_attributes(readings, planes, [members[index] for index in part])
            ]
    return [members]


def _parts(
    pieces: Sequence[Piece],
    along: Points,
    parts: list[list[int]],
    attribute: Attribute,
    limit: float,
) -> bool:
    """Tell whether the values of an attribute are separate images, by where their frames lie."""
    places = [_places(along[part], limit) for part in parts]
    acquisition = attribute.rule is Rule.ACQUISITION
    meeting = False
    for one, other in combinations(places, 2):
        count, size = _shared(one, other, limit), min(len(one), len(other))
        if not count:
            continue
        meeting = True
        few, many = count <= max(1, _FEW_SHARED * size), count >= _MOST_SHARED * size
        if not (few if acquisition else many):
            return False
    if meeting and not acquisition:
        return True
    if not all(is_even(own) for own in places):
        return False
    if meeting:
        alone = all(len(own) == len(part) for own, part in zip(places, parts, strict=True))
        return alone and min(map(len, places)) >= _FEWEST
    return _apart(pieces, _places(along, limit), places, attribute, limit)


def _apart(
    pieces: Sequence[Piece],
    union: Points,
    places: Sequence[Points],
    attribute: Attribute,
    limit: float,
) -> bool:
    """Tell the same for values whose positions are regular grids and share no position.

    Args:
        pieces: all frames.
        union: (n,) all positions, mm along the normal, ascending.
        places: the positions of each value, mm.
        attribute: the attribute.
        limit: mm; two positions that are nearer are one.
    """
    fewest = min(map(len, places))
    if len(union) == 2:
        return attribute.name == STACK and not _is_next(pieces, union)
    if fewest < 2 or len(places) > _MOST_REGIONS:
        return False
    turns = any(take_turns(a, b, limit) for a, b in combinations(places, 2))
    acquisition = attribute.rule is Rule.ACQUISITION
    if is_even(union):
        overlap = acquisition and fewest >= _FEWEST and _overlapping(pieces, union)
        return turns and (overlap or attribute.rule is Rule.RECONSTRUCTION)
    if attribute.rule is Rule.RECONSTRUCTION:
        return turns
    return not turns and not (acquisition and _is_gap(union))


def _overlapping(pieces: Sequence[Piece], union: Points) -> bool:
    """Tell whether slices are so much thicker than their step that two acquisitions alternate."""
    step = float(union[-1] - union[0]) / (len(union) - 1)
    thick = [piece.frame.thickness or 0.0 for piece in pieces]
    return min(thick) >= _OVERLAP * step


def _is_next(pieces: Sequence[Piece], union: Points) -> bool:
    """Tell whether two slices are as near to each other as neighbours of one stack."""
    thick = max((piece.frame.thickness or 0.0 for piece in pieces), default=0.0)
    return float(union[1] - union[0]) <= _OVERLAP * thick


def _is_gap(places: Points) -> bool:
    """Tell whether a regular stack lacks slices: all steps are multiples of the typical one."""
    steps = np.diff(places)
    least = float(np.median(steps))
    off = np.abs(steps - np.rint(steps / least) * least)
    return bool(off.max() <= residual_limit(least))


def _groups(pieces: Sequence[Piece], planes: Planes, members: list[int]) -> list[list[int]]:
    """Separate groups of slices along one line that have the same number of slices and step.

    A missing slice leaves a gap of whole steps; any other distance was prescribed.
    """
    along = planes.position[members] @ planes.normal()
    limit = same_position_mm([pieces[index].frame for index in members])
    places = _places(along, limit)
    if is_even(places) or pieces[members[0]].header.modality != "MR" or _is_gap(places):
        return [members]
    steps = np.diff(places)
    cuts = np.flatnonzero(steps > _GAP * np.median(steps)) + 1
    groups = np.split(places, cuts)
    sizes = {len(group) for group in groups}
    if not 1 < len(groups) <= _MOST_REGIONS or len(sizes) > 1 or min(sizes) < _FEWEST:
        return [members]
    lengths = [float(group[-1] - group[0]) for group in groups]
    if max(lengths) - min(lengths) > limit or not all(is_even(group) for group in groups):
        return [members]
    bounds = [float(group[0]) - limit for group in groups[1:]]
    labels = np.searchsorted(bounds, along)
    return [
        [member for member, label in zip(members, labels.tolist(), strict=True) if label == number]
        for number in range(len(groups))
    ]


def _places(along: Points, limit: float) -> Points:
    """Return the distinct positions, mm, ascending."""
    ordered = np.sort(along)
    return np.asarray(ordered[np.concatenate([[True], np.diff(ordered) > limit])])


def _shared(one: Points, other: Points, limit: float) -> int:
    """Return how many positions of one list the other has, too."""
    return int((np.abs(one[:, None] - other[None, :]).min(axis=1) <= limit).sum())
