"""Values that are the same for all data sets of one header template, computed once.

`HeaderTemplate` knows which elements of its data sets vary. A function that reads none of them
returns the same for all data sets. Which elements a function reads is recorded when it runs for the
first time, so that nobody has to list them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from node.dicom.values import Elements

T = TypeVar("T")
Part = tuple[str, Callable[[Elements], T]]
"""Name, and the function that reads its value."""
Entry = tuple[str, int, Callable[[Elements, int], T | None]]
"""Name, tag, and the function that reads its value."""
_Split = tuple[dict[str, T], list[Part[T]]]
"""The constant values, and the parts that have to be read for each data set."""
_VARIES: object = object()
"""In the cache for a function that reads varying elements."""
_UNKNOWN: object = object()


def cached(elements: Elements, read: Callable[[Elements], T]) -> T:
    """Return `read(elements)`, from the cache if no element that it reads varies.

    Args:
        elements: of a data set.
        read: a function of a module that depends on the elements alone; its result is shared and
            must not be changed.
    """
    cache = elements.cache
    if cache is None:
        return read(elements)
    known: T = cache.results.get(read, _UNKNOWN)
    if known is _UNKNOWN:
        value, varies = _recorded(elements, read, cache.varying)
        cache.results[read] = _VARIES if varies else value
        return value
    return read(elements) if known is _VARIES else known


def read_parts(elements: Elements, parts: Iterable[Part[T]]) -> dict[str, T]:
    """Return the values of parts, by name, in their order.

    Args:
        elements: of a data set.
        parts: a constant of a module, whose functions depend on the elements alone.
    """
    cache = elements.cache
    if cache is None:
        return {name: read(elements) for name, read in parts}
    split: _Split[T] | None = cache.results.get(id(parts))
    if split is None:
        split = cache.results[id(parts)] = _split(elements, parts, cache.varying)
    return _joined(elements, split)


def read_table(elements: Elements, table: Iterable[Entry[T]]) -> dict[str, T]:
    """Return the values of a table's elements, by name, in its order.

    Args:
        elements: of a data set.
        table: a constant of a module, whose functions depend on the elements alone. Elements that
            are absent, or read as None, are left out.
    """
    cache = elements.cache
    if cache is None:
        found = ((name, read(elements, tag)) for name, tag, read in table if tag in elements)
        return {name: value for name, value in found if value is not None}
    split: _Split[T | None] | None = cache.results.get(id(table))
    if split is None:
        parts = [(name, _part(tag, read)) for name, tag, read in table if tag in elements]
        split = cache.results[id(table)] = _split(elements, parts, cache.varying)
    return {name: value for name, value in _joined(elements, split).items() if value is not None}


def _joined(elements: Elements, split: _Split[T]) -> dict[str, T]:
    constant, varying = split
    values = dict(constant)
    for name, read in varying:
        values[name] = read(elements)
    return values


def _split(elements: Elements, parts: Iterable[Part[T]], varying: frozenset[int]) -> _Split[T]:
    """Read parts once; None stands in place of values that vary, so that the order stays."""
    constant: dict[str, Any] = {}
    again: list[Part[T]] = []
    for name, read in parts:
        value, varies = _recorded(elements, read, varying)
        constant[name] = None if varies else value
        if varies:
            again.append((name, read))
    return constant, again


def _recorded(
    elements: Elements, read: Callable[[Elements], T], varying: frozenset[int]
) -> tuple[T, bool]:
    """The value of a function, and whether it reads an element that varies."""
    recording, tags = elements.recording()
    value = read(recording)
    return value, not tags.isdisjoint(varying)


def _part(tag: int, read: Callable[[Elements, int], T | None]) -> Callable[[Elements], T | None]:
    return lambda elements: read(elements, tag)
