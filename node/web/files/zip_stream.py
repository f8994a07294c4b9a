"""A ZIP that is sent while it is made: nothing of it is kept in memory or on the disk."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

_CHUNK: Final = 256 << 10
_EARLIEST: Final = 315532800.0  # 1980-01-01, the first day that a ZIP can name


class Member(NamedTuple):
    """A file of the ZIP.

    Attributes:
        name: in the ZIP.
        path: of the file.
    """

    name: str
    path: Path


def zip_of(members: Iterable[Member]) -> Iterator[bytes]:
    """The bytes of a ZIP, uncompressed: volumes are compressed, and images hardly get smaller.

    Args:
        members: its files; each is opened when it is due.

    Raises:
        OSError: a file cannot be read: the client sees that the ZIP is not complete.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as made:
        for member in members:
            with member.path.open("rb") as file:
                state = member.path.stat()
                when = time.localtime(max(state.st_mtime, _EARLIEST))[:6]
                info = zipfile.ZipInfo(member.name, when)
                info.external_attr = 0o644 << 16
                large = state.st_size >= zipfile.ZIP64_LIMIT // 2
                with made.open(info, "w", force_zip64=large) as entry:
                    while chunk := file.read(_CHUNK):
                        entry.write(chunk)
                        yield sink.taken()
            yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """Keeps what is written until it is taken; it cannot seek, as a connection cannot."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        """What was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
