"""Decode value fields to text and numbers, and cache short values.

Each function depends on its arguments alone. All but a dozen elements of a slice have the values of
the slice before, which are then decoded once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from struct import iter_unpack
from typing import Final, TypeVar

from node.dicom.charsets import decode

BLANK: Final = " \0\t\r\n"
_CHARSET_VRS: Final = frozenset({"SH", "LO", "ST", "LT", "PN", "UC", "UT", "UN"})
_WHOLE_VRS: Final = frozenset({"ST", "LT", "UT", "UR"})
"""VRs that hold one value in which a backslash is a backslash (PS3.5 6.2)."""
_BINARY: Final = {
    "US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d",
    "OB": "B", "OW": "H", "OL": "I", "OV": "Q", "OF": "f", "OD": "d", "AT": "HH",
}  # fmt: skip
_SIZES: Final = {"B": 1, "H": 2, "h": 2, "I": 4, "i": 4, "Q": 8, "q": 8, "f": 4, "d": 8, "HH": 4}
_MOST_VALUES: Final = 1 << 17
"""No attribute that is read as numbers has more values; more would only take memory."""
_LARGEST_WHOLE: Final = 2.0**53  # floating point has every integer up to here
_REMEMBERED: Final = 16384  # values of each kind in the cache
_SHORT: Final = 128  # bytes of the longest value in the cache

T = TypeVar("T")


def _remembering(
    read: Callable[[bytes, str, str, bool], T],
) -> Callable[[bytes, str, str, bool], T]:
    remembered = lru_cache(maxsize=_REMEMBERED)(read)

    def recall(raw: bytes, vr: str, charset: str, little: bool) -> T:
        if len(raw) > _SHORT:
            return read(raw, vr, charset, little)
        return remembered(raw, vr, charset, little)

    return recall


@_remembering
def text_of(raw: bytes, vr: str, charset: str, little: bool) -> str | None:
    r"""Return the whole value as text, several values separated by a backslash.

    Args:
        raw: the value field.
        vr: the two letters of its VR.
        charset: value of Specific Character Set (0008,0005).
        little: numbers are little endian.
    """
    if vr in _BINARY:
        return "\\".join(_written(number) for number in unpack(raw, vr, little=little))
    if vr == "SQ":
        return None
    decoded = decode(raw, charset) if vr in _CHARSET_VRS else raw.decode("latin-1")
    return decoded.strip(BLANK)


@_remembering
def texts_of(raw: bytes, vr: str, charset: str, little: bool) -> tuple[str, ...]:
    """Return every value as text, without padding; empty for an empty element.

    Args:
        raw: the value field.
        vr: the two letters of its VR.
        charset: value of Specific Character Set (0008,0005).
        little: numbers are little endian.
    """
    value = text_of(raw, vr, charset, little)
    if not value:
        return ()
    if vr in _WHOLE_VRS:
        return (value,)
    return tuple(part.strip(BLANK) for part in value.split("\\"))


@_remembering
def numbers_of(raw: bytes, vr: str, _charset: str, little: bool) -> tuple[float, ...]:
    """Return all values as finite numbers; empty if any of them is not.

    Args:
        raw: the value field.
        vr: the two letters of its VR.
        little: numbers are little endian.
    """
    if vr in _BINARY:
        values = tuple(float(value) for value in unpack(raw, vr, little=little))
    else:
        values = _parse(raw)
    return values if all(map(math.isfinite, values)) else ()


@_remembering
def number_of(raw: bytes, vr: str, _charset: str, little: bool) -> float | None:
    """Return the first value as a finite number; None if it is not.

    Args:
        raw: the value field.
        vr: the two letters of its VR.
        little: numbers are little endian.
    """
    if vr in _BINARY:
        values = unpack(raw[: _SIZES[_BINARY[vr]]], vr, little=little)
    else:
        values = _parse(raw.split(b"\\", 1)[0])
    return float(values[0]) if values and math.isfinite(values[0]) else None


def whole(value: float | None) -> int | None:
    """Return a whole number as an integer; None for others and beyond 2^53.

    Examples:
        >>> whole(3.0), whole(3.5)
        (3, None)
    """
    known = value is not None and value.is_integer() and abs(value) <= _LARGEST_WHOLE
    return int(value) if known and value is not None else None


def unpack(raw: bytes, vr: str, *, little: bool) -> tuple[float, ...]:
    """Return the complete numbers of a binary value; empty if there are too many.

    Args:
        raw: the value field.
        vr: the two letters of a binary VR.
        little: numbers are little endian.
    """
    code = _BINARY[vr]
    size = _SIZES[code]
    count = len(raw) // size
    if count > _MOST_VALUES:
        return ()
    whole = raw[: count * size]
    order = "<" if little else ">"
    if code == "HH":
        return tuple(high << 16 | low for high, low in iter_unpack(order + code, whole))
    return tuple(value for (value,) in iter_unpack(order + code, whole))


def _parse(raw: bytes) -> tuple[float, ...]:
    """Parse DS or IS (PS3.5 6.2); empty if any value is not a number."""
    if b"_" in raw or raw.count(b"\\") >= _MOST_VALUES:
        return ()
    try:
        return tuple(float(part.strip(b" \0")) for part in raw.rstrip(b" \0").split(b"\\"))
    except ValueError:
        return ()


def _written(number: float) -> str:
    return str(number) if isinstance(number, int) else repr(number)
