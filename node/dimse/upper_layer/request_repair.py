"""A-ASSOCIATE-RQ PDUs as real peers send them, put into the form that pynetdicom reads.

PS3.8 asks an acceptor to look at one bit of the protocol version (9.3.2), to ignore user
information that it does not know (9.3.1), and to live without a maximum length; pynetdicom aborts
such associations, and those of AE titles that are padded with NUL or have letters beyond ASCII.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from node.dimse.upper_layer.associate_request import Rejection, ae_title
from node.dimse.upper_layer.pdus import ASSOCIATE_RQ, pdu

NO_TITLE: Final = "NO-AE-TITLE"
"""Stands for an AE title of blanks, which some scanners send."""

_HEADER: Final = 6
_FIXED: Final = 68  # protocol version, two titles, reserved bytes
_TITLES: Final = (slice(4, 20), slice(20, 36))  # called and calling
_APPLICATION_CONTEXT: Final = 0x10
_PRESENTATION_CONTEXT: Final = 0x20
_USER_INFORMATION: Final = 0x50
_ITEMS: Final = (_APPLICATION_CONTEXT, _PRESENTATION_CONTEXT, _USER_INFORMATION)
_MAXIMUM_LENGTH: Final = 0x51
_KNOWN: Final = frozenset(range(0x51, 0x5A))
"""User information sub-items (PS3.7 D.3.3, PS3.8 D.1)."""
_DICOM: Final = b"1.2.840.10008.3.1.1.1"
_USUAL_LENGTH: Final = 16384  # bytes a PDU for a peer that does not say


def unacceptable(request: bytes) -> Rejection | None:
    """Why nobody could serve this request, whoever it comes from (PS3.8 9.3.4).

    Args:
        request: a whole A-ASSOCIATE-RQ whose items fill it, and what came after it.
    """
    body, _ = _split(request)
    if not body[1] & 1:
        return Rejection(1, 2, 2, "it speaks a later version of the upper layer protocol")
    names = [value for kind, value in _items(body, _FIXED) if kind == _APPLICATION_CONTEXT]
    if any(name.rstrip(b"\0 ") != _DICOM for name in names):
        return Rejection(1, 1, 2, "its application context is not DICOM's")
    return None


def plain(request: bytes) -> bytes:
    """The same request without what pynetdicom stumbles over.

    Args:
        request: a whole A-ASSOCIATE-RQ whose items fill it, and what came after it.
    """
    body, rest = _split(request)
    head = bytearray(body[:_FIXED])
    head[:2] = b"\0\1"
    for field in _TITLES:
        head[field] = (ae_title(bytes(head[field])) or NO_TITLE).encode("ascii").ljust(16)
    items = [
        _item(kind, _user_information(value) if kind == _USER_INFORMATION else value)
        for kind, value in _items(body, _FIXED)
        if kind in _ITEMS
    ]
    return pdu(ASSOCIATE_RQ, bytes(head) + b"".join(items)) + rest


def _split(request: bytes) -> tuple[bytes, bytes]:
    end = _HEADER + int.from_bytes(request[2:_HEADER], "big")
    return request[_HEADER:end], request[end:]


def _user_information(value: bytes) -> bytes:
    kept = [(kind, part) for kind, part in _items(value, 0) if kind in _KNOWN]
    if all(kind != _MAXIMUM_LENGTH for kind, _ in kept):
        kept.insert(0, (_MAXIMUM_LENGTH, struct.pack(">L", _USUAL_LENGTH)))
    return b"".join(_item(kind, part) for kind, part in kept)


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def _items(body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Items, as far as their lengths are true."""
    while at + 4 <= len(body):
        kind, length = struct.unpack_from(">BxH", body, at)
        yield kind, body[at + 4 : at + 4 + length]
        at += 4 + length
