"""Whether a file still is what was received or published: the one place where that is compared.

The index has the SHA-256 of every archived data set, and of every published file. The reader of an
archived file passes what the index says, and gets the bytes only if they agree. Where a volume or a
peer waits for the bytes they are compared by the CRC-32 that the index has too, which takes a
twentieth of the time; verification, commitment and repair compare the SHA-256.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec
from isal import isal_zlib

from node.core.errors import MalformedDataSet, Permanent, Reason
from node.dicom import Buffer, find_data_set
from node.dicom.file_meta import meta_length

CHUNK: Final = 1 << 20
"""Bytes that are read and hashed at once; other threads run while hashlib hashes."""
_HEAD: Final = 4096
"""Bytes, more than any meta information that the node writes."""
_BEYOND: Final = 16
"""Bytes of the data set that are read with the meta information, to find where that ends."""
_GONE: Final = (errno.ENOENT, errno.ENOTDIR)
_BROKEN: Final = (errno.EIO, errno.EISDIR, errno.EUCLEAN, errno.ENODATA, errno.EILSEQ)
"""Errors by which a disk or file system reports damage of one file; others are not about it."""


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class _Crc32:
    """CRC-32 with the interface of hashlib."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        """Add bytes."""
        self._value = isal_zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        """The checksum of the bytes so far."""
        return f"{self._value:08x}"


class Damage(Permanent):
    """A file has changed, or is gone.

    Args:
        reason: the name of the damage.
        sentence: what is wrong; it names neither the file nor the instance.
    """

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(f"{reason}: {sentence}")
        self.reason = reason
        self.sentence = sentence


class Meta(NamedTuple):
    """The fields of a file's meta information that describe its data set."""

    sop_class_uid: str | None
    sop_instance_uid: str | None
    transfer_syntax_uid: str


class Expected(msgspec.Struct, frozen=True):
    """What an archived file has to be, as the index says.

    Attributes:
        sha256: of the data set, in hexadecimal digits.
        offset: where the data set begins.
        crc32: of the data set; None: not known.
        size: of the whole file in bytes; None: not compared.
        meta: its meta information; None: not compared.
    """

    sha256: str
    offset: int
    crc32: int | None = None
    size: int | None = None
    meta: Meta | None = None


def read_part(file: str | Path, expected: Expected, start: int, size: int | None = None) -> bytes:
    """Bytes of an archived file's data set, if the whole data set is what was received.

    No more than these bytes are in memory at once, or 1 MiB if they are fewer.

    Args:
        file: the archived file.
        expected: what the index says of it.
        start: offset of the first byte in the data set.
        size: how many bytes; None: up to the end. Fewer are returned if the data set ends before.

    Raises:
        Damage: the file has changed, or is gone.
        OSError: it cannot be read, for a reason other than damage of this file.
    """
    begin = expected.offset + start
    digest = _digest(expected)
    try:
        handle = os.open(file, os.O_RDONLY)
        try:
            whole = os.fstat(handle).st_size
            if whole - expected.offset <= CHUNK:  # a series has thousands of small files: one read
                data = _read(handle, expected.offset, whole - expected.offset)
                digest.update(data)
                part = data[start : None if size is None else start + max(0, size)]
            else:
                _hash(handle, digest, expected.offset, begin)
                part = _read(handle, begin, whole - begin if size is None else size)
                digest.update(part)
                _hash(handle, digest, begin + len(part))
        finally:
            os.close(handle)
    except OSError as error:
        raise damage_of(error) from error
    _compare(digest, expected, whole)
    return part


def check_archived(
    file: str | Path,
    expected: Expected,
    pace: Callable[[int], None] = lambda _size: None,
    *,
    from_disk: bool = False,
) -> None:
    """Check that an archived file is what was received; memory does not depend on its size.

    Args:
        file: the archived file.
        expected: what the index says of it.
        pace: called with the number of bytes after each read; it may wait.
        from_disk: read from the disk even what is in the page cache, and leave nothing there.

    Raises:
        Damage, OSError: as `read_part`.
    """
    try:
        handle = os.open(file, os.O_RDONLY)
        try:
            with _uncached(handle, wanted=from_disk):
                _check(handle, expected, pace)
        finally:
            os.close(handle)
    except OSError as error:
        raise damage_of(error) from error


def check_quickly(handle: int, expected: Expected) -> None:
    """Check that an open file is what was received, by CRC-32 where the index has it.

    Args:
        handle: descriptor of the archived file.
        expected: what the index says of it.

    Raises:
        Damage: the file has changed.
        OSError: it cannot be read, for a reason other than damage of this file.
    """
    size = os.fstat(handle).st_size
    if expected.size is not None and size != expected.size:
        raise _changed(expected, size)
    digest = _digest(expected)
    try:
        _hash(handle, digest, expected.offset)
    except OSError as error:
        raise damage_of(error) from error
    _compare(digest, expected, size)


def sha256_of(data_set: Buffer) -> str:
    """The SHA-256 of a data set, in hexadecimal digits: by it the index tells data sets apart."""
    return hashlib.sha256(data_set).hexdigest()


