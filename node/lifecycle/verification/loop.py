"""The node looks after what it holds, all the time and slowly."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
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
"""Bytes a second; of more than a round may take half of the time, as many as that needs."""
_FIRST_SECONDS: Final = 60.0  # after the start, which has enough to do
_STEP_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 60.0
_KNOWN_SECONDS: Final = 600.0  # between two looks at what is known to be damaged
_LEAST_PRIORITY: Final = 19


class Upkeep:
    """Compares everything once in so many days, from where it was before a restart.

    Args:
        root: `storage.root`.
        days: `storage.verify_days`.
        clock: seconds since 1970, UTC.
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
        self._since_start = self._looked = time.monotonic()
        self._calm = False
        self._loop = Loop(NAME, self._step, vital=False)

    def start(self) -> None:
        """Begin."""
        self._loop.start()

    def stop(self, timeout: float) -> None:
        """Stop; the next start goes on from here."""
        self._loop.stop(timeout)

    def _step(self) -> float:
        if not self._calm:
            self._calm = True
            with suppress(OSError):  # of this thread alone (setpriority(2), Linux)
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LEAST_PRIORITY)
        rest = self._wait()
        if rest > 0:
            if time.monotonic() - self._looked < _KNOWN_SECONDS or not self._damages.count():
                return min(rest, _LOOK_SECONDS)
            self._round = self._verifier.known()  # somebody may have put it right
        if self._round is None:
            self._rate = max(_LEAST_RATE, self._inventory.size()[1] / (self._seconds / 2))
            self._round = self._compared()
        self._looked = time.monotonic()
        until = self._looked + _STEP_SECONDS
        try:
            for _ in self._round:
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

    def _compared(self) -> Iterator[Checked]:
        yield from self._verifier.known()
        yield from self._verifier.rest()

    def _wait(self) -> float:
        """Seconds until there is something to do."""
        if self._round is not None:
            return 0.0
        first = min(_FIRST_SECONDS, self._seconds / 2)
        wait = self._since_start + first - time.monotonic()
        progress = self._verifier.progress()
        if progress.is_under_way or progress.ended_at is None:
            return wait
        # A clock that was set back must not put it off for ever.
        since = max(0.0, self._clock() - progress.ended_at)
        return max(wait, self._seconds - since)

    def _pace(self, size: int) -> None:
        """Take the time that so many bytes may take."""
        until = time.monotonic() + size / self._rate
        while not self._loop.stopping and (left := until - time.monotonic()) > 0:
            self._loop.heartbeat.beat()
            time.sleep(min(left, 0.25))
        if self._loop.stopping:
            raise _Stopped


class _Stopped(Exception):
    """The node ends."""
