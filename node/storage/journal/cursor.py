"""Reading one partition of the journal record by record, past whatever is damaged.

Every record is compared with its checksum, which takes a twentieth of the time of the SHA-256 that
filing it needs. What cannot be read is told, and reading goes on behind it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from node.storage.journal import segment
from node.storage.journal.damage import Damage
from node.storage.journal.entry import Ended, Entry
from node.storage.journal.mapping import Begun, Segments
from node.storage.journal.records import Records
from node.storage.journal.segment import place, position

_AGAIN_SECONDS: Final = 0.05
"""Before a record counts as damaged it is looked at once more, so much later."""


class Found(NamedTuple):
    """A record, and the position behind it."""

    item: Entry | Ended
    data_set: memoryview
    after: int


class Cursor:
    """Reads one partition, behind its writer or after it. For one thread.

    Args:
        start: a position; what is before it is not read.
        seed: of the partition, for segments whose header cannot be read.
        damaged: told of each part that was written and cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        partition: int,
        start: int,
        damaged: Callable[[Damage], None] = lambda _damage: None,
        *,
        seed: int = 0,
    ) -> None:
        self._seed = seed
        self._partition = partition
        self._damaged = damaged
        self._segments = Segments(folder, partition)
        self._generation, self._offset = place(start)
        self._records: Records | None = None
        self._doubted = -1  # the position at which nothing could be read the last time

    @property
    def position(self) -> int:
        """Up to where it has read."""
        return position(self._generation, self._offset)

    def next(self, limit: int, answered: int = 0) -> Found | None:
        """The next record that begins before the position `limit`; None if there is none.

        Args:
            answered: up to where senders had their answers at least, if that is less than `limit`.
        """
        while self.position < limit:
            found = self._here()
            if found is not None:
                return found
            if not self._onward(limit, answered):
                return None
        return None

    def _here(self) -> Found | None:
        if self._records is None:
            return None
        record = self._records.at(max(self._offset, segment.HEADER))
        if record is None:
            return None
        self._offset = record.end
        return Found(record.item, record.data_set, self.position)

    def _onward(self, limit: int, answered: int) -> bool:
        """Go to where reading goes on; False if there is nothing more to be read."""
        begun = self._segments.begun(self._generation)
        if self._follow(begun):
            return True
        at = max(self._offset, segment.HEADER)
        end, bound = self._end(begun, limit, answered)
        resumed = self._records.after(at, bound) if self._records is not None else None
        if resumed is None and at >= end:
            return self._to_later(begun, limit)
        if self._may_be_late():
            return True
        if self._records is None and self._without_header(begun, self._generation):
            return True
        upto = end if resumed is None else resumed
        self._tell(self._generation, at, upto)
        self._offset = upto
        return True

    def _to_later(self, begun: Mapping[int, Begun], limit: int) -> bool:
        """Go to the next segment; what should be between is looked for, or told."""
        later = [g for g in begun if self._generation < g <= place(limit)[0]]
        following = min(later, default=None)
        last, end = place(limit if following is None else begun[following].head.before)
        lost = [
            g for g in range(self._generation + 1, last + 1) if g < last or end > segment.HEADER
        ]
        if lost:
            if self._may_be_late():
                return True
            if self._without_header(begun, lost[0]):
                self._generation, self._offset = lost[0], segment.HEADER
                return True
            self._tell(lost[0], segment.HEADER, end if lost[0] == last else None)
            self._generation, self._offset = lost[0], end if lost[0] == last else segment.HEADER
            self._records = None
            return True
        if following is None:
            return False
        self._generation, self._offset = following, segment.HEADER
        self._follow(begun)
        return True

    def _end(self, begun: Mapping[int, Begun], limit: int, answered: int) -> tuple[int, int]:
        """The offset up to which the generation was written for certain, and up to which there may
        be records."""
        exact = [place(limit)] if place(limit)[1] else []
        exact += [place(one.head.before) for one in begun.values()]
        here = begun.get(self._generation)
        if here is not None:
            exact.append((self._generation, segment.read_end(here.view, self._generation)))
        known = max((end for generation, end in exact if generation == self._generation), default=0)
        if known:
            return known, known
        floor = place(answered)
        written = floor[1] if floor[0] == self._generation else 0
        return written, len(self._records.view) if self._records is not None else 0

    def _follow(self, begun: Mapping[int, Begun]) -> bool:
        """Have the records of the generation; whether its file is another, or has grown."""
        here, known = begun.get(self._generation), self._records
        if here is None:
            return False
        if known and known.view is here.view and known.generation == self._generation:
            return False
        self._records = Records(here.view, here.head.generation, here.head.seed)
        return True

    def _without_header(self, begun: Mapping[int, Begun], generation: int) -> bool:
        seeds = {0, self._seed, *(one.head.seed for one in begun.values())}
        self._records = self._segments.without_header(generation, seeds)
        return self._records is not None

    def _may_be_late(self) -> bool:
        """Whether to look once more before anything counts as damaged."""
        if self._doubted == self.position:
            return False
        self._doubted = self.position
        time.sleep(_AGAIN_SECONDS)
        return True

    def _tell(self, generation: int, start: int, end: int | None) -> None:
        records = self._records if generation == self._generation else None
        seen = records.seen(start, end) if records is not None and end is not None else []
        view = records.view if records is not None else None
        self._damaged(Damage(self._partition, generation, start, end, tuple(seen), view))
