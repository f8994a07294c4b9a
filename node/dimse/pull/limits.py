"""How hard a peer may be pressed: retrieves at once, on average, and after it was away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from node.core.fetch_limits import Rate

PAUSES: Final = (1.0, 5.0, 25.0)
"""Seconds between the tries of an item; a peer that is away rests as long,"""
_LONGEST_REST: Final = 300.0  # and then up to this
_CAREFUL_SECONDS: Final = 60.0  # for which a peer that was too busy gets fewer associations


class Pace:
    """Keeps the average below a rate. For many threads.

    Args:
        rate: the rate.
        clock: seconds, monotonic.
    """

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = 0.0
        self._instances = self._bytes = 0

    def reserve(self, instances: int) -> tuple[float, float]:
        """Take a place for a retrieve of so many instances.

        Args:
            instances: as many as are expected.

        Returns:
            when it may begin, in s of the clock, and how many s were reserved for it.
        """
        with self._lock:
            mean = self._bytes / self._instances if self._instances else 0.0
            seconds = self._rate.seconds(instances, int(mean * instances))
            begin = max(self._free_at, self._clock())
            self._free_at = begin + seconds
            return begin, seconds

    def spent(self, reserved: tuple[float, float], instances: int, size: int) -> None:
        """Correct a place by what came.

        Args:
            reserved: what `reserve` returned.
            instances: how many came.
            size: their bytes.
        """
        with self._lock:
            self._instances += instances
            self._bytes += size
            begin, seconds = reserved
            more = self._rate.seconds(instances, size) - seconds
            self._free_at = max(self._free_at, begin) + more


class Turn:
    """The turn of a retrieve, for which others wait.

    Args:
        places: the paces that it keeps to, each with what `Pace.reserve` returned.
        over: called when the turn is over.
    """

    def __init__(
        self, places: Sequence[tuple[Pace, tuple[float, float]]], over: Callable[[], None]
    ) -> None:
        self._places = places
        self._over = over

    @property
    def is_paced(self) -> bool:
        """Whether what came has to be counted."""
        return bool(self._places)

    @property
    def begins_at(self) -> float:
        """When it may begin, in s of the monotonic clock."""
        return max((begin for _, (begin, _) in self._places), default=0.0)

    def end(self, instances: int, size: int) -> None:
        """Let others begin.

        Args:
            instances: how many came.
            size: their bytes.
        """
        for pace, place in self._places:
            pace.spent(place, instances, size)
        self._over()


@dataclass
class PeerLimits:
    """What is known of a peer while the node runs. The worker guards it by its lock.

    Attributes:
        failures: how often in a row it was away.
        away_until: when it is tried again, in s of the clock.
        allowed: associations that it takes at once, found out by its refusals; None: unknown.
        careful_until: for how long that counts.
    """

    failures: int = 0
    away_until: float = 0.0
    allowed: int | None = None
    careful_until: float = field(default=0.0)

    def at_once(self, most: int, now: float) -> int:
        """How many retrieves may run at once.

        Args:
            most: that the settings allow.
            now: seconds of the clock.
        """
        return min(most, self.allowed) if self._is_narrow(now) and self.allowed else most

    def room(self, most: int, ahead: int, under_way: int, now: float) -> int:
        """How many more items may be begun.

        Args:
            most: retrieves that the settings allow at once.
            ahead: how many more items may ask meanwhile, if the peer takes an association more.
            under_way: items that ask, wait or retrieve.
            now: seconds of the clock.
        """
        if now < self.away_until:
            return 0
        begun = most + ahead
        if self._is_narrow(now):
            begun = self.at_once(most, now)
        if self.failures:
            begun = 1  # one finds out whether it is back
        return max(0, begun - under_way)

    def away(self, now: float) -> float:
        """It could not be reached; returns the seconds until it is tried again."""
        rest = PAUSES[self.failures] if self.failures < len(PAUSES) else _LONGEST_REST
        self.failures += 1
        self.away_until = now + rest
        return rest

    def busy(self, associations: int, now: float) -> None:
        """It took no further association.

        Args:
            associations: how many were to be open at once.
            now: seconds of the clock.
        """
        self.allowed = max(1, associations - 1)
        self.careful_until = now + _CAREFUL_SECONDS

    def back(self) -> None:
        """It answers."""
        self.failures = 0
        self.away_until = 0.0

    def _is_narrow(self, now: float) -> bool:
        return self.allowed is not None and now < self.careful_until
