"""Siemens' CSA headers: named lists of texts inside one private element.

An image or a series header (0029,xx10), (0029,xx20) begins with "SV10" (CSA2) or directly with the
number of its tags (CSA1). Numbers are little endian whatever the transfer syntax, as the element
is OB. A tag is a name of 64 bytes, multiplicity, VR, type and number of items; an item is four
words, of which the second says how long its text is, and the text, padded to words. Some CSA1
headers have the length in the first word only, too large by the first tag's number of items. What
follows a NUL, and padding, is garbage in CSA1.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from struct import Struct
from typing import Final

Csa = Mapping[str, tuple[str, ...]]
"""Name of a tag -> its values as text, without empty ones at the end."""

MAGIC: Final = b"SV10"
_AFTER_MAGIC: Final = 8
_COUNTS: Final = Struct("<II")
_TAG: Final = Struct("<64si4siII")
_ITEM: Final = Struct("<4i")
_CHECKS: Final = frozenset({77, 205})
"""Words that follow every count in headers from scanners."""
_MOST_TAGS: Final = 1000
"""Scanners write a hundred tags; more are damage."""
_MOST_ITEMS: Final = 100_000
_WORD: Final = 4
_NUMBERS: Final = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "UL", "US"})


@lru_cache(maxsize=4)
def parse_csa(raw: bytes) -> Csa | None:
    """Read a CSA header.

    Args:
        raw: the value of the element; bytes after the last tag are ignored.

    Returns:
        None if it is damaged, as then nothing in it can be trusted.
    """
    second = raw.startswith(MAGIC)
    at = _AFTER_MAGIC if second else 0
    if len(raw) < at + _COUNTS.size:
        return None
    tags, check = _COUNTS.unpack_from(raw, at)
    at += _COUNTS.size
    if not 1 <= tags <= _MOST_TAGS or check not in _CHECKS:
        return None
    found: dict[str, tuple[str, ...]] = {}
    offset: int | None = 0 if second else None
    for _ in range(tags):
        if at + _TAG.size > len(raw):
            return None
        name, multiplicity, vr, _, items, check = _TAG.unpack_from(raw, at)
        at += _TAG.size
        if check not in _CHECKS or items > _MOST_ITEMS:
            return None
        if offset is None:
            offset = items
        values, after = _items(raw, at, items, None if second else offset)
        if after is None:
            return None
        at = after
        numeric = _text(vr) in _NUMBERS
        found[_text(name)] = _used(values, multiplicity, numeric=numeric)
    return found


def _items(raw: bytes, at: int, count: int, surplus: int | None) -> tuple[list[str], int | None]:
    """Read the items of one tag, and the offset of the next tag; None if they overrun."""
    values: list[str] = []
    for _ in range(count):
        if at + _ITEM.size > len(raw):
            return values, None
        words = _ITEM.unpack_from(raw, at)
        at += _ITEM.size
        length = words[1]
        if surplus is not None and words[0] != words[1]:
            length = words[0] - surplus
        if length < 0 or at + length > len(raw):
            return values, None
        values.append(_text(raw[at : at + length]))
        at += -(-length // _WORD) * _WORD
    return values, at


def _used(values: list[str], multiplicity: int, *, numeric: bool) -> tuple[str, ...]:
    """Return as many values as the multiplicity states, all if it is 0, without empty ones at the
    end."""
    meant = values[:multiplicity] if multiplicity > 0 else values
    while meant and not meant[-1]:
        meant.pop()
    return tuple(value.strip() for value in meant) if numeric else tuple(meant)


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("latin-1")
