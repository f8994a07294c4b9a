"""The evidence of one attribute: which frames are one volume, and the order of the volumes.

An attribute gives a partition of the frames into volumes and their order, or it abstains. It is
judged by the whole stack, never by one position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np

from node.assemble.order.dicom_times import DAY, LONGEST_PAUSE
from node.assemble.order.number_patterns import (
    SAME_VALUE,
    begin_together,
    follow,
    follow_by_place,
    is_alike,
    is_even_by_place,
    is_scaled,
    is_steady,
)
from node.assemble.stacks.grouping import same_values

Value = float | tuple[float, ...]
Grid = tuple[tuple[int, ...], ...]

_MOSTLY: Final = 0.6
"""Fraction of the values that occur at several positions, from which on they are of volumes."""
FEWEST_COMPLETE: Final = 2
"""Number of complete volumes, from which on an incomplete last one counts as an interrupted scan
where only times or numbers give evidence of it."""


class Evidence(NamedTuple):
    """What one attribute says about the volumes of a stack.

    Attributes:
        name: name of the attribute.
        grid: [t][k] index of the stack's piece; empty if the attribute proves that volumes lack
            frames.
        left_out: pieces of an incomplete last volume.
        lacking: number of volumes that lack frames, besides an incomplete last one.
    """

    name: str
    grid: Grid = ()
    left_out: tuple[int, ...] = ()
    lacking: int = 0

    @property
    def partition(self) -> frozenset[tuple[int, ...]]:
        """Which frames are one volume, whatever the order of the volumes."""
        return frozenset(self.grid)


Places = Sequence[Sequence[int]]


def by_label(name: str, values: Sequence[Value | None], places: Places) -> Evidence | None:
    """Return the evidence of an attribute that has one value in a volume, at all positions.

    Args:
        name: name of the attribute.
        values: its value in every frame of the stack.
        places: the indices of the frames at every position.

    Returns:
        None if it abstains: some frame has no value, two frames at one position have the same
        value, or no value occurs at two positions.
    """
    tables: list[dict[Value, int]] = []
    for place in places:
        table: dict[Value, int] = {}
        for index in place:
            key = values[index]
            if key is None or key in table:
                return None
            table[key] = index
        tables.append(table)
    counts: dict[Value, int] = {}
    for table in tables:
        for key in table:
            counts[key] = counts.get(key, 0) + 1
    keys = sorted(counts, key=lambda key: key if isinstance(key, tuple) else (key,))
    if len(places) > 1 and max(counts.values()) == 1:
        return None
    whole = [counts[key] == len(places) for key in keys]
    complete = keys[:-1] if not whole[-1] else keys
    lacking = sum(not one for one in whole[: len(complete)])
    if lacking or not complete:
        return Evidence(name, lacking=max(lacking, 1))
    grid = tuple(tuple(table[key] for table in tables) for key in complete)
    rest = [table[keys[-1]] for table in tables if keys[-1] in table] if not whole[-1] else []
    return Evidence(name, grid, tuple(rest))


def by_moment(
    name: str,
    values: Sequence[float | None],
    places: Places,
    within: float,
) -> Evidence | None:
    """Return the evidence of a time that the slices of one volume share approximately.

    Args:
        name: name of the attribute.
        values: its value in every frame of the stack.
        places: the indices of the frames at every position.
        within: fraction of the shortest step at one position; times that differ by less are of
            one volume.

    Returns:
        None if it abstains: as `by_label` does, or because there are only one whole volume and a
        part of another.
    """
    columns = [_column(values, place) for place in places]
    steps = [b[0] - a[0] for column in columns if column for a, b in pairwise(column)]
    if None in columns or not steps:
        return None
    limit = within * min(steps)
    distinct = sorted({value for value in values if value is not None})
    if limit > 0 and any(abs(b - a - limit) <= SAME_VALUE for a, b in pairwise(distinct)):
        return None  # times in whole seconds: one of them may belong to either volume
    label = same_values(distinct, limit)
    if _widest(label) > limit + SAME_VALUE:
        return None  # slices fill the time between volumes, so that no pause separates them
    numbers = [None if value is None else float(label[value]) for value in values]
    evidence = by_label(name, numbers, places)
    if evidence is None or (evidence.left_out and len(evidence.grid) < FEWEST_COMPLETE):
        return None  # times alone do not prove one volume and a part of another
    if not evidence.lacking:
        return evidence
    counts: dict[float | None, int] = {}
    for place in places:
        for key in {numbers[index] for index in place}:
            counts[key] = counts.get(key, 0) + 1
    shared = sum(count > 1 for count in counts.values())
    return evidence if shared >= _MOSTLY * len(counts) else None


def _widest(label: Mapping[Any, int]) -> float:
    """Return the largest extent of the numbers that have one label."""
    ends: dict[int, list[float]] = {}
    for value, number in label.items():
        if isinstance(value, int | float):
            ends.setdefault(number, []).append(value)
    return max((max(values) - min(values) for values in ends.values()), default=0.0)


def by_rank(
    name: str,
    values: Sequence[float | None],
    places: Places,
    *,
    exact: bool = False,
    beats: bool = False,
) -> Evidence | None:
    """Return the evidence of an attribute that rises from volume to volume at each position.

    Args:
        name: name of the attribute.
        values: its value in every frame of the stack.
        places: the indices of the frames at every position, the same number at each.
        exact: it counts (Instance Number), so that gaps show; otherwise it is a time.
        beats: it is a time since the R wave (Trigger Time), of heart beats that differ in length.

    Returns:
        None if it abstains: some frame has no value, two frames at one position have the same
        value, or no pattern repeats in all volumes or at all positions.
    """
    columns = [_column(values, place) for place in places]
    found = [column for column in columns if column is not None]
    if len(found) < len(columns):
        return None
    ranked = np.array([[key for key, _ in column] for column in found], np.float64).T  # (t, k)
    by_volume = follow(ranked) and is_steady(ranked, exact=exact)
    if exact:
        by_place = follow_by_place(ranked) and is_even_by_place(ranked)
    elif beats:
        by_place = begin_together(ranked) and is_scaled(ranked)
    else:
        by_place = follow_by_place(ranked) and is_alike(ranked)
    if not by_volume and not by_place and len(places) > 1:
        return None
    indices = [[index for _, index in column] for column in found]
    return Evidence(name, tuple(zip(*indices, strict=True)))


def by_runs(name: str, values: Sequence[float | None], places: Places) -> Evidence | None:
    """Return the evidence of the numbers of an interrupted scan.

    They count from 0 or 1, in runs that each visit every position once.

    Args:
        name: name of the attribute.
        values: its value in every frame of the stack.
        places: the indices of the frames at every position.

    Returns:
        None if it abstains: some frame has no value, two frames have the same value, or the runs
        visit the positions in different orders.
    """
    order: list[tuple[float, int, int]] = []
    for k, place in enumerate(places):
        for index in place:
            value = values[index]
            if value is None:
                return None
            order.append((value, k, index))
    order.sort()
    if len({value for value, _, _ in order}) < len(order) or order[0][0] not in {0.0, 1.0}:
        return None  # the first frames may be missing
    runs: list[dict[int, int]] = [{}]
    for _, k, index in order:
        if k in runs[-1]:
            runs.append({})
        runs[-1][k] = index
    *whole, last = runs
    route = list(whole[0]) if whole else []
    if len(whole) < FEWEST_COMPLETE or len(route) < len(places):
        return None
    if any(list(run) != route for run in whole) or list(last) != route[: len(last)]:
        return None  # frames are missing in between: a run would hold frames of two volumes
    if not _begins(route):
        return None
    grid = tuple(tuple(run[k] for k in range(len(places))) for run in whole)
    return Evidence(name, grid, tuple(last.values()))


def _begins(route: Sequence[int]) -> bool:
    """Tell whether the slices are visited from an end on, so that the first one is not missing.

    Interleaved slices may begin with the second and go on with the fourth.
    """
    last = len(route) - 1
    first, after = route[0], route[1] if last else route[0]
    if first in {0, last}:
        return True
    return (first, after) in {(1, 3), (last - 1, last - 3)}


def over_midnight(times: Sequence[int | None]) -> tuple[list[int | None], bool]:
    """Return times that go on counting after midnight, µs, and whether any had to be changed.

    Without a date, or if all times have the same date, 0:01 follows 23:59: no scan pauses for more
    than half a day.
    """
    known = sorted({time for time in times if time is not None})
    if len(known) < 2 or known[0] // DAY != known[-1] // DAY:
        return list(times), False
    gap, at = max((later - before, later) for before, later in pairwise(known))
    if gap <= LONGEST_PAUSE:
        return list(times), False
    return [time + DAY if time is not None and time < at else time for time in times], True


def _column(values: Sequence[float | None], place: Sequence[int]) -> list[tuple[float, int]] | None:
    column = [(value, index) for index in place if (value := values[index]) is not None]
    column.sort()
    whole = len({value for value, _ in column}) == len(place)
    return column if whole else None
