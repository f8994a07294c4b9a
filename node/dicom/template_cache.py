"""Values that are the same for all data sets of one header template, computed once.

`HeaderTemplate` knows which elements of its data sets vary. A function that reads none of them
returns the same for all data sets. Which elements a function reads is recorded when it runs for the
first time, so that nobody has to list them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from node.dicom.values import Elements

T = TypeVar("T")
Entry = tuple[str, int, Callable[[Elements, int], T | None]]
"""Name, tag, and the function that reads its value."""
_SplitTable = tuple[dict[str, T | None], list[Entry[T]]]
"""The constant values of a table, and the entries that have to be read for each data set."""
_VARIES: object = object()
"""In the cache for a function that reads varying elements."""


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
    if read not in cache.results:
        recording, tags = elements.recording()
        value = read(recording)
        cache.results[read] = value if tags.isdisjoint(cache.varying) else _VARIES
        return value
    known = cache.results[read]
    return read(elements) if known is _VARIES else known


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
    split: _SplitTable[T] | None = cache.results.get(id(table))
    if split is None:
        split = cache.results[id(table)] = _split(elements, table, cache.varying)
    constant, varying = split
    values = dict(constant)
    for name, tag, read in varying:
        values[name] = read(elements, tag)
    return {name: value for name, value in values.items() if value is not None}


def _split(
    elements: Elements, table: Iterable[Entry[T]], varying: frozenset[int]
) -> _SplitTable[T]:
    """Read a table once; None stands in place of values that vary, so that the order stays."""
    constant: dict[str, T | None] = {}
    entries: list[Entry[T]] = []
    for name, tag, read in table:
        recording, tags = elements.recording()
        if tag not in recording:
            continue
        value = read(recording, tag)
        if tags.isdisjoint(varying):
            constant[name] = value
        else:
            constant[name] = None
            entries.append((name, tag, read))
    return constant, entries
