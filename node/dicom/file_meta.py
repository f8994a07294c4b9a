"""Write and read the File Meta Information before the data set of a file (PS3.10 7.1)."""

from __future__ import annotations

import struct
from functools import lru_cache

from node.core.version import VERSION

Buffer = bytes | bytearray | memoryview

# PS3.7 D.3.3.2: ours, derived from a UUID as PS3.5 B.2 allows.
IMPLEMENTATION_CLASS_UID = "2.25.183396139247261668138025237881968033559"
IMPLEMENTATION_VERSION_NAME = f"RASNODE_{VERSION}"[:16]

_LONG = {b"OB"}
_PREAMBLE = bytes(128) + b"DICM"


def file_meta(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae: str = ""
) -> bytes:
    """Return preamble and File Meta Information of a Part 10 file (PS3.10 7.1).

    Args:
        sop_class_uid: Media Storage SOP Class UID (0002,0002).
        sop_instance_uid: Media Storage SOP Instance UID (0002,0003).
        transfer_syntax_uid: Transfer Syntax UID (0002,0010).
        source_ae: Source Application Entity Title (0002,0016); empty leaves it out.
    """
    elements = b"".join(
        (
            _before(sop_class_uid),
            _meta_element(0x0003, b"UI", sop_instance_uid.encode("ascii")),
            _after(transfer_syntax_uid, source_ae),
        )
    )
    group_length = _meta_element(0x0000, b"UL", struct.pack("<L", len(elements)))
    return _PREAMBLE + group_length + elements


@lru_cache(maxsize=1024)
def _before(sop_class_uid: str) -> bytes:
    """Return the elements before the SOP Instance UID, which are the same in most files."""
    version = _meta_element(0x0001, b"OB", b"\x00\x01")
    return version + _meta_element(0x0002, b"UI", sop_class_uid.encode("ascii"))


@lru_cache(maxsize=1024)
def _after(transfer_syntax_uid: str, source_ae: str) -> bytes:
    """Return the elements after the SOP Instance UID."""
    elements = [
        _meta_element(0x0010, b"UI", transfer_syntax_uid.encode("ascii")),
        _meta_element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode("ascii")),
        _meta_element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii")),
    ]
    if source_ae:
        elements.append(_meta_element(0x0016, b"AE", source_ae.encode("ascii", "replace")))
    return b"".join(elements)


def _meta_element(element: int, vr: bytes, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    if vr in _LONG:
        return struct.pack("<HH2sHL", 2, element, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value


def meta_length(head: Buffer) -> int:
    """Return the offset of the data set in a file that begins with `file_meta`.

    Args:
        head: at least the first 144 bytes of the file.
    """
    (length,) = struct.unpack_from("<L", head, 140)
    return 144 + int(length)
