"""The format of the journal's records: as values, and as bytes."""

from __future__ import annotations

import struct
from typing import Final

import msgspec
from isal import isal_zlib

from node.dicom import Buffer

_HEADER: Final = struct.Struct("<4sBxHIQQI")
"""Magic, kind, check of the header, lengths of item and data set, generation, CRC-32."""
_UNCHECKED: Final = _HEADER.size - 4  # the CRC covers the bytes before it and those after it
MAGIC: Final = b"RNJ1"
ALIGNMENT: Final = 8

HEADER: Final = _HEADER.size
INSTANCE: Final = 1
ENDED: Final = 2


class Source(msgspec.Struct, frozen=True, array_like=True):
    """The association by which instances were received.

    Attributes:
        process: the run of the node that accepted it.
        address: of the peer.
        opened_at: seconds since 1970.
    """

    process: str
    calling_ae: str
    called_ae: str
    address: str
    opened_at: float


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """An instance that was answered 0x0000; its data set follows in the record, or is in a file.

    Attributes:
        received_at: seconds since 1970.
        source: None for an imported file.
        part: name of the file in the archive's `.incoming` that holds the data set; empty: none.
        offset: where the data set begins in that file.
        source_ae: the sender's AE title in an imported file.
        crc: CRC-32 of the data set in that file; None: not known.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    received_at: float
    source: Source | None
    part: str = ""
    offset: int = 0
    source_ae: str = ""
    crc: int | None = None

    @property
    def calling_ae(self) -> str:
        """The AE title of the sender; empty if it is not known."""
        return self.source.calling_ae if self.source else self.source_ae


class AssociationEnded(msgspec.Struct, frozen=True, array_like=True):
    """The end of an association by which instances were received.

    Attributes:
        end: one of `node.core.records.AssociationEnd`.
        at: seconds since 1970.
    """

    source: Source
    end: str
    at: float


class Header(msgspec.Struct, frozen=True):
    """The header of a record.

    Attributes:
        check: of the other fields, see `is_sound`.
    """

    kind: int
    check: int
    entry_length: int
    data_length: int
    crc: int

    @property
    def length(self) -> int:
        """Bytes of the whole record with its padding."""
        return padded(HEADER + self.entry_length + self.data_length)


_encode: Final = msgspec.msgpack.Encoder().encode
_decode_entry: Final = msgspec.msgpack.Decoder(Entry).decode
_decode_ended: Final = msgspec.msgpack.Decoder(AssociationEnded).decode


def padded(length: int) -> int:
    """The length of a record with its padding, from its length without."""
    return -(-length // ALIGNMENT) * ALIGNMENT


def encode_record(
    item: Entry | AssociationEnded, data_set: Buffer, generation: int, seed: int = 0
) -> list[Buffer]:
    """A record as buffers that are written one after the other.

    Args:
        item: an instance, or the end of an association.
        data_set: of the instance; empty if it lies in a file.
        generation: of the segment.
        seed: of the segment's checksums. Senders do not know it, so that no bytes in a data set can
            be taken for a record.
    """
    body = _encode(item)
    kind = INSTANCE if isinstance(item, Entry) else ENDED
    fields = (len(body), len(data_set), generation)
    head = bytearray(_HEADER.pack(MAGIC, kind, _check_of(kind, *fields, seed), *fields, 0))
    crc = isal_zlib.crc32(body, isal_zlib.crc32(memoryview(head)[:_UNCHECKED], seed))
    if len(data_set):
        crc = isal_zlib.crc32(data_set, crc)
    struct.pack_into("<I", head, _UNCHECKED, crc)
    length = HEADER + len(body) + len(data_set)
    return [head, body, data_set, bytes(padded(length) - length)]


def read_header(data: Buffer, at: int, generation: int) -> Header | None:
    """The header of a record, which may be damaged behind its header.

    Args:
        data: the whole segment.
        at: offset of the record.
        generation: of the segment.

    Returns:
        None if there is no header of this generation.
    """
    if at + HEADER > len(data):
        return None
    magic, kind, check, entry, length, found, crc = _HEADER.unpack_from(data, at)
    if magic != MAGIC or found != generation or kind not in (INSTANCE, ENDED):
        return None
    header = Header(kind, check, entry, length, crc)
    return header if at + HEADER + entry + length <= len(data) else None


def is_sound(header: Header, generation: int, seed: int) -> bool:
    """Whether a header is undamaged, so that its lengths can be believed.

    Args:
        header: of a record.
        generation: of the segment.
        seed: of the segment's checksums.
    """
    fields = (header.entry_length, header.data_length, generation)
    return header.check == _check_of(header.kind, *fields, seed)


def is_whole(data: memoryview, at: int, header: Header, seed: int = 0) -> bool:
    """Whether a record is undamaged.

    Args:
        data: the whole segment.
        at: offset of the record.
        header: of the record.
        seed: of the segment's checksums.
    """
    end = at + HEADER + header.entry_length + header.data_length
    crc = isal_zlib.crc32(data[at : at + _UNCHECKED], seed)
    return bool(isal_zlib.crc32(data[at + HEADER : end], crc) == header.crc)


def item_of(data: memoryview, at: int, header: Header) -> Entry | AssociationEnded | None:
    """The instance or the end of an association in a record; None if it cannot be decoded.

    Args:
        data: the whole segment.
        at: offset of the record.
        header: of the record.
    """
    body = data[at + HEADER : at + HEADER + header.entry_length]
    try:
        return _decode_entry(body) if header.kind == INSTANCE else _decode_ended(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def data_set_of(data: memoryview, at: int, header: Header) -> memoryview:
    """The data set of a record, without a copy. Arguments as for `item_of`."""
    start = at + HEADER + header.entry_length
    return data[start : start + header.data_length]


def _check_of(kind: int, entry: int, length: int, generation: int, seed: int) -> int:
    """Sixteen bits that check a header, so that its lengths can be believed even if the rest of the
    record is damaged; 0 in segments of earlier versions, which have no seed."""
    if not seed:
        return 0
    header = _HEADER.pack(MAGIC, kind, 0, entry, length, generation, 0)
    return isal_zlib.crc32(header[:_UNCHECKED], seed) & 0xFFFF