def hash_archived(file: str | Path) -> tuple[str, Meta]:
    """The SHA-256 of an archived or quarantined file's data set, and its meta information.

    Raises:
        Damage: the node did not write such a file, or it is damaged or gone.
        OSError: it cannot be read, for a reason other than damage of this file.
    """
    try:
        handle = os.open(file, os.O_RDONLY)
        try:
            offset, meta = _meta(os.pread(handle, _HEAD, 0))
            return _hash_from(handle, offset, lambda _size: None), meta
        finally:
            os.close(handle)
    except OSError as error:
        raise damage_of(error) from error


def check_published(
    file: Path,
    sha256: str,
    pace: Callable[[int], None] = lambda _size: None,
    *,
    from_disk: bool = False,
) -> None:
    """Check that a published file is what was published.

    Args:
        file: the published file.
        sha256: of the file; empty: it only has to exist.
        pace: called with the number of bytes after each read; it may wait.
        from_disk: read from the disk even what is in the page cache, and leave nothing there.

    Raises:
        Damage: the file has changed, or is gone.
        OSError: it cannot be read, for a reason other than damage of this file.
    """
    try:
        handle = os.open(file, os.O_RDONLY)
        try:
            with _uncached(handle, wanted=from_disk):
                found = _hash_from(handle, 0, pace)
        finally:
            os.close(handle)
    except OSError as error:
        raise damage_of(error, published=True) from error
    if sha256 and found != sha256:
        raise Damage(Reason.OUTPUT_DAMAGED, "it is not what was published: its checksum differs")


@contextmanager
def _uncached(handle: int, *, wanted: bool) -> Iterator[None]:
    """Read from the disk, and leave the page cache to other files."""
    if not wanted:
        yield
        return
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    yield
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)


def damage_of(error: OSError, *, published: bool = False) -> Damage | OSError:
    """An error of the operating system as damage of the file, if it is about the file.

    Args:
        error: raised by opening or reading the file.
        published: whether it is a published file; else an archived one.
    """
    if error.errno in _GONE:
        reason = Reason.OUTPUT_MISSING if published else Reason.INSTANCE_MISSING
        return Damage(reason, "its file is not there any more")
    if error.errno in _BROKEN:
        reason = Reason.OUTPUT_DAMAGED if published else Reason.INSTANCE_DAMAGED
        return Damage(reason, f"its file cannot be read: {error.strerror}")
    return error


def _check(handle: int, expected: Expected, pace: Callable[[int], None]) -> None:
    size = os.fstat(handle).st_size
    if expected.size is not None and size != expected.size:
        raise _changed(expected, size)
    if expected.meta is not None:
        found = _meta(os.pread(handle, expected.offset + _BEYOND, 0))
        if found != (expected.offset, expected.meta):
            raise Damage(Reason.INSTANCE_DAMAGED, "the meta information of its file has changed")
    if _hash_from(handle, expected.offset, pace) != expected.sha256:
        raise _changed(expected, size)


def _digest(expected: Expected) -> _Digest:
    return hashlib.sha256() if expected.crc32 is None else _Crc32()


def _compare(digest: _Digest, expected: Expected, size: int) -> None:
    wanted = expected.sha256 if expected.crc32 is None else f"{expected.crc32:08x}"
    if digest.hexdigest() != wanted:
        raise _changed(expected, size)


def _changed(expected: Expected, size: int) -> Damage:
    if expected.size is not None and size != expected.size:
        how = f"its file has {size} bytes instead of {expected.size}"
    else:
        how = "its bytes are not those that were received: their checksum differs"
    return Damage(Reason.INSTANCE_DAMAGED, how)


def _meta(head: bytes) -> tuple[int, Meta]:
    """Where the data set begins, and the meta information, which the node wrote itself, so that the
    hash does not cover it.

    Raises:
        Damage: the node did not write such meta information.
    """
    try:
        start = find_data_set(head)
        sound = meta_length(head) == start.offset
    except (MalformedDataSet, struct.error):
        sound = False
    if not sound:
        raise Damage(Reason.INSTANCE_DAMAGED, "its file does not begin as it was written")
    return start.offset, Meta(
        start.sop_class_uid, start.sop_instance_uid, start.transfer_syntax_uid
    )


def _read(handle: int, offset: int, size: int) -> bytes:
    """Bytes of a file, in one read unless that returns fewer."""
    data = os.pread(handle, max(0, size), offset)
    if len(data) >= size:
        return data
    parts, read = [data], len(data)
    while read < size and (part := os.pread(handle, size - read, offset + read)):
        parts.append(part)
        read += len(part)
    return b"".join(parts)


def _hash(
    handle: int,
    digest: _Digest,
    start: int,
    stop: int | None = None,
    pace: Callable[[int], None] = lambda _size: None,
) -> None:
    """Hash a part of a file; without `stop`, up to its end."""
    while size := CHUNK if stop is None else min(CHUNK, stop - start):
        chunk = os.pread(handle, size, start)
        if not chunk:
            return
        digest.update(chunk)
        start += len(chunk)
        pace(len(chunk))


def _hash_from(handle: int, offset: int, pace: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    _hash(handle, digest, offset, pace=pace)
    return digest.hexdigest()
