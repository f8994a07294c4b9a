"""The writer of one partition of the journal: appends records and syncs them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from node.core.errors import StorageFull
from node.dicom import Buffer
from node.storage.journal import segment
from node.storage.journal.offsets import OffsetTable
from node.storage.journal.record_format import AssociationEnded, Entry, encode_record
from node.storage.journal.segment import Segment, SegmentHeader, position, split_position
from node.storage.journal.segment_pool import SegmentPool

_WAIT_SECONDS: Final = 10.0  # for the ingester to free a segment, before the sender gets 0xA700
_READY: Final = segment.FEWEST  # segments made before the DICOM port opens,
_READY_FOR_IMPORT: Final = 3  # and before an import reads its first file: no sender waits for it
_BURST: Final = 32 << 10  # bytes of one write for which the ingester leaves its processor
_TURN_SECONDS: Final = 0.05  # for another thread's write, which may be waiting for the ingester


class _Item(NamedTuple):
    """A record to be written.

    Attributes:
        durable: whether it must be on stable storage when the write returns.
    """

    item: Entry | AssociationEnded
    data_set: Buffer
    durable: bool


class Draft(NamedTuple):
    """Instances being written; no other write starts until `keep` or `drop` was called.

    Attributes:
        keep: syncs them and returns whether all of them are on stable storage; if not, none counts.
        drop: erases them.
    """

    keep: Callable[[], bool]
    drop: Callable[[], None]


class JournalWriter:
    """Appends to one partition. Safe for many threads of one process.

    Args:
        folder: the journal's folder.
        number: of the partition; no other process may write to it.
        offsets: where the writer publishes its position.
        segment_size: bytes of the segments that this writer makes.
        written: called after each write, outside any lock; wakes the ingester.
        most: how many segments the partition may have.
        senders_wait: whether senders wait for answers, so that the ingester should give way.

    Raises:
        StorageFull: the partition's files cannot be made or opened.
    """

    def __init__(
        self,
        folder: Path,
        number: int,
        offsets: OffsetTable,
        segment_size: int,
        written: Callable[[], None] = lambda: None,
        *,
        most: int = segment.FEWEST,
        senders_wait: bool = True,
    ) -> None:
        self._number = number
        self._offsets = offsets
        self._size = segment_size
        self._senders_wait = senders_wait
        self._written = written
        self._lock = threading.Lock()
        self._pool = SegmentPool(folder, number, offsets, segment_size, most)
        self._generation = max(
            split_position(offsets.safe(number))[0],
            split_position(offsets.answered(number))[0],
            *(one.generation for one in self._pool.segments),
        )
        self._seed = _seed_of(self._pool.segments) or offsets.seed(number) or _new_seed()
        offsets.set_seed(number, self._seed)
        self._before = offsets.answered(number)  # where the records before the next segment's end
        self._current: Segment | None = None
        self._offset = 0
        self._distrusted = False  # a write or sync of the current segment failed
        nothing_left = offsets.ingested(number) >= offsets.answered(number)
        self._resume()
        self._next_segment(_WAIT_SECONDS)
        if nothing_left:
            offsets.set_ingested(number, offsets.answered(number))
        self._pool.prepare(_READY if senders_wait else _READY_FOR_IMPORT)

    @property
    def largest(self) -> int:
        """Bytes of the largest data set that fits into a record."""
        return self._pool.largest

    def append(self, entry: Entry, data_set: Buffer) -> None:
        """Write one instance; it is on stable storage when this returns.

        Args:
            entry: the instance.
            data_set: its data set as it was received; empty if the entry names a file.

        Raises:
            StorageFull: the disk does not take it.
            JournalFull: the ingester does not free a segment in time.
        """
        self._append_one(_Item(entry, data_set, durable=True))

    def draft(self, items: Sequence[tuple[Entry, Buffer]]) -> Draft | None:
        """Begin to write several instances; None if the current segment does not take them all.

        Between this and `Draft.keep` there is time to do something while the disk works.
        """
        if not self._lock.acquire(blocking=False):
            return None
        current = self._current
        try:
            if current is not None and not self._distrusted:
                parts: list[Buffer] = []
                for entry, data_set in items:
                    parts += encode_record(entry, data_set, current.generation, self._seed)
                end = self._offset + sum(map(len, parts))
                if end <= current.size:
                    current.write(parts, self._offset)
                    current.start(self._offset, end)
                    return Draft(
                        partial(self._keep, current, end), partial(self._drop, current, end)
                    )
        except OSError:
            self._distrusted = True
        except BaseException:
            self._lock.release()
            raise
        self._lock.release()
        return None

    def append_together(self, items: Sequence[tuple[Entry, Buffer]]) -> int:
        """Write several instances with one sync, without waiting for the ingester.

        Args:
            items: each instance and its data set as it was received.

        Returns:
            How many of them, counted from the first, are on stable storage.
        """
        batch = [_Item(entry, data_set, durable=True) for entry, data_set in items]
        if not (self._lock.acquire(blocking=False) or self._lock.acquire(timeout=_TURN_SECONDS)):
            return 0
        done = 0
        try:
            with suppress(StorageFull):
                while done < len(batch):
                    count = self._write_some(batch[done:])
                    if not count:
                        self._next_segment(0.0)
                    done += count
        finally:
            self._lock.release()
        if done:
            self._written()
        return done

    def note(self, ended: AssociationEnded) -> None:
        """Write the end of an association, without a sync: a crash may lose it.

        Raises:
            StorageFull, JournalFull: as for `append`.
        """
        self._append_one(_Item(ended, b"", durable=False))

    def wake_ingester(self) -> None:
        """Tell the ingester that there are new records; the `append` methods do so themselves."""
        self._written()

    def backlog(self) -> int:
        """Bytes, roughly, that are answered and not ingested yet."""
        answered, answered_at = split_position(self._offsets.answered(self._number))
        ingested, ingested_at = split_position(self._offsets.ingested(self._number))
        return max(0, (answered - ingested) * self._size + answered_at - ingested_at)

    def close(self) -> None:
        """Close the files; nothing may be appended any more."""
        self._pool.close()

    def _append_one(self, item: _Item) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS  # for the lock and for a segment together
        with self._lock:
            while not self._write_some([item]):
                self._next_segment(deadline - time.monotonic())
        self._written()

    def _keep(self, current: Segment, end: int) -> bool:
        try:
            current.sync()
        except OSError:
            self._distrusted = True
            return False
        else:
            self._advance(end)
            return True
        finally:
            self._lock.release()

    def _drop(self, current: Segment, end: int) -> None:
        try:
            current.write([bytes(end - self._offset)], self._offset)
        except OSError:
            self._distrusted = True
        finally:
            self._lock.release()

    def _resume(self) -> None:
        """Continue after an earlier process: records that it answered and that are not safe yet
        stay; a record that it was writing, and did not answer, must not be read."""
        answered = self._offsets.answered(self._number)
        generation, offset = split_position(answered)
        for one in self._pool.segments:
            if one.generation == generation:
                one.end = answered
                if offset:
                    one.cut(offset)
            elif 0 < one.generation < generation:
                one.end = position(one.generation + 1, 0)
            elif not one.generation and one.has_records:
                one.end = answered  # its header is damaged, and its records may not be ingested

    def _write_some(self, batch: Sequence[_Item]) -> int:
        """Write as much of a batch as the current segment has room for; returns how many."""
        current, end = self._current, self._offset
        if current is None or self._distrusted:
            return 0
        parts: list[Buffer] = []
        count, durable = 0, False
        for item, data_set, must_last in batch:
            record = encode_record(item, data_set, current.generation, self._seed)
            length = sum(map(len, record))
            if end + length > current.size:
                break
            parts += record
            end += length
            count += 1
            durable |= must_last
        if count:
            try:
                current.write(parts, self._offset)
                if durable:
                    current.sync()
            except OSError as error:
                # After a failed sync the content of the file is unknown.
                self._distrusted = True
                raise StorageFull(f"the journal cannot be written: {error.strerror}") from error
            self._advance(end)
        elif self._offset == segment.HEADER:
            raise StorageFull("a record is larger than a segment of the journal")
        return count

    def _next_segment(self, patience: float) -> None:
        """Continue in another segment, or at the beginning of this one if it has no records.

        Args:
            patience: seconds to wait for the ingester to free a segment.
        """
        current, empty = self._current, self._offset == segment.HEADER
        following = (
            current
            if current is not None and empty and current.in_place
            else self._pool.take(current, patience)
        )
        if current is not None:
            current.end = position(current.generation, self._offset)
            if not empty:
                self._before = current.end
            with suppress(OSError):  # readers use it as a check only
                current.finish(self._offset)
        self._generation += 1
        try:
            safe = self._offsets.safe(self._number)
            following.begin(SegmentHeader(self._generation, self._seed, safe, self._before))
        except OSError as error:
            raise StorageFull(f"the journal cannot be written: {error.strerror}") from error
        self._current, self._offset, self._distrusted = following, segment.HEADER, False
        self._publish_position()

    def _advance(self, end: int) -> None:
        if self._senders_wait and end - self._offset >= _BURST:
            self._offsets.set_last_burst(time.monotonic())
        self._offset = end
        self._publish_position()

    def _publish_position(self) -> None:
        self._offsets.set_answered(self._number, position(self._generation, self._offset))


def _seed_of(segments: Sequence[Segment]) -> int:
    """The partition's seed; 0 if none of its segments has one."""
    seeded = (one for one in segments if one.seed)
    newest = max(seeded, key=lambda one: one.generation, default=None)
    return newest.seed if newest else 0


def _new_seed() -> int:
    return int.from_bytes(os.urandom(4), "little") or 1
