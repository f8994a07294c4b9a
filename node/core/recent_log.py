"""The newest records of the log in a file below `storage.root`, for the page of administrators.

All processes of the node write to it, each record at once. There are two files of a bounded size:
the one that is written to and the one before it. The log on stderr stays the whole log.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any, Final

FOLDER: Final = "log"
MOST_BYTES: Final = 4 << 20
"""Of a file, after which the next one is begun."""
_FILE: Final = "recent.log"
_BEFORE: Final = "recent.1.log"


class _Handler(WatchedFileHandler):
    """Writes a record, or drops it: it is on stderr, and a full disk must stop nothing."""

    def _open(self) -> Any:
        """The file, which only the node's user may read: it has addresses and UIDs."""
        return open(self.baseFilename, self.mode, encoding=self.encoding, opener=_private)

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  a name of logging
        """Say nothing."""


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def recent_log_handler(root: Path) -> logging.Handler:
    """The handler that keeps the newest records; it makes the folder.

    Args:
        root: `storage.root`.
    """
    with suppress(OSError):
        (root / FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
    return _Handler(root / FOLDER / _FILE, encoding="utf-8", delay=True)


def rotate(root: Path) -> None:
    """Begin a new file if the present one is full. For one process only, or records get lost.

    Args:
        root: `storage.root`.
    """
    present = root / FOLDER / _FILE
    with suppress(OSError):
        if present.stat().st_size > MOST_BYTES:
            present.replace(root / FOLDER / _BEFORE)


def newest(root: Path, limit: int, *, level: str = "INFO", text: str = "") -> list[dict[str, Any]]:
    """The newest records, the newest first, as `log.format: json` writes them.

    Args:
        root: `storage.root`.
        limit: of their number.
        level: only records of this level or above.
        text: only records that have it in any of their values, whatever the case.
    """
    least, wanted = logging.getLevelNamesMapping()[level], text.casefold()
    found: list[dict[str, Any]] = []
    for line in _lines(root):
        record = _record(line)
        if record is None or _number(record["level"]) < least:
            continue
        if wanted and not any(wanted in str(value).casefold() for value in record.values()):
            continue
        found.append(record)
        if len(found) >= limit:
            break
    return found


def _lines(root: Path) -> Iterator[bytes]:
    """The lines of both files, the newest first."""
    for name in (_FILE, _BEFORE):
        with suppress(OSError):
            yield from reversed((root / FOLDER / name).read_bytes().splitlines())


def _record(line: bytes) -> dict[str, Any] | None:
    """A record; None: a kill or a full disk has cut it off."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(found, dict) and {"time", "level", "logger", "message"} <= found.keys()
    return found if whole else None


def _number(level: str) -> int:
    return logging.getLevelNamesMapping().get(level, logging.CRITICAL)
