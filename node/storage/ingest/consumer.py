"""One partition of the journal, read behind its writer in batches that are worth a transaction."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from node.storage.journal import Found, Journal

_MOST: Final = 256  # records of a batch
_ENOUGH: Final = 128  # to begin, even if more keep coming
_BYTES: Final = 8 << 20  # after which a batch gets no further record
_LOOKS: Final = 10  # at how much more has come
_LOOK_SECONDS: Final = 0.002


class JournalConsumer:
    """How far a partition has been ingested.

    What a transaction costs besides its rows is what filing five instances takes, so that records
    are let gather as long as more of them come.

    Args:
        rest: sleeps for so many seconds.
    """

    def __init__(
        self, journal: Journal, partition: int, rest: Callable[[float], None] = time.sleep
    ) -> None:
        self.partition = partition
        self._journal = journal
        self._rest = rest
        self._cursor = journal.cursor(partition, journal.offsets.ingested(partition))
        self._begin = self._cursor.position
        self._pending: list[Found] = []
        self._size = 0
        # Of what an earlier ingester was at when it died there may be half files.
        self._anew_until = journal.offsets.answered(partition)

    @property
    def position(self) -> int:
        """Up to where the pending batch reaches."""
        return self._cursor.position

    @property
    def anew(self) -> bool:
        """Whether some of the pending batch may have been ingested before, by halves."""
        return self._begin < self._anew_until

    def batch(self) -> list[Found]:
        """The next records; the same again, and perhaps some more, until `done`."""
        for _ in range(_LOOKS):
            before = len(self._pending)
            self._read()
            if len(self._pending) == before or self._is_enough:
                break
            self._rest(_LOOK_SECONDS)
        return self._pending

    def done(self) -> None:
        """The batch has been ingested."""
        self._forget()

    def again(self) -> None:
        """File once more what is not safe: it cannot be trusted to have reached the disk."""
        offsets = self._journal.offsets
        self._anew_until = max(self._anew_until, self.position)
        self._cursor = self._journal.cursor(self.partition, offsets.safe(self.partition))
        self._forget()

    @property
    def _is_enough(self) -> bool:
        return len(self._pending) >= _ENOUGH or self._size >= _BYTES

    def _forget(self) -> None:
        self._begin = self._cursor.position
        self._pending = []
        self._size = 0

    def _read(self) -> None:
        limit = self._journal.offsets.answered(self.partition)
        while len(self._pending) < _MOST and self._size < _BYTES:
            found = self._cursor.next(limit)
            if found is None:
                break
            self._pending.append(found)
            self._size += len(found.data_set)
