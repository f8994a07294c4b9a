"""Verifies all archived and published files once in so many days, slowly and in the background."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from node.core.errors import Retryable
from node.core.supervision import Loop
from node.lifecycle.verification.verifier import Checked, Verifier
from node.storage.index.engine import Index
from node.storage.index.series.damages import Damages
from node.storage.index.series.verification import Inventory

NAME: Final = "verification"
_DAY: Final = 86400.0
_LEAST_RATE: Final = 4 << 20
"""Bytes a second at least; more if a round would take more than half of the days otherwise."""
_FILE_BYTES: Final = 256 << 10
"""What opening and looking up a file counts for, in bytes: many small files cost processor time."""
_FIRST_SECONDS: Final = 60.0  # after the start of the node, which is busy then
_STEP_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 60.0
_KNOWN_SECONDS: Final = 600.0  # between two checks of the files that are known to be damaged
_NICENESS: Final = 19


class VerificationLoop:
    """Verifies all files once in so many days; after a restart it goes on where it was.

    Args:
        index: the database.
        root: `storage.root`.
        days: `storage.verify_days`.
        clock: returns seconds since 1970, UTC.
    """

    def __init__(
        self, index: Index, root: Path, *, days: float, clock: Callable[[], float]
    ) -> None:
        self._inventory = Inventory(index)
        self._verifier = Verifier(index, root, name=NAME, clock=clock, pace=self._pace)
        self._seconds = days * _DAY
        self._clock = clock
        self._rate = float(_LEAST_RATE)
        self._round: Iterator[Checked] | None = None
        self._damages = Damages(index)
        self._since_start = self._checked_at = time.monotonic()
        self._loop = Loop(NAME, self._step, vital=False, niceness=_NICENESS)

    def start(self) -> None:
        """Start the loop."""
        self._loop.start()

    def stop(self, timeout: float) -> None:
        """Stop the loop; the next start goes on from here."""
        self._loop.stop(timeout)

    def _step(self) -> float:
        rest = self._wait()
        if rest > 0:
            if time.monotonic() - self._checked_at < _KNOWN_SECONDS or not self._damages.count():
                return min(rest, _LOOK_SECONDS)
            self._round = self._verifier.recheck_damaged()  # a file may have been repaired
        if self._round is None:
            files, size = self._inventory.size()
            work = size + files * _FILE_BYTES
            self._rate = max(_LEAST_RATE, work / (self._seconds / 2))
            self._round = self._whole_round()
        self._checked_at = time.monotonic()
        until = self._checked_at + _STEP_SECONDS
        try:
            for checked in self._round:
                self._pace(checked.files * _FILE_BYTES)
                self._loop.heartbeat.beat()
                if time.monotonic() > until:
                    return 0.0
        except _Stopped:
            pass
        except Retryable:
            self._round = None
            raise
        self._round = None
        return 0.0

    def _whole_round(self) -> Iterator[Checked]:
        yield from self._verifier.recheck_damaged()
        yield from self._verifier.remaining()

    def _wait(self) -> float:
        """Seconds until the next round is due."""
        if self._round is not None:
            return 0.0
        first = min(_FIRST_SECONDS, self._seconds / 2)
        wait = self._since_start + first - time.monotonic()
        progress = self._verifier.progress()
        if progress.is_under_way or progress.ended_at is None:
            return wait
        # A clock that was set back must not delay it without end.
        since = max(0.0, self._clock() - progress.ended_at)
        return max(wait, self._seconds - since)

    def _pace(self, size: int) -> None:
        """Wait so long that no more bytes a second are read than the rate allows."""
        until = time.monotonic() + size / self._rate
        while not self._loop.stopping and (left := until - time.monotonic()) > 0:
            self._loop.heartbeat.beat()
            time.sleep(min(left, 0.25))
        if self._loop.stopping:
            raise _Stopped


class _Stopped(Exception):
    """The node is stopping."""
