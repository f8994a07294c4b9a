"""Read several elements by a table of names, tags and readers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from node.dicom.values import Elements

T = TypeVar("T")
Entry = tuple[str, int, Callable[[Elements, int], T | None]]
"""Name, tag, and the function that reads its value."""


def read_table(elements: Elements, table: Iterable[Entry[T]]) -> dict[str, T]:
    """Return the values of a table's elements, by name, in its order.

    Args:
        elements: of a data set.
        table: the entries; elements that are absent, or read as None, are left out.
    """
    found = ((name, read(elements, tag)) for name, tag, read in table if tag in elements)
    return {name: value for name, value in found if value is not None}
