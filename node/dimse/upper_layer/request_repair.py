"""Rewrites unusual A-ASSOCIATE-RQs into a form that pynetdicom reads.

PS3.8 has an acceptor test a single bit of the protocol version (9.3.2), ignore unknown user
information (9.3.1), and accept a request without a maximum length. pynetdicom aborts associations
with such requests, and with AE titles that are padded with NUL or have letters beyond ASCII.
"""

from __future__ import annotations

import struct
from typing import Final

from node.dimse.upper_layer.associate_request import Rejection, ae_title
from node.dimse.upper_layer.pdus import (
    ASSOCIATE_RQ,
    DICOM_APPLICATION_CONTEXT,
    FIXED,
    HEADER,
    Item,
    item,
    items,
    pdu,
)

NO_TITLE: Final = "NO-AE-TITLE"
"""Replaces an AE title that is all blanks, which some scanners send."""

_TITLES: Final = (slice(4, 20), slice(20, 36))  # called and calling
_ITEMS: Final = (Item.APPLICATION_CONTEXT, Item.PRESENTATION_CONTEXT, Item.USER_INFORMATION)
_SUB_ITEMS: Final = frozenset(kind for kind in Item if kind > Item.USER_INFORMATION)
_USUAL_LENGTH: Final = 16384  # bytes of a PDU, for a peer that does not say its maximum


def unacceptable(request: bytes) -> Rejection | None:
    """Why a request has to be rejected whichever peer sends it; None if it need not (PS3.8 9.3.4).

    Args:
        request: a whole A-ASSOCIATE-RQ that `read_associate` accepts, and any bytes after it.
    """
    body, _ = _split(request)
    if not body[1] & 1:
        return Rejection(1, 2, 2, "it asks for an unknown version of the Upper Layer protocol")
    names = [value for kind, value in items(body, FIXED) if kind == Item.APPLICATION_CONTEXT]
    if any(name.rstrip(b"\0 ") != DICOM_APPLICATION_CONTEXT.encode() for name in names):
        return Rejection(1, 1, 2, "its application context is not that of DICOM")
    return None


def repaired(request: bytes) -> bytes:
    """The same request without what pynetdicom cannot read.

    Args:
        request: a whole A-ASSOCIATE-RQ that `read_associate` accepts, and any bytes after it.
    """
    body, rest = _split(request)
    head = bytearray(body[:FIXED])
    head[:2] = b"\0\1"
    for field in _TITLES:
        head[field] = (ae_title(bytes(head[field])) or NO_TITLE).encode("ascii").ljust(16)
    kept = [
        item(kind, _user_information(value) if kind == Item.USER_INFORMATION else value)
        for kind, value in items(body, FIXED)
        if kind in _ITEMS
    ]
    return pdu(ASSOCIATE_RQ, bytes(head) + b"".join(kept)) + rest


def _split(request: bytes) -> tuple[bytes, bytes]:
    """The variable field of the request, and the bytes after the request."""
    end = HEADER + int.from_bytes(request[2:HEADER], "big")
    return request[HEADER:end], request[end:]


def _user_information(value: bytes) -> bytes:
    kept = [(kind, part) for kind, part in items(value) if kind in _SUB_ITEMS]
    if all(kind != Item.MAXIMUM_LENGTH for kind, _ in kept):
        kept.insert(0, (Item.MAXIMUM_LENGTH, struct.pack(">L", _USUAL_LENGTH)))
    return b"".join(item(kind, part) for kind, part in kept)
