"""Records of the journal, as values and as bytes."""

from __future__ import annotations

import struct
from typing import Final

import msgspec
from isal import isal_zlib

from node.dicom import Buffer

_HEADER: Final = struct.Struct("<4sBxHIQQI")
"""Magic, kind, check of the header, lengths of entry and data set, generation, CRC-32."""
_UNCHECKED: Final = _HEADER.size - 4  # the CRC covers what is before it, and what follows
MAGIC: Final = b"RNJ1"
ALIGNMENT: Final = 8

HEADER: Final = _HEADER.size
INSTANCE: Final = 1
ENDED: Final = 2


class Source(msgspec.Struct, frozen=True, array_like=True):
    """The association that brought something.

    Attributes:
        process: which run of the node it belongs to.
        opened_at: seconds since 1970.
    """

    process: str
    calling_ae: str
    called_ae: str
    address: str
    opened_at: float


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """An instance that was answered 0x0000; its data set follows, or is in a file.

    Attributes:
        source: None for a file that was imported.
        part: name of the file in the archive's `.incoming` that holds the data set, if one does.
        offset: where the data set begins in it.
        source_ae: who sent it, as the imported file says.
        crc: CRC-32 of the data set in `part`; None if it is not known.
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
        """Who sent it, as far as that is known."""
        return self.source.calling_ae if self.source else self.source_ae


class Ended(msgspec.Struct, frozen=True, array_like=True):
    """An association that brought instances came to its end."""

    source: Source
    end: str
    at: float


class Header(msgspec.Struct, frozen=True):
    """What a record begins with.

    Attributes:
        check: of the rest, see `is_sound`.
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
_decode_ended: Final = msgspec.msgpack.Decoder(Ended).decode


def padded(length: int) -> int:
    """The length up to which a record reaches."""
    return -(-length // ALIGNMENT) * ALIGNMENT


def parts_of(item: Entry | Ended, data_set: Buffer, generation: int, seed: int = 0) -> list[Buffer]:
    """A record, ready to be written.

    Args:
        generation, seed: of the segment that it is for. Nobody who sends a data set knows the
            seed, so that nothing in a data set can be taken for a record.
    """
    body = _encode(item)
    kind = INSTANCE if isinstance(item, Entry) else ENDED
    said = (len(body), len(data_set), generation)
    head = bytearray(_HEADER.pack(MAGIC, kind, _check_of(kind, *said, seed), *said, 0))
    crc = isal_zlib.crc32(body, isal_zlib.crc32(memoryview(head)[:_UNCHECKED], seed))
    if len(data_set):
        crc = isal_zlib.crc32(data_set, crc)
    struct.pack_into("<I", head, _UNCHECKED, crc)
    length = HEADER + len(body) + len(data_set)
    return [head, body, data_set, bytes(padded(length) - length)]


def read_header(data: Buffer, at: int, generation: int) -> Header | None:
    """The header of a record of this generation, whole or not; None if there is none."""
    if at + HEADER > len(data):
        return None
    magic, kind, check, entry, length, found, crc = _HEADER.unpack_from(data, at)
    if magic != MAGIC or found != generation or kind not in (INSTANCE, ENDED):
        return None
    header = Header(kind, check, entry, length, crc)
    return header if at + HEADER + entry + length <= len(data) else None


def is_sound(header: Header, generation: int, seed: int) -> bool:
    """Whether a header is as it was written, so that its lengths can be believed."""
    said = (header.entry_length, header.data_length, generation)
    return header.check == _check_of(header.kind, *said, seed)


def is_whole(data: memoryview, at: int, header: Header, seed: int = 0) -> bool:
    """Whether every byte of a record is as it was written."""
    end = at + HEADER + header.entry_length + header.data_length
    crc = isal_zlib.crc32(data[at : at + _UNCHECKED], seed)
    return bool(isal_zlib.crc32(data[at + HEADER : end], crc) == header.crc)


def item_of(data: memoryview, at: int, header: Header) -> Entry | Ended | None:
    """What a record says; None if that cannot be understood."""
    body = data[at + HEADER : at + HEADER + header.entry_length]
    try:
        return _decode_entry(body) if header.kind == INSTANCE else _decode_ended(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def data_set_of(data: memoryview, at: int, header: Header) -> memoryview:
    """The data set of a record, where it lies."""
    start = at + HEADER + header.entry_length
    return data[start : start + header.data_length]


def _check_of(kind: int, entry: int, length: int, generation: int, seed: int) -> int:
    """Sixteen bits by which a header is known for one, so that its lengths can be trusted even if
    what follows is damaged; 0 in segments of earlier versions, which have no seed."""
    if not seed:
        return 0
    said = _HEADER.pack(MAGIC, kind, 0, entry, length, generation, 0)
    return isal_zlib.crc32(said[:_UNCHECKED], seed) & 0xFFFF
