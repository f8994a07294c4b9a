"""Writes data elements in Implicit or Explicit VR Little Endian (PS3.5 7.1)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from pydicom.uid import ImplicitVRLittleEndian

_LONG_VRS: Final = frozenset({"SQ", "UC", "UN", "UR", "UT"})
MOST_BYTES: Final = 0xFFFE  # of a value with a 16-bit length


class Writer:
    """Writes single elements in one transfer syntax: Implicit or Explicit VR Little Endian."""

    def __init__(self, transfer_syntax_uid: str) -> None:
        self.implicit = transfer_syntax_uid == ImplicitVRLittleEndian

    def element(self, tag: int, vr: str, raw: bytes) -> bytes:
        """An element, padded to even length (PS3.5 7.1.1).

        Args:
            tag: group and element as one number.
            vr: of two letters.
            raw: the encoded value.
        """
        if len(raw) % 2:
            raw += b"\0" if vr == "UI" else b" "
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        if self.implicit:
            return head + struct.pack("<L", len(raw)) + raw
        if vr in _LONG_VRS:
            return head + vr.encode() + struct.pack("<HL", 0, len(raw)) + raw
        raw = raw[:MOST_BYTES]
        return head + vr.encode() + struct.pack("<H", len(raw)) + raw

    def sequence(self, tag: int, items: Iterable[bytes]) -> bytes:
        """A sequence (PS3.5 7.5).

        Args:
            tag: group and element as one number.
            items: the encoded elements of each.
        """
        return self.element(tag, "SQ", in_items(items))


def in_items(items: Iterable[bytes]) -> bytes:
    """The value of a sequence: each item with its tag and length (PS3.5 7.5.2).

    Args:
        items: the encoded elements of each.
    """
    return b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in items)
