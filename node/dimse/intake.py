"""Where a data set goes while it comes in: a reused buffer, and a file once it grows large."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol

from node.dimse.wire import Wire
from node.spill import Spill

_FIRST: Final = 1 << 20  # bytes of a fresh buffer
_KEPT: Final = 16  # buffers that wait for the next data set


class Buffers:
    """Buffers for data sets, handed out again and again.

    Args:
        most: bytes that a data set may have in memory.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._free: list[bytearray] = []
        self._lock = threading.Lock()

    def take(self) -> bytearray:
        """A buffer, with whatever it held before."""
        with self._lock:
            return self._free.pop() if self._free else bytearray(min(_FIRST, self.most))

    def give(self, buffer: bytearray) -> None:
        """Return a buffer that nobody looks at any more."""
        with self._lock:
            if len(self._free) < _KEPT:
                self._free.append(buffer)


class Intake(Protocol):
    """Takes one data set in."""

    def read(self, wire: Wire, count: int) -> None:
        """Read the next `count` bytes of it from the wire."""

    def close(self) -> None:
        """Forget everything that nobody has taken over."""


class BufferedIntake:
    """A data set in memory, or in a file if it is large.

    Args:
        spill: begins the file.
    """

    def __init__(self, buffers: Buffers, spill: Callable[[], Spill]) -> None:
        self._buffers = buffers
        self._begin = spill
        self._buffer = buffers.take()
        self._used = 0
        self._spill: Spill | None = None

    @property
    def spill(self) -> Spill | None:
        """The file that holds the data set; None if it is in memory."""
        if self._spill is not None:
            self._flush()
        return self._spill

    def view(self) -> memoryview:
        """The data set, if it is in memory."""
        return memoryview(self._buffer)[: self._used]

    def read(self, wire: Wire, count: int) -> None:
        """Read the next `count` bytes of the data set from the wire."""
        if self._used + count > len(self._buffer):
            self._make_room(count)
        with memoryview(self._buffer) as view:
            wire.read_into(view[self._used : self._used + count])
        self._used += count

    def close(self) -> None:
        """Give the buffer back; the file goes unless it was kept."""
        if self._spill is not None:
            self._spill.close()
        self._buffers.give(self._buffer)

    def _make_room(self, count: int) -> None:
        wanted = self._used + count
        if wanted <= self._buffers.most and self._spill is None:
            grown = bytearray(min(max(wanted, 2 * len(self._buffer)), self._buffers.most))
            with self.view() as view:
                grown[: self._used] = view
            self._buffer = grown
            return
        if self._spill is None:
            self._spill = self._begin()
        self._flush()

    def _flush(self) -> None:
        assert self._spill is not None  # noqa: S101
        with self.view() as view:
            self._spill.write(view)
        self._used = 0
