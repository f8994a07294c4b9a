"""The items under way: how many ask a peer, how many retrieve, and which have to wait for that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from node.core.pulls import PullItem, PullJob
from node.dimse.pull.limits import PeerLimits
from node.dimse.pull.outcome import Result

_AHEAD: Final = 2  # items that may ask while as many retrieve as may at once
_MOST_AT_ONCE: Final = 32  # items of all jobs
_LOOK_SECONDS: Final = 0.5


class Phase(Enum):
    """What an item under way does."""

    ASKS = auto()
    """It asks the peer what there is."""
    WAITS = auto()
    """It knows, and waits until it may retrieve."""
    RETRIEVES = auto()
    LEFT = auto()
    """It needs the peer no more, and waits until what came is in the archive."""


_ASSOCIATED: Final = frozenset({Phase.ASKS, Phase.RETRIEVES})


@dataclass
class Running:
    """An item under way.

    Attributes:
        job: its job.
        item: the item.
        stop: set when it is to end.
        phase: what it does.
    """

    job: PullJob
    item: PullItem
    stop: threading.Event = field(default_factory=threading.Event)
    phase: Phase = Phase.ASKS


class UnderWay:
    """Counts the items under way. For many threads.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._running: dict[int, Running] = {}
        self._limits: dict[str, PeerLimits] = {}

    def add(self, job: PullJob, item: PullItem) -> Running:
        """Begin an item."""
        running = Running(job, item)
        with self._changed:
            self._running[item.pk] = running
        return running

    def remove(self, running: Running) -> None:
        """An item has ended."""
        with self._changed:
            self._running.pop(running.item.pk, None)
            self._changed.notify_all()

    def become(self, running: Running, phase: Phase) -> None:
        """An item does something else from now on."""
        with self._changed:
            running.phase = phase
            self._changed.notify_all()

    def end(self, job: PullJob | None) -> None:
        """Have what runs of a job end, or everything."""
        with self._changed:
            for one in self._running.values():
                if job is None or one.job.pk == job.pk:
                    one.stop.set()
            self._changed.notify_all()

    def wait_for_all(self, until: float) -> None:
        """Return when nothing runs, or when the clock has come to `until`."""
        with self._changed:
            while self._running and (left := until - self._clock()) > 0:
                self._changed.wait(left)

    def items(self, job: PullJob | None = None) -> list[int]:
        """The rows of the items under way, of one job or of all."""
        with self._changed:
            return [
                one.item.pk for one in self._running.values() if job is None or one.job.pk == job.pk
            ]

    def room(self, job: PullJob, most: int) -> int:
        """How many more items of a job may be begun.

        Beside those that retrieve one may ask, so that no retrieve waits for an answer.

        Args:
            job: the job.
            most: retrieves that its peer may be asked for at once.
        """
        with self._changed:
            with_peer = [one for one in self._running.values() if one.phase is not Phase.LEFT]
            of_job = sum(one.job.pk == job.pk for one in with_peer)
            of_peer = sum(one.job.peer == job.peer for one in with_peer)
            room = self._of(job.peer).room(most, _AHEAD, of_peer, self._clock())
            return min(job.parallel + _AHEAD - of_job, room, _MOST_AT_ONCE - len(self._running))

    def wait_to_retrieve(self, running: Running, most: int) -> bool:
        """Wait until fewer items retrieve than may at once; then this one is to.

        Args:
            running: the item.
            most: retrieves that its peer may be asked for at once.

        Returns:
            False if it is to end.
        """
        self.become(running, Phase.WAITS)
        job = running.job
        with self._changed:
            while not running.stop.is_set():
                retrieving = [one for one in self._running.values() if one.phase is Phase.RETRIEVES]
                of_job = sum(one.job.pk == job.pk for one in retrieving)
                of_peer = sum(one.job.peer == job.peer for one in retrieving)
                allowed = self._of(job.peer).at_once(most, self._clock())
                if of_job < job.parallel and of_peer < allowed:
                    running.phase = Phase.RETRIEVES
                    return True
                self._changed.wait(_LOOK_SECONDS)
        return False

    def learn(self, running: Running, result: Result) -> None:
        """Learn from the result of an item how hard its peer may be pressed."""
        name, now = running.job.peer, self._clock()
        with self._changed:
            limits = self._of(name)
            if result.away:
                limits.away(now)
            elif result.busy:
                others = sum(
                    one is not running and one.job.peer == name and one.phase in _ASSOCIATED
                    for one in self._running.values()
                )
                limits.busy(others + 1, now)
            else:
                limits.back()

    def forgive(self, name: str) -> None:
        """Try a peer again at once."""
        with self._changed:
            self._of(name).back()

    def _of(self, name: str) -> PeerLimits:
        return self._limits.setdefault(name, PeerLimits())
