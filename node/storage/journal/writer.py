"""One process' part of the journal: appends records, many senders with one sync."""

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
from node.storage.journal.entry import Ended, Entry, parts_of
from node.storage.journal.group_commit import GroupCommit
from node.storage.journal.offsets import OffsetTable
from node.storage.journal.segment import Head, Segment, place, position
from node.storage.journal.segment_pool import SegmentPool

_WAIT_SECONDS: Final = 10.0  # for the ingester to make room, before a sender hears 0xA700
_READY: Final = segment.FEWEST  # segments that are made before the port opens,
_READY_FOR_IMPORT: Final = 3  # and before the first file is read: nobody waits for an answer
_MUCH: Final = 32 << 10  # bytes at once, to take in which is faster with every processor
_TURN_SECONDS: Final = 0.05  # for another writer to finish, who may be waiting for the ingester


class _Item(NamedTuple):
    item: Entry | Ended
    data_set: Buffer
    durable: bool


class Draft(NamedTuple):
    """Instances being written; no other write starts until `keep` or `drop` was called.

    Attributes:
        keep: says whether all of them are on stable storage; without that none of them counts.
        drop: has it be as if they had not been written.
    """

    keep: Callable[[], bool]
    drop: Callable[[], None]


class JournalWriter:
    """Appends to one partition. For many threads of one process.

    Args:
        number: of the partition; no other process may have it.
        segment_size: of segments that are made from now on.
        most: how many segments there may be.
        urgent: whether senders wait for answers, so that the ingester should let them go first.
        written: called after each write, outside any lock.

    Raises:
        StorageFull: its files cannot be made or opened.
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
        urgent: bool = True,
    ) -> None:
        self._number = number
        self._offsets = offsets
        self._size = segment_size
        self._urgent = urgent
        self._written = written
        self._lock = threading.Lock()
        self._group = GroupCommit[_Item, None](self._write)
        self._supply = SegmentPool(folder, number, offsets, segment_size, most)
        self._generation = max(
            place(offsets.safe(number))[0],
            place(offsets.answered(number))[0],
            *(one.generation for one in self._supply.segments),
        )
        self._seed = _seed_of(self._supply.segments) or offsets.seed(number) or _new_seed()
        offsets.set_seed(number, self._seed)
        self._before = offsets.answered(number)  # where the records before the next segment's end
        self._current: Segment | None = None
        self._offset = 0
        self._distrusted = False
        nothing_left = offsets.ingested(number) >= offsets.answered(number)
        self._take_over()
        self._roll(_WAIT_SECONDS)
        if nothing_left:
            offsets.set_ingested(number, offsets.answered(number))
        self._supply.prepare(_READY if urgent else _READY_FOR_IMPORT)

    @property
    def largest(self) -> int:
        """Bytes of the largest data set that goes into a record."""
        return self._supply.largest

    def append(self, entry: Entry, data_set: Buffer) -> None:
        """Return once the instance is on stable storage.

        Raises:
            StorageFull: the disk does not take it. JournalFull: the ingester does not keep up.
        """
        self._group.submit(_Item(entry, data_set, durable=True))
        self._written()

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
                    parts += parts_of(entry, data_set, current.generation, self._seed)
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
        """Write several instances with one sync, without waiting for the ingester to make room.

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
                        self._roll(0.0)
                    done += count
        finally:
            self._lock.release()
        if done:
            self._written()
        return done

    def note(self, ended: Ended) -> None:
        """Record what a crash may forget.

        Raises:
            StorageFull, JournalFull: as for `append`.
        """
        self._group.submit(_Item(ended, b"", durable=False))
        self._written()

    def ring(self) -> None:
        """Say that something was written; `append` and its like do so by themselves."""
        self._written()

    def backlog(self) -> int:
        """Bytes, roughly, that are answered and not ingested yet."""
        answered, answered_at = place(self._offsets.answered(self._number))
        ingested, ingested_at = place(self._offsets.ingested(self._number))
        return max(0, (answered - ingested) * self._size + answered_at - ingested_at)

    def close(self) -> None:
        """Close the files; nothing may be appended any more."""
        self._supply.close()

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

    def _take_over(self) -> None:
        """From a process that died: what it has answered and nobody has made safe stays, and what
        it was writing, which nobody was told of, will not be read."""
        answered = self._offsets.answered(self._number)
        generation, offset = place(answered)
        for one in self._supply.segments:
            if one.generation == generation:
                one.end = answered
                if offset:
                    one.cut(offset)
            elif 0 < one.generation < generation:
                one.end = position(one.generation + 1, 0)
            elif not one.generation and one.has_records:
                one.end = answered  # its header is damaged, and what is in it may not be ingested

    def _write(self, batch: Sequence[_Item]) -> list[None]:
        done = 0
        with self._lock:
            while done < len(batch):
                count = self._write_some(batch[done:])
                if not count:
                    self._roll(_WAIT_SECONDS)
                done += count
        return [None] * len(batch)

    def _write_some(self, batch: Sequence[_Item]) -> int:
        """Write as much of a batch as the current segment has room for; returns how many."""
        current, end = self._current, self._offset
        if current is None or self._distrusted:
            return 0
        parts: list[Buffer] = []
        count, durable = 0, False
        for item, data_set, must_last in batch:
            record = parts_of(item, data_set, current.generation, self._seed)
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
                # What lies in a file that could not be synced is not known any more.
                self._distrusted = True
                raise StorageFull(f"the journal cannot be written: {error.strerror}") from error
            self._advance(end)
        elif self._offset == segment.HEADER:
            raise StorageFull("a record is larger than a segment of the journal")
        return count

    def _roll(self, patience: float) -> None:
        """Go on in another segment, or at the beginning of this one if nothing is in it.

        Args:
            patience: seconds to wait for the ingester to make room.
        """
        current, empty = self._current, self._offset == segment.HEADER
        following = (
            current
            if current is not None and empty and current.in_place
            else self._supply.take(current, patience)
        )
        if current is not None:
            current.end = position(current.generation, self._offset)
            if not empty:
                self._before = current.end
            with suppress(OSError):  # it is a check and nothing else
                current.finish(self._offset)
        self._generation += 1
        try:
            safe = self._offsets.safe(self._number)
            following.begin(Head(self._generation, self._seed, safe, self._before))
        except OSError as error:
            raise StorageFull(f"the journal cannot be written: {error.strerror}") from error
        self._current, self._offset, self._distrusted = following, segment.HEADER, False
        self._announce()

    def _advance(self, end: int) -> None:
        if self._urgent and end - self._offset >= _MUCH:
            self._offsets.set_pressed(time.monotonic())
        self._offset = end
        self._announce()

    def _announce(self) -> None:
        self._offsets.set_answered(self._number, position(self._generation, self._offset))


def _seed_of(segments: Sequence[Segment]) -> int:
    """The partition's seed; 0 if none of its segments has any."""
    seeded = (one for one in segments if one.seed)
    newest = max(seeded, key=lambda one: one.generation, default=None)
    return newest.seed if newest else 0


def _new_seed() -> int:
    return int.from_bytes(os.urandom(4), "little") or 1
