"""Heartbeats: when each loop of the node last finished a step, and whether that is too long ago.

Ages are measured by the monotonic clock, so that changes of the system's time have no effect.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final
from weakref import WeakSet

LATE_SECONDS: Final = 6.0
"""s without a finished step after which a loop is late; `/health` has to report it within 10 s."""
TROUBLED_SECONDS: Final = 4.0
"""s for which a loop may be unable to work before it is reported; most troubles end sooner."""


@dataclass(frozen=True, slots=True)
class LoopState:
    """The state of one loop.

    Attributes:
        name: name of the loop, for messages.
        age: seconds since it last finished a step.
        limit: seconds after which it is late.
        vital: whether the node has to be restarted if it stays late.
        trouble: why it cannot work although it runs; empty if it can.
    """

    name: str
    age: float
    limit: float
    vital: bool
    trouble: str = ""

    @property
    def late(self) -> bool:
        """Whether the loop has not finished a step for too long."""
        return self.age > self.limit

    @property
    def fault(self) -> str:
        """A sentence about what is wrong; empty if nothing is."""
        if self.late:
            return f"has not finished a step for {self.age:.0f} s" + (
                f": {self.trouble}" if self.trouble else ""
            )
        return self.trouble

    def as_json(self) -> dict[str, Any]:
        """Return the state for another process, as JSON values."""
        return asdict(self)


class Heartbeat:
    """The heartbeat of one loop.

    Args:
        name: name of the loop, for messages.
        limit: seconds without a finished step after which it is late.
        vital: whether the node has to be restarted if it stays late.
    """

    def __init__(self, name: str, limit: float = LATE_SECONDS, *, vital: bool = True) -> None:
        self.name = name
        self._limit = limit
        self._vital = vital
        self._at = time.monotonic()
        self._more = 0.0
        self._trouble: tuple[float, str] | None = None

    def beat(self) -> None:
        """Record that a step, or a part of it, is finished."""
        self._at = time.monotonic()

    def well(self) -> None:
        """Record that a step is finished, and that the loop is able to work."""
        self._at = time.monotonic()
        self._trouble = None

    def troubled(self, why: str) -> None:
        """Record that the loop cannot work at the moment; `why` must not hold patient data."""
        since = time.monotonic() if self._trouble is None else self._trouble[0]
        self._trouble = (since, why)

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Allow the block to take this many seconds more than a step."""
        self.beat()
        self._more = seconds
        try:
            yield
        finally:
            self.beat()
            self._more = 0.0

    def sign(self) -> LoopState:
        """Return the state of the loop."""
        now = time.monotonic()
        trouble = self._trouble
        why = trouble[1] if trouble and now - trouble[0] > TROUBLED_SECONDS else ""
        return LoopState(self.name, now - self._at, self._limit + self._more, self._vital, why)


class Heartbeats:
    """All heartbeats of a process, and those that other processes of the node have reported."""

    def __init__(self) -> None:
        self._own: WeakSet[Heartbeat] = WeakSet()
        self._reported: dict[str, tuple[float, list[LoopState]]] = {}
        self._lock = threading.Lock()

    def add(self, heartbeat: Heartbeat) -> None:
        """Watch a loop, as long as it is referenced."""
        with self._lock:
            self._own.add(heartbeat)

    def remove(self, heartbeat: Heartbeat) -> None:
        """Stop watching a loop, which ends on purpose."""
        with self._lock:
            self._own.discard(heartbeat)

    def report(self, process: str, signs: Iterable[LoopState]) -> None:
        """Record the states that another process has reported.

        Args:
            process: name of the process.
            signs: states of its loops.
        """
        with self._lock:
            self._reported[process] = (time.monotonic(), list(signs))

    def forget(self, process: str) -> None:
        """Forget another process, which ends on purpose."""
        with self._lock:
            self._reported.pop(process, None)

    def own(self) -> list[LoopState]:
        """Return the states of the loops of this process."""
        with self._lock:
            beats = list(self._own)
        return sorted((one.sign() for one in beats), key=lambda sign: sign.name)

    def all(self) -> list[LoopState]:
        """Return the states of all loops; reported states age like those of this process."""
        with self._lock:
            reported = [(process, *pair) for process, pair in self._reported.items()]
        now = time.monotonic()
        others = [
            LoopState(
                name if name == process else f"{process}: {name}",
                sign.age + now - at,
                sign.limit,
                sign.vital,
                sign.trouble,
            )
            for process, at, signs in reported
            for sign in signs
            for name in (sign.name,)
        ]
        return [*self.own(), *sorted(others, key=lambda sign: sign.name)]


HEARTBEATS: Final = Heartbeats()
"""The heartbeats of this process."""
