"""Reading one partition of the journal record by record, past damaged records.

Every record is compared with its checksum, which takes a twentieth of the time of the SHA-256 that
ingesting needs. Damage is reported, and reading goes on behind it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from node.storage.journal import segment
from node.storage.journal.damage import JournalDamage
from node.storage.journal.mapped_segments import MappedSegment, MappedSegments
from node.storage.journal.record_format import AssociationEnded, Entry
from node.storage.journal.segment import position, split_position
from node.storage.journal.segment_reader import SegmentReader

_RETRY_SECONDS: Final = 0.05
"""A record counts as damaged if it cannot be read a second time after this pause."""


class JournalRecord(NamedTuple):
    """A record of the journal.

    Attributes:
        item: an instance, or the end of an association.
        data_set: of the instance; empty if it lies in a file.
        after: the position behind the record.
    """

    item: Entry | AssociationEnded
    data_set: memoryview
    after: int


class PartitionReader:
    """Reads one partition, while it is being written or later. For one thread.

    Args:
        folder: the journal's folder.
        partition: its number.
        start: the position from which it reads.
        damaged: called with each part that was written and cannot be read.
        seed: of the partition's checksums, for segments whose header cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        partition: int,
        start: int,
        damaged: Callable[[JournalDamage], None] = lambda _damage: None,
        *,
        seed: int = 0,
    ) -> None:
        self._seed = seed
        self._partition = partition
        self._damaged = damaged
        self._segments = MappedSegments(folder, partition)
        self._generation, self._offset = split_position(start)
        self._current: SegmentReader | None = None
        self._retried = -1  # the position at which reading failed the last time

    @property
    def position(self) -> int:
        """The position up to which it has read."""
        return position(self._generation, self._offset)

    def next(self, limit: int, answered: int = 0) -> JournalRecord | None:
        """The next record that begins before `limit`; None if there is none.

        Args:
            limit: a position.
            answered: a position up to which senders were answered for certain, where `limit` may
                be beyond that.
        """
        while self.position < limit:
            found = self._read()
            if found is not None:
                return found
            if not self._advance(limit, answered):
                return None
        return None

    def _read(self) -> JournalRecord | None:
        if self._current is None:
            return None
        record = self._current.at(max(self._offset, segment.HEADER))
        if record is None:
            return None
        self._offset = record.end
        return JournalRecord(record.item, record.data_set, self.position)

    def _advance(self, limit: int, answered: int) -> bool:
        """Go to where the next record may begin; False if there is none."""
        segments = self._segments.by_generation(self._generation)
        if self._open_current(segments):
            return True
        at = max(self._offset, segment.HEADER)
        end, bound = self._end(segments, limit, answered)
        resumed = self._current.after(at, bound) if self._current is not None else None
        if resumed is None and at >= end:
            return self._to_later_segment(segments, limit)
        if self._retry():
            return True
        if self._current is None and self._open_without_header(segments, self._generation):
            return True
        upto = end if resumed is None else resumed
        self._report(self._generation, at, upto)
        self._offset = upto
        return True

    def _to_later_segment(self, segments: Mapping[int, MappedSegment], limit: int) -> bool:
        """Go to the next segment; report segments between that are missing."""
        later = [g for g in segments if self._generation < g <= split_position(limit)[0]]
        following = min(later, default=None)
        before = limit if following is None else segments[following].header.before
        last, end = split_position(before)
        lost = [
            g for g in range(self._generation + 1, last + 1) if g < last or end > segment.HEADER
        ]
        if lost:
            if self._retry():
                return True
            if self._open_without_header(segments, lost[0]):
                self._generation, self._offset = lost[0], segment.HEADER
                return True
            self._report(lost[0], segment.HEADER, end if lost[0] == last else None)
            self._generation, self._offset = lost[0], end if lost[0] == last else segment.HEADER
            self._current = None
            return True
        if following is None:
            return False
        self._generation, self._offset = following, segment.HEADER
        self._open_current(segments)
        return True

    def _end(
        self, segments: Mapping[int, MappedSegment], limit: int, answered: int
    ) -> tuple[int, int]:
        """The offset up to which the segment was written for certain, and the offset up to which
        there may be records."""
        exact = [split_position(limit)] if split_position(limit)[1] else []
        exact += [split_position(one.header.before) for one in segments.values()]
        current = segments.get(self._generation)
        if current is not None:
            exact.append((self._generation, segment.read_end(current.view, self._generation)))
        known = max((end for generation, end in exact if generation == self._generation), default=0)
        if known:
            return known, known
        floor = split_position(answered)
        written = floor[1] if floor[0] == self._generation else 0
        return written, len(self._current.view) if self._current is not None else 0

    def _open_current(self, segments: Mapping[int, MappedSegment]) -> bool:
        """Open the segment of the current generation; whether its file is a new or larger one."""
        found, known = segments.get(self._generation), self._current
        if found is None:
            return False
        if known and known.view is found.view and known.generation == self._generation:
            return False
        self._current = SegmentReader(found.view, found.header.generation, found.header.seed)
        return True

    def _open_without_header(self, segments: Mapping[int, MappedSegment], generation: int) -> bool:
        """Open a segment of this generation whose header is damaged; whether there is one."""
        seeds = {0, self._seed, *(one.header.seed for one in segments.values())}
        self._current = self._segments.without_header(generation, seeds)
        return self._current is not None

    def _retry(self) -> bool:
        """Whether to read here once more before the record counts as damaged."""
        if self._retried == self.position:
            return False
        self._retried = self.position
        time.sleep(_RETRY_SECONDS)
        return True

    def _report(self, generation: int, start: int, end: int | None) -> None:
        reader = self._current if generation == self._generation else None
        seen = reader.seen(start, end) if reader is not None and end is not None else []
        view = reader.view if reader is not None else None
        self._damaged(JournalDamage(self._partition, generation, start, end, tuple(seen), view))
