"""What data sets that are alike have in common is worked out once.

Which elements a function reads is seen while it runs: if none of them differs between the data
sets, neither does what it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from node.dicom.values import Elements

T = TypeVar("T")
Entry = tuple[str, int, Callable[[Elements, int], T | None]]
"""Name, tag, and what reads its value."""
Part = tuple[str, Callable[[Elements], T]]
"""Name, and what reads it."""
_Plan = tuple[dict[str, T | None], list[Entry[T]]]
_Parts = tuple[dict[str, T], list[Part[T]]]


def once(elements: Elements, read: Callable[[Elements], T]) -> T:
    """Return what `read` makes of elements, nobody may change it.

    Args:
        elements: of a data set.
        read: a function of a module, that depends on nothing but them.
    """
    likeness = elements.likeness
    if likeness is None:
        return read(elements)
    known: tuple[T] | tuple[()] | None = likeness.derived.get(read)
    if known is None:
        watched, asked = elements.watched()
        value = read(watched)
        likeness.derived[read] = (value,) if asked.isdisjoint(likeness.volatile) else ()
        return value
    return known[0] if known else read(elements)


def read_table(elements: Elements, name: str, table: Iterable[Entry[T]]) -> dict[str, T]:
    """Return what a table's elements hold, in its order; None and what is absent are left out.

    Args:
        elements: of a data set.
        name: of the table, unlike any other's.
        table: a constant, each name once, whose functions depend on nothing but the elements.
    """
    likeness = elements.likeness
    if likeness is None:
        return _read_all(elements, table)
    plan: _Plan[T] | None = likeness.derived.get(name)
    if plan is None:
        plan = likeness.derived[name] = _planned(elements, likeness.volatile, table)
    same, differing = plan
    values = dict(same)
    for key, tag, read in differing:
        values[key] = read(elements, tag)
    return {key: value for key, value in values.items() if value is not None}


def read_parts(elements: Elements, name: str, parts: Iterable[Part[T]]) -> dict[str, T]:
    """Return what each part reads.

    Args:
        elements: of a data set.
        name: of the parts, unlike that of any table.
        parts: a constant, each name once, whose functions depend on nothing but the elements.
    """
    likeness = elements.likeness
    if likeness is None:
        return {key: read(elements) for key, read in parts}
    plan: _Parts[T] | None = likeness.derived.get(name)
    if plan is None:
        plan = likeness.derived[name] = _parted(elements, likeness.volatile, parts)
    same, differing = plan
    return same | {key: read(elements) for key, read in differing}


def _parted(elements: Elements, volatile: frozenset[int], parts: Iterable[Part[T]]) -> _Parts[T]:
    """The parts that are the same in all, and those that have to be read."""
    same: dict[str, T] = {}
    differing: list[Part[T]] = []
    for key, read in parts:
        watched, asked = elements.watched()
        value = read(watched)
        if asked.isdisjoint(volatile):
            same[key] = value
        else:
            differing.append((key, read))
    return same, differing


def _read_all(elements: Elements, table: Iterable[Entry[T]]) -> dict[str, T]:
    found = ((key, read(elements, tag)) for key, tag, read in table if tag in elements)
    return {key: value for key, value in found if value is not None}


def _planned(elements: Elements, volatile: frozenset[int], table: Iterable[Entry[T]]) -> _Plan[T]:
    """The values that are the same in all, in the table's order, and how the others are read."""
    same: dict[str, T | None] = {}
    differing: list[Entry[T]] = []
    for key, tag, read in table:
        watched, asked = elements.watched()
        if tag in watched:
            value = read(watched, tag)
            if asked.isdisjoint(volatile):
                same[key] = value
            else:
                same[key] = None
                differing.append((key, tag, read))
    return same, differing
