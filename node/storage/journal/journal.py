"""The journal's folder: its partitions, and what an unclean end may have left in them."""

from __future__ import annotations

import logging
import time
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Final

from node.core.system.disk import ensure_folder
from node.storage.journal import segment
from node.storage.journal.damage import DamageNotes, damage_sentence
from node.storage.journal.mapped_segments import MappedSegments
from node.storage.journal.offsets import FILE, OffsetTable
from node.storage.journal.partition_reader import JournalRecord, PartitionReader
from node.storage.journal.segment import position, split_position

log = logging.getLogger(__name__)

_POLL_SECONDS: Final = 0.002
_MOST_POLL_SECONDS: Final = 0.05
_POLL_SHARE: Final = 0.1  # of the time waited so far: a wait for a long backlog costs little
_DEAD_SECONDS: Final = 2.0  # a running ingester makes progress within that time


class Journal:
    """The journal's folder, `journal` below the storage root.

    Args:
        root: `storage.root`.

    Attributes:
        folder: its folder.
        is_new: whether there was no journal before.
        offsets: the positions of its partitions.

    Raises:
        OSError: the folder cannot be made or used.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / "journal"
        ensure_folder(self.folder)
        self.is_new = not (self.folder / FILE).exists()
        self.offsets = OffsetTable(self.folder)
        self._damages = DamageNotes(self.folder)

    def reader(self, partition: int, start: int) -> PartitionReader:
        """A reader of a partition, which logs and notes damage.

        Args:
            partition: its number.
            start: the position from which it reads.
        """
        note, seed = self._damages.note, self.offsets.seed(partition)
        return PartitionReader(self.folder, partition, start, note, seed=seed)

    def note_lost(self) -> None:
        """Log and note that the journal of this storage root is gone."""
        self._damages.note_lost()

    def fault(self) -> str | None:
        """What is wrong with the journal, and what to do, for people; None: nothing."""
        if not self.offsets.in_place:
            return (
                f"{self.folder / FILE} was removed or replaced while the node runs: restart the "
                "node, which ingests again what the journal holds"
            )
        return damage_sentence(self.folder)

    def partitions(self) -> list[int]:
        """Numbers of the partitions that have files."""
        return sorted({int(path.name[:2]) for path in self.folder.glob("[0-9][0-9]-*.seg")})

    def settle(self, seconds: float) -> bool:
        """Wait until everything that any process has answered by now is ingested.

        Args:
            seconds: how long to wait.

        Returns:
            False if that takes too long, or the ingester does not work.
        """
        reached = [(partition, self.offsets.answered(partition)) for partition in self.partitions()]
        start = moved = time.monotonic()
        last = -1
        while any(self.offsets.ingested(partition) < position for partition, position in reached):
            now = time.monotonic()
            ingested = sum(self.offsets.ingested(partition) for partition, _ in reached)
            if ingested != last:
                last, moved = ingested, now
            blocked = self.offsets.ingest_blocked
            if blocked or now - start > seconds or now - moved > _DEAD_SECONDS:
                return False
            time.sleep(max(_POLL_SECONDS, min(_POLL_SHARE * (now - start), _MOST_POLL_SECONDS)))
        return True

    def left_over(self, but: Container[int] = ()) -> Iterator[JournalRecord]:
        """Records that an earlier run answered and may not have ingested, partition by partition.

        Args:
            but: partitions that running imports write to; they are left out.
        """
        for partition in [one for one in self.partitions() if one not in but]:
            segments = MappedSegments(self.folder, partition).by_generation(0)
            headers = [one.header for one in segments.values()]
            newest = max((header.generation for header in headers), default=0)
            # After a power cut the offset table may be an old one.
            safe = max([self.offsets.safe(partition), *(header.safe for header in headers)])
            answered = self.offsets.answered(partition)
            if split_position(answered)[0] > max(newest, split_position(safe)[0]) + segment.MOST:
                log.error(
                    "the journal's offset table %s is damaged: its position of partition %d is "
                    "beyond every segment. The node ingests all records that it finds there",
                    self.folder / FILE,
                    partition,
                )
                answered = 0
                self.offsets.set_answered(partition, 0)
            reader = self.reader(partition, safe)
            while found := reader.next(max(answered, position(newest + 1, 0)), answered):
                yield found

    def forget(self, but: Container[int] = ()) -> None:
        """Mark all records as safe: they have been ingested, and archive and index were synced.

        Args:
            but: partitions that running imports write to: their records that are not safe yet are
                ingested again.
        """
        for partition in self.partitions():
            if partition in but:
                self.offsets.set_ingested(partition, self.offsets.safe(partition))
                continue
            known = (self.offsets.safe(partition), self.offsets.answered(partition))
            generations = [
                *MappedSegments(self.folder, partition).by_generation(0),
                *(split_position(one)[0] for one in known),
            ]
            end = position(max(generations) + 1, 0)
            self.offsets.set_answered(partition, end)
            self.offsets.set_ingested(partition, end)
            self.offsets.set_safe(partition, end)

    def close(self) -> None:
        """Release the shared memory."""
        self.offsets.close()
