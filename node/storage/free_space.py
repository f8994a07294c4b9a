"""Whether the disk has room for more, asked for every instance and looked at now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from node.core.errors import StorageFull

_LOOK_SECONDS: Final = 0.02
_LEAST_FREE: Final = 1 << 20  # bytes, whatever is to be kept: the index has to grow too
_LEAST_NAMES: Final = 16  # files that the file system must still be able to hold
_SMALL: Final = 4096  # bytes that a file has at least, to guess how many wait


class FreeSpaceGuard:
    """What was seen a moment ago holds, less what has been let in since. Safe for many threads.

    Nobody is let in for whom there may be no room, and nobody is refused before the disk was looked
    at once more.

    Args:
        look: bytes and files that may still be written (None: files are not counted).
        minimum_free: bytes to be kept free.
        backlog: bytes that were let in before and do not show on the disk yet.
        clock: seconds.
    """

    def __init__(
        self,
        look: Callable[[], tuple[int, int | None]],
        minimum_free: int,
        backlog: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._least = max(minimum_free, _LEAST_FREE)
        self._minimum_free = minimum_free
        self._backlog = backlog
        self._clock = clock
        self._lock = threading.Lock()
        self._free = 0
        self._names: int | None = None
        self._until = 0.0

    def take(self, size: int, files: int = 1) -> None:
        """Let so many bytes in.

        Raises:
            StorageFull: there is no room for them, or the disk does not answer.
        """
        with self._lock:
            now = self._clock()
            if now >= self._until or self._refusal(size):
                self._see(now)
                if refusal := self._refusal(size):
                    raise StorageFull(refusal)
            self._free -= size
            if self._names is not None:
                self._names -= files

    def _see(self, now: float) -> None:
        self._until = 0.0
        backlog = self._backlog()  # first: what is ingested meanwhile counts twice, and not never
        try:
            free, names = self._look()
        except OSError as error:
            raise StorageFull(f"the archive does not answer: {error.strerror}") from error
        self._free = free - backlog
        self._names = None if names is None else names - backlog // _SMALL
        self._until = now + _LOOK_SECONDS

    def _refusal(self, size: int) -> str:
        if self._free - size < self._least:
            return (
                f"{max(0, self._free) >> 20} MiB are free below storage.root; "
                f"storage.minimum_free keeps {self._minimum_free >> 20} MiB"
            )
        if self._names is not None and self._names < _LEAST_NAMES:
            return (
                f"the file system below storage.root has room for {max(0, self._names)} files more"
            )
        return ""
