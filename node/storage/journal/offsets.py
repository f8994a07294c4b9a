"""The position of each partition of the journal, in memory that all processes of the node share."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final

from node.core.system.disk import open_lock_file

FILE: Final = "board"  # its name in the journal's folder, since the first version
RECEIVERS: Final = 64  # partitions of receivers, from 0 on
IMPORTS: Final = 8  # partitions of imports, which follow: so many imports may run at once
PARTITIONS: Final = RECEIVERS + IMPORTS
_ANSWERED, _INGESTED, _SAFE, _BLOCKED, _ASSOCIATIONS, _LAST_BURST, _SAFE_CHECK, _SEED = range(8)
_WORDS: Final = 8  # words of 64 bits for each partition: one cache line
_SIZE: Final = PARTITIONS * _WORDS * 8
_ALL_BITS: Final = (1 << 64) - 1


class OffsetTable:
    """The positions of every partition, in a file that is mapped into memory.

    Up to `answered`, records are written and, if they have to be, synced. Up to `ingested`, they
    are in the archive and in the index. Up to `safe`, archive and index are on stable storage, so
    that the journal may overwrite the records. Each position has one writing process, but for
    `last_burst`, of which the last value counts. `safe` is still true after a power cut, as it is
    written only after the sync.

    Args:
        folder: the journal's folder; the file is made if it is not there.

    Raises:
        OSError: the file cannot be made or opened.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        handle = open_lock_file(self._path)
        try:
            status = os.fstat(handle)
            self._identity = (status.st_dev, status.st_ino)
            if status.st_size < _SIZE:
                os.ftruncate(handle, _SIZE)
                os.fsync(handle)
            self._map = mmap.mmap(handle, _SIZE)
        finally:
            os.close(handle)
        self._words = memoryview(self._map).cast("Q")

    def close(self) -> None:
        """Release the shared memory."""
        self._words.release()
        self._map.close()

    @property
    def in_place(self) -> bool:
        """Whether the mapped file still has its name: other processes would map another file."""
        try:
            status = self._path.stat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity and status.st_size >= _SIZE

    def answered(self, partition: int) -> int:
        """The position up to which senders have been answered."""
        return self._words[partition * _WORDS + _ANSWERED]

    def set_answered(self, partition: int, position: int) -> None:
        """Publish `answered`; for the partition's writer.

        Args:
            partition: its number.
            position: the position.
        """
        self._words[partition * _WORDS + _ANSWERED] = position

    def ingested(self, partition: int) -> int:
        """The position up to which everything is in the archive and in the index."""
        return self._words[partition * _WORDS + _INGESTED]

    def set_ingested(self, partition: int, position: int) -> None:
        """Publish `ingested`; for the ingester.

        Args:
            partition: its number.
            position: the position.
        """
        self._words[partition * _WORDS + _INGESTED] = position

    def safe(self, partition: int) -> int:
        """The position up to which the journal may overwrite records; 0 if the value is damaged.

        With a position that is too high the journal would overwrite records before they are
        ingested.
        """
        position = self._words[partition * _WORDS + _SAFE]
        check = self._words[partition * _WORDS + _SAFE_CHECK]
        if check and check != position ^ _ALL_BITS:  # 0: an earlier version wrote none
            return 0
        return position if position <= self.answered(partition) else 0

    def set_safe(self, partition: int, position: int) -> None:
        """Publish `safe`; for the ingester, after archive and index were synced.

        Args:
            partition: its number.
            position: the position.
        """
        self._words[partition * _WORDS + _SAFE] = position
        self._words[partition * _WORDS + _SAFE_CHECK] = position ^ _ALL_BITS

    def seed(self, partition: int) -> int:
        """The seed of the partition's checksums, for segments whose header is damaged."""
        return self._words[partition * _WORDS + _SEED] & 0xFFFFFFFF

    def set_seed(self, partition: int, seed: int) -> None:
        """Publish the seed of the checksums; for the partition's writer.

        Args:
            partition: its number.
            seed: 32 bits, not 0.
        """
        self._words[partition * _WORDS + _SEED] = seed

    @property
    def ingest_blocked(self) -> bool:
        """Whether the ingester cannot work at the moment: disk full, database away."""
        return bool(self._words[_BLOCKED])

    def set_ingest_blocked(self, blocked: bool) -> None:
        """Publish whether the ingester is blocked; for the ingester."""
        self._words[_BLOCKED] = int(blocked)

    def associations(self, partition: int) -> int:
        """How many associations the partition's process has open."""
        return self._words[partition * _WORDS + _ASSOCIATIONS]

    def set_associations(self, partition: int, count: int) -> None:
        """Publish the number of open associations; for the partition's receiver.

        Args:
            partition: its number.
            count: of open associations.
        """
        self._words[partition * _WORDS + _ASSOCIATIONS] = count

    def set_last_burst(self, moment: float) -> None:
        """Publish when a receiver received much, in seconds of `time.monotonic`."""
        self._words[_LAST_BURST] = int(moment * 1e9)

    def last_burst(self, now: float) -> float:
        """When any receiver last received much, in seconds of `time.monotonic`; 0: not known.

        Args:
            now: the present; a later value is from before a restart of the machine.
        """
        latest = self._words[_LAST_BURST] / 1e9
        return latest if latest <= now else 0.0

    def all_associations(self) -> int:
        """How many associations all processes have open."""
        return sum(self.associations(partition) for partition in range(PARTITIONS))
