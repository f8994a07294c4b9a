"""The segments of a partition: those in use, those that may be overwritten, and new ones."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

from node.core.errors import StorageFull
from node.core.system.disk import free_bytes, sync_folders
from node.storage.journal import segment
from node.storage.journal.offsets import OffsetTable
from node.storage.journal.segment import Segment

log = logging.getLogger(__name__)

_POLL_SECONDS: Final = 0.005


class JournalFull(StorageFull):
    """Senders send faster than the ingester ingests, and the journal has no room left."""


class SegmentPool:
    """The segments that the writer of one partition writes to. For one thread at a time.

    Args:
        folder: the journal's folder.
        partition: its number.
        offsets: say which segments are safe, so that they may be overwritten.
        size: bytes of the segments that are made from now on.
        most: how many segments the partition may have.

    Attributes:
        segments: all segments of the partition.
        largest: bytes of the largest data set that fits into a record.

    Raises:
        StorageFull: the existing segments cannot be opened.
    """

    def __init__(
        self, folder: Path, partition: int, offsets: OffsetTable, size: int, most: int
    ) -> None:
        self._folder = folder
        self._partition = partition
        self._offsets = offsets
        self._size = size
        self._most = most
        self._lost: list[Segment] = []
        try:
            self.segments = [Segment(path, size) for path in paths(folder, partition)]
            # The process that made them, or the folder, may have died before it synced their names.
            sync_folders([folder, folder.parent])
        except OSError as error:
            raise StorageFull(f"the journal cannot be opened: {error.strerror}") from error
        self.largest = min((one.size for one in self.segments), default=size) // 4

    def prepare(self, number: int) -> None:
        """Make segments until there are so many, before a sender has to wait for one."""
        with suppress(StorageFull):  # one segment is enough to begin with
            self._grow(number)

    def take(self, current: Segment | None, patience: float) -> Segment:
        """A segment to write to: one whose records are all safe, or a new one.

        Args:
            current: the segment that is being written; None: none is.
            patience: seconds to wait for the ingester to free a segment.

        Raises:
            JournalFull: no segment became free in time.
        """
        deadline = time.monotonic() + patience
        while True:
            safe = self._offsets.safe(self._partition)
            self._drop_lost()
            for one in self.segments:
                if one is not current and one.end <= safe:
                    return one
            if self._may_grow():
                self._grow(len(self.segments) + 1)
                continue
            if time.monotonic() > deadline or self._offsets.ingest_blocked:
                raise JournalFull("the journal is full: the index or the archive does not keep up")
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """Close the files."""
        for one in (*self.segments, *self._lost):
            one.close()

    def _drop_lost(self) -> None:
        """Stop writing to files that were removed or cut."""
        for one in [one for one in self.segments if not one.in_place]:
            log.error(
                "the journal's file %s was removed, replaced or cut while the node runs; the node "
                "makes a new one. Leave the files in %s alone",
                one.path.name,
                self._folder,
            )
            self.segments.remove(one)
            self._lost.append(one)  # the writer may still hold it as its current segment

    def _may_grow(self) -> bool:
        """Whether another segment may be made: what it holds will need room in the archive."""
        number = len(self.segments)
        if number < segment.FEWEST:
            return True
        return number < self._most and free_bytes(self._folder) > self._size * segment.MOST

    def _grow(self, number: int) -> None:
        """Make segments until there are so many.

        Raises:
            JournalFull: the disk does not take them.
        """
        while len(self.segments) < number:
            path = self._free_name()
            try:
                one = Segment(path, self._size)
            except OSError as error:
                raise JournalFull(f"the journal cannot grow: {error.strerror}") from error
            self.segments.append(one)
            self.largest = min(self.largest, one.size // 4)

    def _free_name(self) -> Path:
        """A file name that no segment has."""
        taken = {one.path for one in self.segments}
        names = (self._folder / f"{self._partition:02d}-{made}.seg" for made in count())
        return next(path for path in names if path not in taken)


def paths(folder: Path, partition: int) -> list[Path]:
    """The segment files of a partition.

    Args:
        folder: the journal's folder.
        partition: its number.
    """
    return sorted(folder.glob(f"{partition:02d}-*.seg"))
