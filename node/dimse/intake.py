"""Where data sets go while they come in: buffers that are used again and again."""

from __future__ import annotations

from typing import Final

_FIRST: Final = 1 << 20  # bytes of a fresh buffer
_KEPT: Final = 16  # buffers that wait for the next data set


class Buffers:
    """Buffers for data sets, handed out again and again; for many threads, without a lock.

    Args:
        most: bytes that a data set may have in memory.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._free: list[bytearray] = []

    def take(self) -> bytearray:
        """A buffer, with whatever it held before."""
        try:
            return self._free.pop()
        except IndexError:
            return bytearray(min(_FIRST, self.most))

    def give(self, buffer: bytearray) -> None:
        """Return a buffer that nobody looks at any more."""
        if len(self._free) < _KEPT:
            self._free.append(buffer)
