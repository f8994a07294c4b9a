"""How far each partition of the journal is, for all processes to see, and for the next start."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final

RECEIVERS: Final = 64  # partitions that receivers may have, from 0 on;
IMPORTS: Final = 8  # the next are for imports, as many as there may be at once
MOST_LANES: Final = RECEIVERS + IMPORTS
_ANSWERED, _INGESTED, _SAFE, _STUCK, _GUESTS, _PRESSED, _SAFE_CHECK, _SEED = range(8)
_WORDS: Final = 8  # of 64 bits, a partition: a cache line
_SIZE: Final = MOST_LANES * _WORDS * 8
_FILE_MODE: Final = 0o640
_ALL_BITS: Final = (1 << 64) - 1


class OffsetTable:
    """Positions of every partition in shared memory.

    A position says how much of a partition is answered (written and, if need be, synced), ingested
    (in the archive and in the index), and safe (the archive and the index are on stable storage,
    so that the journal may forget it). Each has one writer, but for the moment of `pressed`, where
    the last one's word will do. `safe` outlives the processes: it is written only after what it
    says has become true.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "board"
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, _FILE_MODE)
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
        """Let the shared memory go."""
        self._words.release()
        self._map.close()

    @property
    def in_place(self) -> bool:
        """Whether the file that this process has mapped is the one that others find."""
        try:
            status = self._path.stat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity and status.st_size >= _SIZE

    def answered(self, partition: int) -> int:
        """Up to where senders have had their answer."""
        return self._words[partition * _WORDS + _ANSWERED]

    def set_answered(self, partition: int, position: int) -> None:
        """The partition's writer has come to `position`."""
        self._words[partition * _WORDS + _ANSWERED] = position

    def ingested(self, partition: int) -> int:
        """Up to where everything is in the archive and in the index."""
        return self._words[partition * _WORDS + _INGESTED]

    def set_ingested(self, partition: int, position: int) -> None:
        """The ingester has come to `position`."""
        self._words[partition * _WORDS + _INGESTED] = position

    def safe(self, partition: int) -> int:
        """Up to where the journal is not needed any more; 0 where the file is damaged.

        A position that were too high would have records forgotten that nobody has ingested.
        """
        position = self._words[partition * _WORDS + _SAFE]
        check = self._words[partition * _WORDS + _SAFE_CHECK]
        if check and check != position ^ _ALL_BITS:  # 0: an earlier version wrote none
            return 0
        return position if position <= self.answered(partition) else 0

    def set_safe(self, partition: int, position: int) -> None:
        """Archive and index are on stable storage up to `position`."""
        self._words[partition * _WORDS + _SAFE] = position
        self._words[partition * _WORDS + _SAFE_CHECK] = position ^ _ALL_BITS

    def seed(self, partition: int) -> int:
        """Of the checksums in the partition's segments, for whoever cannot read it there."""
        return self._words[partition * _WORDS + _SEED] & 0xFFFFFFFF

    def set_seed(self, partition: int, seed: int) -> None:
        """The partition's writer has chosen it."""
        self._words[partition * _WORDS + _SEED] = seed

    @property
    def stuck(self) -> bool:
        """Whether the ingester cannot go on: disk full, database away."""
        return bool(self._words[_STUCK])

    def set_stuck(self, stuck: bool) -> None:
        """The ingester's word on it."""
        self._words[_STUCK] = int(stuck)

    def guests(self, partition: int) -> int:
        """Associations that the partition's process has open."""
        return self._words[partition * _WORDS + _GUESTS]

    def set_guests(self, partition: int, count: int) -> None:
        """The process' own count."""
        self._words[partition * _WORDS + _GUESTS] = count

    def set_pressed(self, moment: float) -> None:
        """A receiver had much to take in at `moment`, in seconds of `time.monotonic`."""
        self._words[_PRESSED] = int(moment * 1e9)

    def pressed(self, now: float) -> float:
        """When any receiver last had much to take in, in seconds of `time.monotonic`.

        Args:
            now: what is later was left from before the machine was started again.
        """
        latest = self._words[_PRESSED] / 1e9
        return latest if latest <= now else 0.0

    def all_guests(self) -> int:
        """Associations of all processes."""
        return sum(self.guests(partition) for partition in range(MOST_LANES))
