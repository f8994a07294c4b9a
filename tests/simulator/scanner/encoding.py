"""A data set in Explicit VR Little Endian, written fast: only what the simulator needs (PS3.5)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

Value = str | int | float | tuple[str | int | float, ...]

_LONG: Final = frozenset({"OB", "OW", "SQ", "UN", "UT"})
_BINARY: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_ITEM: Final = struct.pack("<HH", 0xFFFE, 0xE000)


def decimal(value: float) -> str:
    """Write a decimal string of at most 16 characters (PS3.5 6.2)."""
    text = f"{value:.10g}"
    return text if len(text) <= 16 else f"{value:.7g}"


@lru_cache(maxsize=1 << 16)
def element(tag: int, vr: str, value: Value) -> bytes:
    """Write one element that is no sequence."""
    if vr == "AT":
        assert isinstance(value, int)
        raw = struct.pack("<HH", value >> 16, value & 0xFFFF)
        return _framed(tag, vr, raw)
    values = value if isinstance(value, tuple) else (value,)
    if vr in _BINARY:
        raw = b"" if values == ("",) else struct.pack(f"<{len(values)}{_BINARY[vr]}", *values)
        return _framed(tag, vr, raw)
    text = "\\".join(decimal(one) if isinstance(one, float) else str(one) for one in values)
    raw = text.encode("ascii")
    if len(raw) % 2:
        raw += b"\0" if vr == "UI" else b" "
    return _framed(tag, vr, raw)


def sequence(tag: int, items: Iterable[bytes]) -> bytes:
    """Write a sequence of items of defined length."""
    raw = b"".join(_ITEM + struct.pack("<I", len(item)) + item for item in items)
    return _framed(tag, "SQ", raw)


def pixels(raw: bytes) -> bytes:
    """Write Pixel Data (7FE0,0010)."""
    return _framed(0x7FE00010, "OW", raw)


def data_set(elements: Sequence[tuple[int, bytes]]) -> bytes:
    """Join elements in the order of their tags."""
    return b"".join(raw for _, raw in sorted(elements))


def part10(sop_class: str, sop_instance: str, body: bytes) -> bytes:
    """Put preamble and meta information before a data set (PS3.10)."""
    meta = element(0x00020002, "UI", sop_class) + element(0x00020003, "UI", sop_instance)
    meta += element(0x00020010, "UI", "1.2.840.10008.1.2.1")
    return b"\0" * 128 + b"DICM" + element(0x00020000, "UL", len(meta)) + meta + body


def _framed(tag: int, vr: str, raw: bytes) -> bytes:
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode("ascii")
    if vr in _LONG:
        return head + struct.pack("<HI", 0, len(raw)) + raw
    return head + struct.pack("<H", len(raw)) + raw
