"""Copies a file and compares it with what it should be."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO, Final

from node.core.system.disk import FILE_MODE, ensure_folder

_CHUNK: Final = 4 << 20


class FileDiffers(Exception):
    """A file is not what it should be; the text says how it differs."""


def copy(
    source: Path,
    target: Path,
    *,
    offset: int = 0,
    size: int | None = None,
    sha256: str | None = None,
) -> tuple[int, str]:
    """Copy a file with its time of modification; the copy gets its name once it is complete.

    Args:
        source: the file.
        target: the copy.
        offset: where the part begins that is hashed.
        size: bytes that the file should have; None: not compared.
        sha256: of the part; None: not compared.

    Returns:
        The bytes of the file, and the hash of the part.

    Raises:
        FileDiffers: the file differs, or cannot be read; nothing was copied.
        FileNotFoundError: there is no file.
        OSError: the copy cannot be written.
    """
    ensure_folder(target.parent)
    draft = target.with_name(f".{target.name[:100]}.part")
    hasher, total = hashlib.sha256(), 0
    try:
        with _opened(source) as file:
            status = os.fstat(file.fileno())
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
            with os.fdopen(handle, "wb") as out:
                while chunk := _read(file):
                    out.write(chunk)
                    hasher.update(memoryview(chunk)[max(0, offset - total) :])
                    total += len(chunk)
        if size is not None and total != size:
            raise FileDiffers(f"has {total} bytes and should have {size}")
        if sha256 is not None and hasher.hexdigest() != sha256:
            raise FileDiffers("is damaged: its SHA-256 is not that of what was received")
        os.utime(draft, ns=(status.st_atime_ns, status.st_mtime_ns))
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return total, hasher.hexdigest()


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise FileDiffers(f"cannot be read: {error.strerror}") from error


def _read(file: IO[bytes]) -> bytes:
    try:
        return file.read(_CHUNK)
    except OSError as error:
        raise FileDiffers(f"cannot be read: {error.strerror}") from error
