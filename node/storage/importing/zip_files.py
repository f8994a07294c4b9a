"""Reads the files of an uploaded ZIP, and refuses what would fill disk or memory."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from node.core.errors import Permanent

MOST_ENTRIES: Final = 100_000
_MOST_DIRECTORY: Final = 32 << 20
"""Bytes of the list of files, which is read into memory."""
_SMALL: Final = 64 << 20
"""Bytes; what unpacks to less is never refused for its ratio."""
_MOST_RATIO: Final = 150
"""Unpacked to packed. Images pack to a half or a third; an empty one of zeros to a hundredth."""
_CHUNK: Final = 1 << 20
_END: Final = b"PK\5\6"
_END_SIZE: Final = 22
_END_64: Final = b"PK\6\6"
_LOCATOR_SIZE: Final = 20
_LONGEST_COMMENT: Final = 65535
_ENCRYPTED: Final = 1
_MAGIC: Final = (b"PK\3\4", b"PK\5\6")


class BadZip(Permanent):
    """A ZIP that is not unpacked, or a file in it."""


def is_zip(path: Path) -> bool:
    """Whether a file begins as a ZIP does."""
    with path.open("rb") as file:
        return file.read(4) in _MAGIC


class ZipFiles:
    """The files of a ZIP.

    Args:
        path: of the ZIP.

    Raises:
        BadZip: it is broken, or would fill disk or memory.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                _check_directory(file)
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, struct.error) as error:
            raise BadZip("this ZIP is broken: it has no list of its files") from error
        self.entries = [one for one in self._zip.infolist() if not one.is_dir()]
        try:
            self._check(path.stat().st_size)
        except BadZip:
            self._zip.close()
            raise

    def __enter__(self) -> ZipFiles:
        """Nothing to do."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the file."""
        self._zip.close()

    def unpack(self, entry: zipfile.ZipInfo, target: Path) -> None:
        """Write one file of the ZIP.

        Args:
            entry: of `entries`.
            target: where it is written, whatever its name in the ZIP.

        Raises:
            BadZip: it is broken, encrypted, or unpacks to far more than it is.
        """
        if entry.flag_bits & _ENCRYPTED:
            raise BadZip("it is encrypted; upload it without a password")
        if _is_bomb(entry.file_size, entry.compress_size):
            raise BadZip(
                f"zip-bomb: {entry.compress_size} bytes would become {entry.file_size} bytes"
            )
        try:
            with self._zip.open(entry) as packed, target.open("wb") as file:
                for chunk in _chunks(packed):
                    file.write(chunk)
        except (
            zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError,
        ) as error:  # fmt: skip
            raise BadZip(f"it cannot be unpacked: {error}") from error

    def _check(self, size: int) -> None:
        if len(self.entries) > MOST_ENTRIES:
            raise BadZip(f"it has more than {MOST_ENTRIES} files; upload it in parts")
        end = 0
        for entry in sorted(self.entries, key=lambda one: one.header_offset):
            if entry.header_offset < end:
                raise BadZip("zip-bomb: files of this ZIP lie over each other")
            end = entry.header_offset + entry.compress_size
        whole = sum(entry.file_size for entry in self.entries)
        if _is_bomb(whole, size):
            raise BadZip(f"zip-bomb: {size} bytes would become {whole} bytes")


def _is_bomb(unpacked: int, packed: int) -> bool:
    return unpacked > _SMALL and unpacked > _MOST_RATIO * max(packed, 1)


def _chunks(packed: IO[bytes]) -> Iterator[bytes]:
    while chunk := packed.read(_CHUNK):
        yield chunk


def _check_directory(file: IO[bytes]) -> None:
    """Refuse a list of files that is too large, before it is read into memory.

    Raises:
        BadZip: it is too large. ValueError, struct.error: there is none.
    """
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - _END_SIZE - _LONGEST_COMMENT - _LOCATOR_SIZE)
    file.seek(start)
    tail = file.read()
    at = tail.rindex(_END)
    (listed,) = struct.unpack_from("<I", tail, at + 12)
    if listed == 0xFFFFFFFF:  # the sizes are in the record of ZIP64
        (record,) = struct.unpack_from("<Q", tail, at - _LOCATOR_SIZE + 8)
        file.seek(record)
        head = file.read(56)
        if not head.startswith(_END_64):
            raise ValueError(head[:4])
        (listed,) = struct.unpack_from("<Q", head, 40)
    if listed > _MOST_DIRECTORY:
        raise BadZip(f"its list of files has {listed} bytes; upload it in parts")
