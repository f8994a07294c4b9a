"""The 4th axis: which of the frames at one position belongs to which volume.

The attribute that defines the order decides, the most specific first; there is no guess. An
attribute is good when it tells all frames at each position apart, and means the same volume at
all positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from node.assemble.facts import DAY, LONGEST_PAUSE, elapsed
from node.assemble.model import FrameHeader
from node.assemble.stacking import Stack, begin
from node.errors import AssemblyError, Reason

FEWEST_COMPLETE: Final = 2
"""Volumes that must be complete before an incomplete last one is taken for an interrupted scan."""

SAME_WEIGHTING: Final = 20.0
"""s/mm²; what the imaging gradients of b = 0 add, and by how much slices may differ."""
SAME_WEIGHTING_PART: Final = 0.05
"""The same as a part of the b-value: what was played out, not what was asked for."""
SAME_GRADIENT: Final = 0.1
"""Length of the difference of unit vectors; six degrees."""

Value = float | tuple[float, ...]


class Timeline(NamedTuple):
    """Where each frame of a stack goes.

    Attributes:
        grid: for every volume, the index of the stack's piece at every position.
        defined_by: the attribute that defined the order; empty for a single volume.
        left_out: pieces of an incomplete last volume.
    """

    grid: tuple[tuple[int, ...], ...]
    defined_by: str = ""
    left_out: tuple[int, ...] = ()


def _number(frame: FrameHeader) -> Value | None:
    return frame.number


def _multi_frame(frame: FrameHeader) -> Value | None:
    """Return the number of the image that a frame is in, then its place in that image."""
    return None if frame.instance is None else (float(frame.instance), *frame.dimensions)


_NO_TIME: Final = "Acquisition Number"
_OF_IMAGES: Final = "Instance Number of multi-frame images"
_CLOCK: Final = "Acquisition Time"
_SHARED: Final[tuple[tuple[str, Callable[[FrameHeader], Value | None]], ...]] = (
    ("the vendor's volume index", lambda frame: frame.order or None),
    ("Dimension Index Values", lambda frame: frame.dimensions or None),
    ("Temporal Position", lambda frame: frame.temporal),
    ("Frame Reference Time", lambda frame: frame.reference_time),
    ("Trigger Time", lambda frame: frame.trigger_time),
    (_OF_IMAGES, _multi_frame),
    (_NO_TIME, lambda frame: frame.acquisition),
    (_CLOCK, lambda frame: frame.acquired),
)
"""Attributes with one value in a volume, which is the same at all positions."""

_RISING: Final[tuple[tuple[str, Callable[[FrameHeader], Value | None]], ...]] = (
    ("Instance Number", _number),
    ("Acquisition Time", lambda frame: frame.acquired),
    ("Content Time", lambda frame: frame.shown),
)
"""Attributes that differ within a volume, and rise by volume or by position."""


def arrange(stack: Stack) -> Timeline:
    """Distribute the frames of a stack over volumes.

    Raises:
        AssemblyError: frames at one position that nothing tells apart, or volumes with holes.
    """
    places = stack.at_each_position()
    most = max(len(place) for place in places)
    if most == 1:
        return Timeline((tuple(place[0] for place in places),))
    contradictory = False
    for name, value in _SHARED:
        found = _by_shared_value(stack, places, name, value)
        if found is None or _mixed(stack, found):
            continue
        if name == _OF_IMAGES and _is_against_time(stack, found):
            continue
        if name == _NO_TIME and _is_backwards(stack, found):
            contradictory = True
            continue
        return found
    if all(len(place) == most for place in places):
        # numbers alone prove no time, and prove nothing if they contradict each other
        for name, value in _RISING[len(places) == 1 or contradictory :]:
            found = _by_rank(stack, places, name, value)
            if found is not None and not _mixed(stack, found):
                return found
    else:
        found = _by_runs(stack, places)
        if found is not None and not _mixed(stack, found):
            return found
    if contradictory:
        raise AssemblyError(
            Reason.AMBIGUOUS_ORDER,
            f"{most} frames at each of {len(places)} positions, in one order by Acquisition Number "
            "and in the opposite one by Instance Number, and no time decides.",
            tuple(dict.fromkeys(piece.uid for piece in stack.pieces)),
        )
    raise _refusal(stack, places)


def _is_backwards(stack: Stack, timeline: Timeline) -> bool:
    """Tell whether Instance Numbers of one slice fall from volume to volume.

    Neither they nor Acquisition Number are a time, so that what they say of the order counts only
    if they agree.
    """
    numbers = [stack.pieces[row[0]].frame.number for row in timeline.grid]
    known = [number for number in numbers if number is not None]
    return len(known) == len(numbers) > 1 and all(a > b for a, b in pairwise(known))


def _is_against_time(stack: Stack, timeline: Timeline) -> bool:
    """Tell whether a later volume was acquired before an earlier one: numbers are no time."""
    starts = [begin(stack.pieces[index] for index in row) for row in timeline.grid]
    known = [start for start in starts if start is not None]
    return any(elapsed(one, other) < 0 for one, other in pairwise(known))


def _mixed(stack: Stack, timeline: Timeline) -> bool:
    """Tell whether a volume would hold slices of different diffusion weighting."""
    if all(piece.frame.b_value is None for piece in stack.pieces):
        return False
    return any(
        _otherwise(stack.pieces[row[0]].frame, stack.pieces[index].frame)
        for row in timeline.grid
        for index in row[1:]
    )


def _otherwise(one: FrameHeader, other: FrameHeader) -> bool:
    first, second = one.b_value or 0.0, other.b_value or 0.0
    if abs(first - second) > SAME_WEIGHTING + SAME_WEIGHTING_PART * max(first, second):
        return True
    if one.gradient is None or other.gradient is None:
        return one.gradient != other.gradient and min(first, second) > SAME_WEIGHTING
    return math.dist(one.gradient, other.gradient) > SAME_GRADIENT


def _by_shared_value(
    stack: Stack, places: list[list[int]], name: str, value: Callable[[FrameHeader], Value | None]
) -> Timeline | None:
    """Build volumes of equal values; None if the attribute does not tell volumes apart."""
    tables: list[dict[Value, int]] = []
    for place in places:
        table: dict[Value, int] = {}
        for index in place:
            key = value(stack.pieces[index].frame)
            if key is None or key in table:
                return None
            table[key] = index
        tables.append(table)
    keys = sorted(set().union(*tables), key=_sortable)
    if name == _CLOCK:
        keys = _over_midnight(keys)
    whole = [all(key in table for table in tables) for key in keys]
    complete = sum(whole)
    if complete < len(keys) and (complete < FEWEST_COMPLETE or False in whole[:complete]):
        return None
    grid = tuple(tuple(table[key] for table in tables) for key in keys[:complete])
    rest = [table[key] for key in keys[complete:] for table in tables if key in table]
    return Timeline(grid, name, tuple(rest))


def _over_midnight(keys: list[Value]) -> list[Value]:
    """Return times of acquisition in their order; without a day, 23:59 may come before 0:01."""
    times = [key for key in keys if isinstance(key, int)]
    if len(times) < len(keys) or not times or times[-1] >= DAY:
        return keys
    for index, (one, other) in enumerate(pairwise(times), 1):
        if other - one > LONGEST_PAUSE:
            return keys[index:] + keys[:index]
    return keys


def _sortable(value: Value) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)


def _by_rank(
    stack: Stack, places: list[list[int]], name: str, value: Callable[[FrameHeader], Value | None]
) -> Timeline | None:
    """Build volumes of equal rank at each position.

    That is right only if volumes follow each other (all of one before all of the next), or
    positions do; anything between would be a guess.
    """
    columns: list[list[tuple[float, int]]] = []
    for place in places:
        column = []
        for index in place:
            key = value(stack.pieces[index].frame)
            if not isinstance(key, int | float):
                return None
            column.append((float(key), index))
        column.sort()
        if any(a[0] == b[0] for a, b in pairwise(column)):
            return None
        columns.append(column)
    keys = [[key for key, _ in column] for column in columns]
    by_volume = _follow([list(row) for row in zip(*keys, strict=True)])
    if not by_volume and not _follow(sorted(keys)):
        return None
    grid = tuple(tuple(index for _, index in row) for row in zip(*columns, strict=True))
    return Timeline(grid, name)


def _follow(groups: Sequence[Sequence[float]]) -> bool:
    """Tell whether all of each group comes before all of the next."""
    return all(max(a) < min(b) for a, b in pairwise(groups))


def _by_runs(stack: Stack, places: list[list[int]]) -> Timeline | None:
    """Build volumes of an interrupted scan: runs of Instance Number that visit each position."""
    order: list[tuple[float, int, int]] = []
    for k, place in enumerate(places):
        for index in place:
            number = stack.pieces[index].frame.number
            if number is None:
                return None
            order.append((number, k, index))
    order.sort()
    if len({number for number, _, _ in order}) < len(order):
        return None
    runs: list[dict[int, int]] = [{}]
    for _, k, index in order:
        if k in runs[-1]:
            runs.append({})
        runs[-1][k] = index
    *whole, last = runs
    if len(whole) < FEWEST_COMPLETE or any(len(run) < len(places) for run in whole):
        return None
    grid = tuple(tuple(run[k] for k in range(len(places))) for run in whole)
    return Timeline(grid, "Instance Number", tuple(last.values()))


def _refusal(stack: Stack, places: list[list[int]]) -> AssemblyError:
    counts = [len(place) for place in places]
    doubled = [k for k, count in enumerate(counts) if count > 1]
    uids = tuple(stack.pieces[index].uid for k in doubled for index in places[k])
    shown = ", ".join(f"{stack.distances[k]:.3f}" for k in doubled[:10])
    if len(set(counts)) == 1:
        return AssemblyError(
            Reason.AMBIGUOUS_ORDER,
            f"{counts[0]} frames at each of {len(counts)} positions, and no attribute says which "
            "of them belong together.",
            uids,
        )
    if len(doubled) <= len(counts) // 2:
        return AssemblyError(
            Reason.DUPLICATE_POSITION,
            f"Several different frames at one position ({shown} mm), one at the others.",
            uids,
        )
    return AssemblyError(
        Reason.INCOMPLETE_GRID,
        f"Between {min(counts)} and {max(counts)} frames at the {len(counts)} positions: "
        "volumes with missing slices.",
        uids,
    )
