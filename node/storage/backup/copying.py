"""Copying a file, and seeing that it is what it should be."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO, Final

from node.core.system.disk import FILE_MODE, FOLDER_MODE

_CHUNK: Final = 4 << 20


class NotAsItWas(Exception):
    """A file is not what it should be; the text says how it differs."""


def copy(
    source: Path,
    target: Path,
    *,
    offset: int = 0,
    size: int | None = None,
    sha256: str | None = None,
) -> tuple[int, str]:
    """Copy a file with its time of change; it has its name once it is whole.

    Args:
        offset: where the part begins that is hashed.
        size: bytes that the file should have.
        sha256: that the part should have.

    Returns:
        Bytes of the file, and the hash of the part.

    Raises:
        NotAsItWas: it has not, or cannot be read; nothing was copied.
        FileNotFoundError: it is not there. OSError: the copy cannot be written.
    """
    target.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
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
            raise NotAsItWas(f"has {total} bytes and should have {size}")
        if sha256 is not None and hasher.hexdigest() != sha256:
            raise NotAsItWas("is damaged: its SHA-256 is not that of what was received")
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
        raise NotAsItWas(f"cannot be read: {error.strerror}") from error


def _read(file: IO[bytes]) -> bytes:
    try:
        return file.read(_CHUNK)
    except OSError as error:
        raise NotAsItWas(f"cannot be read: {error.strerror}") from error
