"""The segments of a partition: those in use, those that may be written again, and new ones."""

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

_LOOK_SECONDS: Final = 0.005


class JournalFull(StorageFull):
    """Instances come in faster than they can be ingested, and the journal has no room left."""


class SegmentPool:
    """Segments for one partition to write to. For one thread at a time, and its own.

    Args:
        size: of segments that are made from now on.
        most: how many there may be.

    Attributes:
        segments: all there are.
        largest: bytes of the largest data set that goes into a record.

    Raises:
        StorageFull: those that are there cannot be opened.
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
            # Whoever made them, or the folder, may have died before their names were synced.
            sync_folders([folder, folder.parent])
        except OSError as error:
            raise StorageFull(f"the journal cannot be opened: {error.strerror}") from error
        self.largest = min((one.size for one in self.segments), default=size) // 4

    def prepare(self, number: int) -> None:
        """Have so many of them before somebody needs one: making one takes time."""
        with suppress(StorageFull):  # one is enough to begin with
            self._grow(number)

    def take(self, current: Segment | None, patience: float) -> Segment:
        """A segment that nobody needs any more, a new one, or in time one of them.

        Args:
            current: the one that is being written.
            patience: seconds to wait for the ingester to make room.

        Raises:
            JournalFull: there is none.
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
            if time.monotonic() > deadline or self._offsets.stuck:
                raise JournalFull("the journal is full: the index or the archive does not keep up")
            time.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """Close the files."""
        for one in (*self.segments, *self._lost):
            one.close()

    def _drop_lost(self) -> None:
        """Files that somebody removed or cut are not written to any more."""
        for one in [one for one in self.segments if not one.in_place]:
            log.error("%s of the journal was removed, replaced or cut", one.path.name)
            self.segments.remove(one)
            self._lost.append(one)  # its writer may still have to do with it

    def _may_grow(self) -> bool:
        """Whether there may be another one: what is answered has to find room in the archive."""
        number = len(self.segments)
        if number < segment.FEWEST:
            return True
        return number < self._most and free_bytes(self._folder) > self._size * segment.MOST

    def _grow(self, number: int) -> None:
        """Have so many of them.

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
        """A name that no segment has, or one that has just been lost."""
        taken = {one.path for one in self.segments}
        names = (self._folder / f"{self._partition:02d}-{made}.seg" for made in count())
        return next(path for path in names if path not in taken)


def paths(folder: Path, partition: int) -> list[Path]:
    """The files of a partition."""
    return sorted(folder.glob(f"{partition:02d}-*.seg"))
