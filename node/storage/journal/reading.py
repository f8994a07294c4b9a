"""The journal's folder: what is new, and after an unclean end what may not have been ingested."""

from __future__ import annotations

import logging
import time
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Final

from node.storage.journal import segment
from node.storage.journal.cursor import Cursor, Found
from node.storage.journal.damage import Damages, damage_sentence
from node.storage.journal.mapping import Segments
from node.storage.journal.offsets import OffsetTable
from node.storage.journal.segment import place, position

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.002
_DEAD_SECONDS: Final = 2.0  # the ingester moves on within that time, or there is none


class Journal:
    """The journal's folder.

    Args:
        root: `storage.root`.

    Attributes:
        is_new: whether there was none.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / "journal"
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self.is_new = not (self.folder / "board").exists()
        self.offsets = OffsetTable(self.folder)
        self._damages = Damages(self.folder)

    def cursor(self, partition: int, start: int) -> Cursor:
        """Reads a partition from a position on; what is damaged is told and noted."""
        note, seed = self._damages.note, self.offsets.seed(partition)
        return Cursor(self.folder, partition, start, note, seed=seed)

    def note_lost(self) -> None:
        """There has to have been a journal, and it is gone."""
        self._damages.note_lost()

    def fault(self) -> str | None:
        """What a person has to know of the journal; None: nothing."""
        if not self.offsets.in_place:
            return (
                f"{self.folder / 'board'} was removed or replaced while the node runs: restart the "
                "node, which files again what the journal holds"
            )
        return damage_sentence(self.folder)

    def partitions(self) -> list[int]:
        """Numbers of the partitions that have files."""
        return sorted({int(path.name[:2]) for path in self.folder.glob("[0-9][0-9]-*.seg")})

    def settle(self, seconds: float) -> bool:
        """Wait until whatever has been answered by now, by any process, can be found.

        Returns:
            False if that takes too long, or nobody files any more.
        """
        reached = [(partition, self.offsets.answered(partition)) for partition in self.partitions()]
        start = moved = time.monotonic()
        last = -1
        while any(self.offsets.ingested(partition) < position for partition, position in reached):
            now = time.monotonic()
            ingested = sum(self.offsets.ingested(partition) for partition, _ in reached)
            if ingested != last:
                last, moved = ingested, now
            if self.offsets.stuck or now - start > seconds or now - moved > _DEAD_SECONDS:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def left_over(self, but: Container[int] = ()) -> Iterator[Found]:
        """What an earlier run has answered and may not have ingested, partition by partition.

        Args:
            but: partitions that are being written.
        """
        for partition in [one for one in self.partitions() if one not in but]:
            heads = [one.head for one in Segments(self.folder, partition).begun(0).values()]
            newest = max((head.generation for head in heads), default=0)
            # After a power cut the board may be an old one.
            safe = max([self.offsets.safe(partition), *(head.safe for head in heads)])
            answered = self.offsets.answered(partition)
            if place(answered)[0] > max(newest, place(safe)[0]) + segment.MOST:
                log.error(
                    "the journal's board is damaged: partition %d cannot be so far", partition
                )
                answered = 0
                self.offsets.set_answered(partition, 0)
            cursor = self.cursor(partition, safe)
            while found := cursor.next(max(answered, position(newest + 1, 0)), answered):
                yield found

    def forget(self, but: Container[int] = ()) -> None:
        """Everything in it has been ingested, and is on stable storage.

        Args:
            but: partitions being written: what is not safe in them is to be ingested again.
        """
        for partition in self.partitions():
            if partition in but:
                self.offsets.set_ingested(partition, self.offsets.safe(partition))
                continue
            known = (self.offsets.safe(partition), self.offsets.answered(partition))
            generations = [
                *Segments(self.folder, partition).begun(0),
                *(place(one)[0] for one in known),
            ]
            end = position(max(generations) + 1, 0)
            self.offsets.set_answered(partition, end)
            self.offsets.set_ingested(partition, end)
            self.offsets.set_safe(partition, end)

    def close(self) -> None:
        """Let the shared memory go."""
        self.offsets.close()
