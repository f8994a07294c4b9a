"""DICOM files: find where the data set begins, and its transfer syntax (PS3.10 7.1)."""

from __future__ import annotations

from typing import Final, NamedTuple

from node.core.errors import MalformedDataSet
from node.dicom.element_encoding import KNOWN_VRS, LITTLE, LONG_VRS, Buffer
from node.dicom.scanner import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE

_PREAMBLE: Final = 128
_META_GROUP: Final = 0x0002
_FIRST_GROUPS: Final = frozenset({0x0008, 0x0009, 0x0010, 0x0018, 0x0020, 0x0028})
"""Groups with which a data set without meta information begins."""


class DataSetStart(NamedTuple):
    """Where the data set begins in a file, and what the meta information says about it."""

    offset: int
    transfer_syntax_uid: str
    sop_class_uid: str | None
    sop_instance_uid: str | None
    source_ae: str = ""


def find_data_set(data: Buffer) -> DataSetStart:
    """Find the data set in the bytes of a file, with or without preamble and meta information.

    Raises:
        MalformedDataSet: the bytes are not a DICOM file.
    """
    if bytes(data[_PREAMBLE : _PREAMBLE + 4]) == b"DICM":
        return _after_meta(data, _PREAMBLE + 4)
    if bytes(data[:4]) in (b"\x02\x00\x00\x00", b"\x02\x00\x10\x00"):
        return _after_meta(data, 0)
    return DataSetStart(0, _bare_syntax(data), None, None)


def _after_meta(data: Buffer, offset: int) -> DataSetStart:
    uids: dict[int, str] = {}
    while offset + 8 <= len(data):
        raw, vr, length = LITTLE.explicit.unpack_from(data, offset)
        if raw & 0xFFFF != _META_GROUP:
            break
        start = offset + 8
        if vr in LONG_VRS and start + 4 <= len(data):
            (length,) = LITTLE.long.unpack_from(data, start)
            start += 4
        elif vr not in KNOWN_VRS:
            (length,) = LITTLE.long.unpack_from(data, offset + 4)
        offset = start + length
        if length <= 64:
            uids[raw >> 16] = bytes(data[start:offset]).decode("latin-1").strip("\0 ")
    if offset > len(data):
        raise MalformedDataSet("The file ends inside its meta information.")
    syntax = uids.get(0x0010)
    return DataSetStart(
        offset,
        syntax or _bare_syntax(data[offset:]),
        uids.get(0x0002),
        uids.get(0x0003),
        uids.get(0x0016, ""),
    )


def _bare_syntax(data: Buffer) -> str:
    """Return the transfer syntax of a data set, of the three plain ones, by its first element."""
    head = bytes(data[:8])
    vr = head[4:6]
    if int.from_bytes(head[:2], "little") in _FIRST_GROUPS:
        return EXPLICIT_LITTLE if vr in KNOWN_VRS else IMPLICIT_LITTLE
    if int.from_bytes(head[:2], "big") in _FIRST_GROUPS and vr in KNOWN_VRS:
        return EXPLICIT_BIG
    raise MalformedDataSet("The file is not a DICOM file.")
