"""A Part 10 file that is written while its data set is received, as it is too large for memory."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from isal import isal_zlib

from node.core.errors import StorageFull
from node.core.system.disk import FILE_MODE


class Spill:
    """A file in the archive's `.incoming`; `close` removes it unless it was kept.

    Args:
        path: of the file, which is not there yet.
        meta: preamble and meta information, which the data set follows.
        room: raises StorageFull if there is no room for so many more bytes.

    Attributes:
        offset: where the data set begins.
        size: bytes of the file so far.
        crc: CRC-32 of the data set so far.

    Raises:
        StorageFull: the file cannot be made.
    """

    def __init__(self, path: Path, meta: bytes, room: Callable[[int], None]) -> None:
        self.path = path
        self.offset = len(meta)
        self.size = 0
        self.crc = 0
        self._room = room
        self._kept = False
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE)
        except OSError as error:
            raise StorageFull(f"the archive cannot be written: {error.strerror}") from error
        self._append(meta)

    def write(self, data: bytes | memoryview) -> None:
        """Append to the data set.

        Raises:
            StorageFull: the disk is full or failing.
        """
        self._append(data)
        self.crc = isal_zlib.crc32(data, self.crc)

    def _append(self, data: bytes | memoryview) -> None:
        self._room(len(data))
        view = memoryview(data)
        try:
            while view:
                count = os.write(self._handle, view)
                view = view[count:]
                self.size += count
        except OSError as error:
            raise StorageFull(f"the archive cannot be written: {error.strerror}") from error

    @contextmanager
    def data_set(self) -> Iterator[memoryview]:
        """The data set, mapped into memory until the block ends."""
        if self.size == self.offset:
            yield memoryview(b"")
            return
        with (
            mmap.mmap(self._handle, self.size, prot=mmap.PROT_READ) as mapped,
            memoryview(mapped) as whole,
            whole[self.offset :] as view,
        ):
            yield view

    def sync(self) -> None:
        """Bring the bytes to stable storage; the file's name is not synced.

        Raises:
            StorageFull: the disk is failing.
        """
        try:
            os.fdatasync(self._handle)
        except OSError as error:
            raise StorageFull(f"the archive cannot be written: {error.strerror}") from error

    def keep(self) -> None:
        """The journal names the file now: `close` must not remove it."""
        self._kept = True

    def close(self) -> None:
        """Close the file, and remove it unless it was kept."""
        os.close(self._handle)
        if not self._kept:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
