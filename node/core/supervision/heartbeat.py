"""Heartbeats: when each loop of the node last finished a step, and whether that is too long ago.

Ages are measured by the monotonic clock, so that a change of the system's time ends nothing.
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
"""After so long without a finished step a loop is late: `/health` has to say so within ten."""
TROUBLED_SECONDS: Final = 4.0
"""For so long a loop may be unable to work before it is said: most troubles are over by then."""


@dataclass(frozen=True, slots=True)
class Sign:
    """What is known of one loop at one moment.

    Attributes:
        name: of the loop, for people.
        age: seconds since it last finished a step.
        limit: seconds from which it is late.
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
        """What is wrong, as a sentence; empty if nothing is."""
        if self.late:
            return f"has not finished a step for {self.age:.0f} s" + (
                f": {self.trouble}" if self.trouble else ""
            )
        return self.trouble

    def said(self) -> dict[str, Any]:
        """As JSON, to be told to another process."""
        return asdict(self)


class Heartbeat:
    """The heartbeat of one loop.

    Args:
        name: of the loop, for people.
        limit: seconds without a finished step from which it is late.
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
        """A step, or a piece of work in it, is finished."""
        self._at = time.monotonic()

    def well(self) -> None:
        """A step is finished, and nothing is in the way of the next."""
        self._at = time.monotonic()
        self._trouble = None

    def troubled(self, why: str) -> None:
        """The loop cannot do its work at the moment; `why` must not hold data of patients."""
        since = time.monotonic() if self._trouble is None else self._trouble[0]
        self._trouble = (since, why)

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """What is done within may take so many seconds more than a step usually may."""
        self.beat()
        self._more = seconds
        try:
            yield
        finally:
            self.beat()
            self._more = 0.0

    def sign(self) -> Sign:
        """How it is now."""
        now = time.monotonic()
        trouble = self._trouble
        said = trouble[1] if trouble and now - trouble[0] > TROUBLED_SECONDS else ""
        return Sign(self.name, now - self._at, self._limit + self._more, self._vital, said)


class Heartbeats:
    """All of a process, and what other processes of the node have told of theirs."""

    def __init__(self) -> None:
        self._own: WeakSet[Heartbeat] = WeakSet()
        self._told: dict[str, tuple[float, list[Sign]]] = {}
        self._lock = threading.Lock()

    def add(self, heartbeat: Heartbeat) -> None:
        """Watch a loop, as long as anybody knows it."""
        with self._lock:
            self._own.add(heartbeat)

    def remove(self, heartbeat: Heartbeat) -> None:
        """It ends because it should."""
        with self._lock:
            self._own.discard(heartbeat)

    def told(self, process: str, signs: Iterable[Sign]) -> None:
        """Another process has said how its loops are."""
        with self._lock:
            self._told[process] = (time.monotonic(), list(signs))

    def forget(self, process: str) -> None:
        """Another process ends because it should."""
        with self._lock:
            self._told.pop(process, None)

    def own(self) -> list[Sign]:
        """How the loops of this process are."""
        with self._lock:
            beats = list(self._own)
        return sorted((one.sign() for one in beats), key=lambda sign: sign.name)

    def all(self) -> list[Sign]:
        """How all loops are: what was told by others ages like the rest."""
        with self._lock:
            told = [(process, *pair) for process, pair in self._told.items()]
        now = time.monotonic()
        others = [
            Sign(
                name if name == process else f"{process}: {name}",
                sign.age + now - at,
                sign.limit,
                sign.vital,
                sign.trouble,
            )
            for process, at, signs in told
            for sign in signs
            for name in (sign.name,)
        ]
        return [*self.own(), *sorted(others, key=lambda sign: sign.name)]


HEARTBEATS: Final = Heartbeats()
"""Those of this process."""
