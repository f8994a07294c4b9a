"""Segments: preallocated files that the journal overwrites again and again.

A sync after overwriting blocks takes a fraction of the time of one after extending a file, as no
metadata of the file system has to be written.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from pathlib import Path
from typing import Final, NamedTuple

from isal import isal_zlib

from node.core.system.disk import FILE_MODE, start_writing, sync_folders
from node.dicom import Buffer

HEADER: Final = 4096  # bytes before the first record
SMALLEST: Final = 512 * 1024
LARGEST: Final = 32 * 1024 * 1024
FEWEST: Final = 8  # segments that a partition may have, on a small disk,
MOST: Final = 32  # and on a large one

_HEADER: Final = struct.Struct("<8sQIQQI")
"""Magic, generation, seed, safe, before: see `SegmentHeader`; CRC-32."""
_MAGIC: Final = b"RNJSEG2\0"
_COPY_AT: Final = 2048  # a copy of the header, read where the first one is damaged
_EARLIER: Final = struct.Struct("<8sQI")  # earlier versions: magic, generation, CRC-32
_EARLIER_MAGIC: Final = b"RNJSEG1\0"
_END: Final = struct.Struct("<QQ")  # generation, offset behind its last record
_END_AT: Final = 64
_RECORD_HEAD: Final = 64  # bytes, more than the header of a record
_FILL: Final = bytes(256 * 1024)
"""Bytes of one write when a segment is made: they become one folio of the page cache, and Linux
needs longer for each later write into a larger folio."""
_CHECK_SECONDS: Final = 0.1  # between two checks that the file is still in place
_SHARE: Final = 32  # a partition takes at most one part in so many of the free space


def size_for(free: int) -> int:
    """Bytes of a segment on a disk with so many free bytes."""
    return max(SMALLEST, min(LARGEST, free // _SHARE // FEWEST)) // HEADER * HEADER


def count_for(free: int) -> int:
    """How many segments a partition may have: they hold what is received and not ingested yet."""
    return max(FEWEST, min(MOST, free // _SHARE // LARGEST))


def position(generation: int, offset: int) -> int:
    """A position in a partition: one number, which grows with every record.

    Args:
        generation: number of the segment, counted from the first one ever written.
        offset: bytes from the beginning of that segment.
    """
    return generation << 32 | offset


def split_position(value: int) -> tuple[int, int]:
    """Generation and offset of a position."""
    return value >> 32, value & 0xFFFFFFFF


class SegmentHeader(NamedTuple):
    """The header of a segment.

    Attributes:
        generation: of its records.
        seed: of their checksums; 0 in segments of earlier versions.
        safe: up to where the partition was safe when this segment was begun, as a position.
        before: where the records before these end, as a position; 0: that is not known.
    """

    generation: int
    seed: int = 0
    safe: int = 0
    before: int = 0


class Segment:
    """One file of a partition, open for writing.

    Args:
        path: the file; it is made unless it is there.
        size: bytes of a new file.

    Raises:
        OSError: it cannot be made or opened.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.generation = 0  # of the records in it; 0: not known to hold any
        self.end = 0  # position after its last record
        self._checked = 0.0  # when the file was last seen in place, s of the monotonic clock
        if not _is_whole(path):
            _make(path, size)
        self._handle = os.open(path, os.O_RDWR)
        self.size = os.fstat(self._handle).st_size
        self.seed = 0
        start = os.pread(self._handle, HEADER + 8, 0)
        head = read_segment_header(start)
        self.has_records = any(start[HEADER:])
        if head is not None:
            self.generation, self.seed = head.generation, head.seed

    def begin(self, head: SegmentHeader) -> None:
        """Start a new generation; the sync of its first record makes it durable."""
        header = _HEADER.pack(_MAGIC, *head, 0)[:-4]
        header += struct.pack("<I", isal_zlib.crc32(header))
        os.pwrite(self._handle, header.ljust(_COPY_AT, b"\0") + header, 0)
        self.generation, self.seed = head.generation, head.seed

    def finish(self, end: int) -> None:
        """Note for readers where the records of this generation end; not synced."""
        os.pwrite(self._handle, _END.pack(self.generation, end), _END_AT)

    def cut(self, at: int) -> None:
        """Erase the beginning of a record that may have been written at `at`.

        Raises:
            OSError: the segment could not be written.
        """
        if at < self.size:
            os.pwrite(self._handle, bytes(min(_RECORD_HEAD, self.size - at)), at)
            os.fdatasync(self._handle)

    def write(self, parts: list[Buffer], at: int) -> None:
        """Write buffers one after the other.

        Args:
            parts: the buffers.
            at: offset of the first.

        Raises:
            OSError: they could not be written completely.
        """
        for first in range(0, len(parts), 1000):
            some = parts[first : first + 1000]  # IOV_MAX is 1024
            wanted = sum(map(len, some))
            done = os.pwritev(self._handle, some, at)
            if done < wanted:
                self._write_rest(some, at, done)
            at += wanted

    def start(self, at: int, end: int) -> None:
        """Have the disk begin to write a part; it does not replace `sync`.

        Args:
            at: offset of the part.
            end: offset behind it.
        """
        start_writing(self._handle, at, end - at)

    def sync(self) -> None:
        """Bring everything that was written to stable storage.

        Raises:
            OSError: the disk is failing, or the file was removed, so that the next start would not
                find it.
        """
        os.fdatasync(self._handle)
        now = time.monotonic()
        if now - self._checked < _CHECK_SECONDS:
            return
        self._checked = now
        if not self.in_place:
            raise OSError(errno.ESTALE, f"{self.path.name} was removed, replaced or cut")

    @property
    def in_place(self) -> bool:
        """Whether the file has kept its name and its size."""
        status = os.fstat(self._handle)
        return status.st_nlink > 0 and status.st_size >= self.size

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def _write_rest(self, parts: list[Buffer], at: int, done: int) -> None:
        rest = memoryview(b"".join(parts))[done:]
        at += done
        while rest:
            count = os.pwrite(self._handle, rest, at)
            rest = rest[count:]
            at += count


def _is_whole(path: Path) -> bool:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return False
    return size >= SMALLEST and not size % HEADER


def _make(path: Path, size: int) -> None:
    """Make a file; it gets its name once it is complete, as the ingester maps it from then on."""
    beside = path.with_suffix(".new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    try:
        for at in range(0, size, len(_FILL)):
            os.pwrite(handle, _FILL[: size - at], at)
        os.fsync(handle)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    sync_folders([path.parent])


def read_end(data: memoryview, generation: int) -> int:
    """The offset behind the last record, if the generation was finished; else 0.

    Args:
        data: the whole segment.
        generation: number of the generation.
    """
    finished, end = _END.unpack_from(data, _END_AT)
    return int(end) if finished == generation else 0


def read_segment_header(start: bytes | memoryview) -> SegmentHeader | None:
    """The header of a segment; None if it was never begun, or the header is damaged.

    Args:
        start: its first `HEADER` bytes.
    """
    for at in (0, _COPY_AT):
        if len(start) >= at + _HEADER.size:
            magic, *fields, crc = _HEADER.unpack_from(start, at)
            checked = isal_zlib.crc32(bytes(start[at : at + _HEADER.size - 4]))
            if magic == _MAGIC and crc == checked:
                return SegmentHeader(*fields)
    if len(start) >= _EARLIER.size:
        magic, generation, crc = _EARLIER.unpack_from(start)
        checked = isal_zlib.crc32(bytes(start[: _EARLIER.size - 4]))
        if magic == _EARLIER_MAGIC and crc == checked and generation:
            return SegmentHeader(generation)
    return None
