"""How elements are encoded: tags, VRs and lengths, in both byte orders (PS3.5 chapter 7)."""

from __future__ import annotations

import mmap
from struct import Struct
from typing import Final, NamedTuple

Buffer = bytes | bytearray | memoryview | mmap.mmap

UNDEFINED: Final = 0xFFFFFFFF
"""Undefined length: a delimiter ends the value (PS3.5 7.1.1)."""

SHORT_VRS: Final = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
)
"""VRs with a 16-bit length in explicit VR (PS3.5 7.1.2)."""
LONG_VRS: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""VRs with two reserved bytes and a 32-bit length in explicit VR (PS3.5 7.1.2)."""
KNOWN_VRS: Final = SHORT_VRS | LONG_VRS
NESTED: Final = b"??"
"""Stands for the VR of UN with undefined length: a sequence in implicit VR (PS3.5 6.2.2)."""

PIXEL_TAGS: Final = (0x7FE00008, 0x7FE00009, 0x7FE00010)


class Encoding(NamedTuple):
    """How the elements of a data set or item are encoded (PS3.5 7.1, 7.3)."""

    implicit: bool
    little: bool


class Codec(NamedTuple):
    """Precompiled readers of one byte order.

    A raw tag is the four bytes of a tag as one number, which saves a step for each element.
    """

    little: bool
    explicit: Struct  # raw tag, VR, 16-bit length
    implicit: Struct  # raw tag, 32-bit length
    long: Struct  # 32-bit length
    item: int
    item_end: int
    sequence_end: int
    pixels: dict[int, int]


def swap(tag: int, little: bool) -> int:
    """Turn a tag into its raw tag, and a raw tag into its tag.

    Args:
        tag: tag or raw tag.
        little: the byte order is little endian.
    """
    return ((tag & 0xFFFF) << 16) | (tag >> 16) if little else tag


def _codec(little: bool) -> Codec:
    order = "<" if little else ">"
    return Codec(
        little=little,
        explicit=Struct(order + "I2sH"),
        implicit=Struct(order + "II"),
        long=Struct(order + "I"),
        item=swap(0xFFFEE000, little),
        item_end=swap(0xFFFEE00D, little),
        sequence_end=swap(0xFFFEE0DD, little),
        pixels={swap(tag, little): tag for tag in PIXEL_TAGS},
    )


LITTLE: Final = _codec(True)
BIG: Final = _codec(False)


def name(tag: int) -> str:
    """Return a tag as the standard writes it: (7FE0,0010)."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def is_padding(data: Buffer, offset: int) -> bool:
    """Tell whether only zeros follow, which some writers append.

    Args:
        data: a data set.
        offset: byte from which on it is checked.
    """
    return not any(bytes(data[offset : offset + 4096])) and not any(bytes(data[offset + 4096 :]))
