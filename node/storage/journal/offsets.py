"""How far each lane of the journal is, for all processes to see, and for the next start."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final

RECEIVERS: Final = 64  # lanes that receivers may have, from 0 on;
IMPORTS: Final = 8  # the next are for imports, as many as there may be at once
MOST_LANES: Final = RECEIVERS + IMPORTS
_ANSWERED, _FILED, _SAFE, _STUCK, _GUESTS, _PRESSED, _SAFE_CHECK, _SEED = range(8)
_WORDS: Final = 8  # of 64 bits, a lane: a cache line
_SIZE: Final = MOST_LANES * _WORDS * 8
_FILE_MODE: Final = 0o640
_ALL_BITS: Final = (1 << 64) - 1


class OffsetTable:
    """Positions of every lane in shared memory.

    A position says how much of a lane is answered (written and, if it had to be, synced), filed
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

    def answered(self, lane: int) -> int:
        """Up to where senders have had their answer."""
        return self._words[lane * _WORDS + _ANSWERED]

    def set_answered(self, lane: int, position: int) -> None:
        """The lane's writer has come to `position`."""
        self._words[lane * _WORDS + _ANSWERED] = position

    def filed(self, lane: int) -> int:
        """Up to where everything is in the archive and in the index."""
        return self._words[lane * _WORDS + _FILED]

    def set_filed(self, lane: int, position: int) -> None:
        """The filer has come to `position`."""
        self._words[lane * _WORDS + _FILED] = position

    def safe(self, lane: int) -> int:
        """Up to where the journal is not needed any more; 0 where the file is damaged.

        A position that were too high would have records forgotten that nobody has filed.
        """
        position = self._words[lane * _WORDS + _SAFE]
        check = self._words[lane * _WORDS + _SAFE_CHECK]
        if check and check != position ^ _ALL_BITS:  # 0: an earlier version wrote none
            return 0
        return position if position <= self.answered(lane) else 0

    def set_safe(self, lane: int, position: int) -> None:
        """Archive and index are on stable storage up to `position`."""
        self._words[lane * _WORDS + _SAFE] = position
        self._words[lane * _WORDS + _SAFE_CHECK] = position ^ _ALL_BITS

    def seed(self, lane: int) -> int:
        """Of the checksums in the lane's segments, for whoever cannot read it there."""
        return self._words[lane * _WORDS + _SEED] & 0xFFFFFFFF

    def set_seed(self, lane: int, seed: int) -> None:
        """The lane's writer has chosen it."""
        self._words[lane * _WORDS + _SEED] = seed

    @property
    def stuck(self) -> bool:
        """Whether the filer cannot go on: disk full, database away."""
        return bool(self._words[_STUCK])

    def set_stuck(self, stuck: bool) -> None:
        """The filer's word on it."""
        self._words[_STUCK] = int(stuck)

    def guests(self, lane: int) -> int:
        """Associations that the lane's process has open."""
        return self._words[lane * _WORDS + _GUESTS]

    def set_guests(self, lane: int, count: int) -> None:
        """The process' own count."""
        self._words[lane * _WORDS + _GUESTS] = count

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
        return sum(self.guests(lane) for lane in range(MOST_LANES))
