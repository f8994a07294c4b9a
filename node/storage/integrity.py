"""Whether a file still is what was received or published: the one place where that is compared.

The index has the SHA-256 of every archived data set, and of every published file. Whoever reads an
archived file says what is expected, and gets its bytes only if they are that. Where volumes or
peers wait for the bytes they are compared by the CRC-32 that the index has beside it, which takes a
twentieth of the time; looking after the archive, commitment and healing go by the SHA-256.
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
from node.dicom import find_data_set
from node.dicom.file_meta import meta_length

CHUNK: Final = 1 << 20
"""Bytes that are read and hashed at once; hashlib lets other threads run meanwhile."""
_HEAD: Final = 4096
"""Bytes, more than any meta information that the node writes."""
_BEYOND: Final = 16
"""Bytes of the data set that are looked at with the meta information, to see where that ends."""
_GONE: Final = (errno.ENOENT, errno.ENOTDIR)
_BROKEN: Final = (errno.EIO, errno.EISDIR, errno.EUCLEAN, errno.ENODATA, errno.EILSEQ)
"""What a failing disk or file system says of one file; anything else is not the file's fault."""


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class _Crc32:
    """CRC-32 as hashlib has hashes."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        """Take more in."""
        self._value = isal_zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        """What it is so far."""
        return f"{self._value:08x}"


class Damage(Permanent):
    """A file is not what it was, or is not there any more.

    Args:
        reason: its name.
        sentence: what is wrong with it; names neither the file nor what it is of.
    """

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(f"{reason}: {sentence}")
        self.reason = reason
        self.sentence = sentence


class Meta(NamedTuple):
    """What the meta information of a file says of the data set."""

    sop_class_uid: str | None
    sop_instance_uid: str | None
    transfer_syntax_uid: str


class Expected(msgspec.Struct, frozen=True):
    """What an archived file has to be.

    Attributes:
        sha256: of the data set, in hexadecimal digits.
        offset: where the data set begins.
        crc32: of the data set; None: not known.
        size: of the whole file in bytes; None: whatever it is.
        meta: what its meta information has to say; None: whatever it says.
    """

    sha256: str
    offset: int
    crc32: int | None = None
    size: int | None = None
    meta: Meta | None = None


def read_part(file: str | Path, expected: Expected, start: int, size: int | None = None) -> bytes:
    """Bytes of an archived file's data set, if all of it is what was received.

    No more than these are in memory at once.

    Args:
        start: where they begin in the data set.
        size: how many; None: up to its end. Fewer come if it ends before.

    Raises:
        Damage: it is not, or the file is not there.
        OSError: it cannot be read for a reason that has nothing to do with the file.
    """
    begin = expected.offset + start
    digest = _digest(expected)
    try:
        handle = os.open(file, os.O_RDONLY)
        try:
            whole = os.fstat(handle).st_size
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
    """See whether an archived file is what was received, however large it is.

    Args:
        pace: called with the number of bytes that were read; may take its time.
        from_disk: what the system's memory holds of it says nothing, and is not kept there.

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
    """See whether an open file is what was received, by the checksum that takes the least time.

    Raises:
        Damage: it is not.
        OSError: it cannot be read for a reason that has nothing to do with the file.
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


def held_by(file: str | Path) -> tuple[str, Meta]:
    """The SHA-256 of an archived file's data set, and its meta information.

    Raises:
        Damage: it is no such file, not there, or cannot be read.
        OSError: it cannot be read for a reason that has nothing to do with the file.
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
    """See whether a published file is what was published.

    Args:
        sha256: empty: it only has to be there.
        pace: called with the number of bytes that were read; may take its time.
        from_disk: what the system's memory holds of it says nothing, and is not kept there.

    Raises:
        Damage: it is not, or it is not there.
        OSError: it cannot be read for a reason that has nothing to do with the file.
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
    """Read from the disk, and leave memory to what others read."""
    if not wanted:
        yield
        return
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    yield
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)


def damage_of(error: OSError, *, published: bool = False) -> Damage | OSError:
    """What an error of the system says of the file that was to be read."""
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
        told = _meta(os.pread(handle, expected.offset + _BEYOND, 0))
        if told != (expected.offset, expected.meta):
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
    """Where the data set begins, and what is said of it: by the node itself, so that it is no part
    of what is hashed.

    Raises:
        Damage: it is no meta information of the node's.
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
    """Bytes of a file; one read for what is not too large for that."""
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
    """Hash a part of a file; up to its end, if nothing is said."""
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
