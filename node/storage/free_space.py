"""Whether the disk has room: asked for every instance, measured every few milliseconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from node.core.errors import StorageFull

_VALID_SECONDS: Final = 0.02  # of a measurement
_LEAST_FREE: Final = 1 << 20  # bytes, whatever minimum_free says: the index has to grow too
_LEAST_FILES: Final = 16  # that the file system must still be able to hold
_SMALL: Final = 4096  # bytes of the smallest file, to estimate how many are in the backlog


class FreeSpaceGuard:
    """Compares what is accepted with the last measurement of the disk. Safe for many threads.

    Before it refuses anything it measures again.

    Args:
        look: returns bytes and files that may still be written (None: files are not counted).
        minimum_free: bytes to be kept free.
        backlog: returns bytes that were accepted before and are not on the disk yet.
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
        self._files: int | None = None
        self._until = 0.0

    def take(self, size: int, files: int = 1) -> None:
        """Accept so many bytes.

        Args:
            size: bytes.
            files: how many files they become.

        Raises:
            StorageFull: there is no room, or the disk does not answer.
        """
        with self._lock:
            now = self._clock()
            if now >= self._until or self._refusal(size):
                self._measure(now)
                if refusal := self._refusal(size):
                    raise StorageFull(refusal)
            self._free -= size
            if self._files is not None:
                self._files -= files

    def _measure(self, now: float) -> None:
        self._until = 0.0
        backlog = self._backlog()  # read first, so that what is ingested meanwhile counts twice
        try:
            free, files = self._look()
        except OSError as error:
            raise StorageFull(f"the archive does not answer: {error.strerror}") from error
        self._free = free - backlog
        self._files = None if files is None else files - backlog // _SMALL
        self._until = now + _VALID_SECONDS

    def _refusal(self, size: int) -> str:
        if self._free - size < self._least:
            return (
                f"{max(0, self._free) >> 20} MiB are free below storage.root; "
                f"storage.minimum_free keeps {self._minimum_free >> 20} MiB"
            )
        if self._files is not None and self._files < _LEAST_FILES:
            return (
                f"the file system below storage.root has room for {max(0, self._files)} files more"
            )
        return ""
