"""Reads one partition of the journal in batches, each of which becomes one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from node.storage.journal import Journal, JournalRecord

_MOST: Final = 256  # records of a batch
_ENOUGH: Final = 128  # records of a batch that is ingested without waiting for more
_BYTES: Final = 8 << 20  # after which a batch gets no further record
_POLLS: Final = 10  # for further records
_POLL_SECONDS: Final = 0.002


class JournalConsumer:
    """Reads one partition, and keeps a batch until it has been ingested.

    A transaction without rows takes as long as ingesting five instances. So the consumer waits a
    few milliseconds for more records as long as they keep coming.

    Args:
        journal: the journal.
        partition: its number.
        sleep: sleeps for so many seconds.
    """

    def __init__(
        self, journal: Journal, partition: int, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.partition = partition
        self._journal = journal
        self._sleep = sleep
        self._reader = journal.reader(partition, journal.offsets.ingested(partition))
        self._begin = self._reader.position
        self._pending: list[JournalRecord] = []
        self._size = 0
        # An ingester that died may have left half-written files for records up to here.
        self._anew_until = journal.offsets.answered(partition)

    @property
    def position(self) -> int:
        """The position behind the pending batch."""
        return self._reader.position

    @property
    def anew(self) -> bool:
        """Whether some records of the pending batch may be ingested already, but not completely."""
        return self._begin < self._anew_until

    def batch(self) -> list[JournalRecord]:
        """The next records. Until `done` is called these stay, and more may be added."""
        for _ in range(_POLLS):
            before = len(self._pending)
            self._read()
            if len(self._pending) == before or self._is_enough:
                break
            self._sleep(_POLL_SECONDS)
        return self._pending

    def done(self) -> None:
        """The batch has been ingested."""
        self._start_batch()

    def rewind(self) -> None:
        """Read again from the position that is safe: later files may not be on the disk."""
        offsets = self._journal.offsets
        self._anew_until = max(self._anew_until, self.position)
        self._reader = self._journal.reader(self.partition, offsets.safe(self.partition))
        self._start_batch()

    @property
    def _is_enough(self) -> bool:
        return len(self._pending) >= _ENOUGH or self._size >= _BYTES

    def _start_batch(self) -> None:
        self._begin = self._reader.position
        self._pending = []
        self._size = 0

    def _read(self) -> None:
        limit = self._journal.offsets.answered(self.partition)
        while len(self._pending) < _MOST and self._size < _BYTES:
            found = self._reader.next(limit)
            if found is None:
                break
            self._pending.append(found)
            self._size += len(found.data_set)
