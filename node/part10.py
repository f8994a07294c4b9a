"""Part 10 files (PS3.10 chapter 7), and bare data sets that people keep in files all the same."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from node.elements import Buffer
from node.errors import MalformedDataSet

_PREAMBLE = 132
_LONG_VRS = frozenset({b"OB", b"OW", b"SQ", b"UN", b"UT"})
_IMPLICIT = "1.2.840.10008.1.2"
_EXPLICIT = "1.2.840.10008.1.2.1"


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What a file says of the data set that it holds.

    Attributes:
        data_set_offset: bytes before the data set.
        source_ae: Source Application Entity Title (0002,0016), empty if absent.
    """

    transfer_syntax_uid: str
    data_set_offset: int
    source_ae: str = ""


def read_file_meta(data: Buffer) -> FileMeta:
    """Read preamble and File Meta Information.

    A file without them is taken for a bare data set if it begins like one, in the transfer syntax
    that its first element shows.

    Raises:
        MalformedDataSet: this is no DICOM file.
    """
    if bytes(data[128:_PREAMBLE]) == b"DICM":
        return _read_group_two(data, _PREAMBLE)
    if len(data) >= 8:
        group, element, vr = struct.unpack_from("<HH2s", data, 0)
        if group == 0x0002:
            return _read_group_two(data, 0)
        if group == 0x0008 and element <= 0x0018:
            explicit = vr.isalpha() and vr.isupper()
            return FileMeta(_EXPLICIT if explicit else _IMPLICIT, 0)
    raise MalformedDataSet("this is no DICOM file: neither preamble nor data set at its beginning")


def _read_group_two(data: Buffer, position: int) -> FileMeta:
    transfer_syntax, source = "", ""
    try:
        while struct.unpack_from("<H", data, position)[0] == 0x0002:
            element, vr, length = struct.unpack_from("<H2sH", data, position + 2)
            start = position + 8
            if vr in _LONG_VRS:
                (length,) = struct.unpack_from("<L", data, position + 8)
                start = position + 12
            value = bytes(data[start : start + length]).decode("latin-1").strip("\0 ")
            if element == 0x0010:
                transfer_syntax = value
            elif element == 0x0016:
                source = value
            position = start + length
    except struct.error as error:
        raise MalformedDataSet("the file ends within its File Meta Information") from error
    if not transfer_syntax:
        raise MalformedDataSet("the file does not say its transfer syntax (0002,0010)")
    return FileMeta(transfer_syntax, position, source)
