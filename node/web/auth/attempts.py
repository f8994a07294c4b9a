"""Limits of logins: who guesses passwords is slowed down, and others are not."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

WINDOW_SECONDS: Final = 900.0
OF_PAIR: Final = 10
"""Failed logins of one name from one address in a window."""
OF_ADDRESS: Final = 100
"""Of all names from one address, which may be a proxy with many users behind it."""
OF_NAME: Final = 100
"""Of one name from all addresses."""
_MOST: Final = 20_000  # names, addresses and pairs that are remembered

Key = tuple[str, str]


class Attempts:
    """Counts failed logins by name, by address and by both. Safe for threads.

    A login is counted before its password is compared, so that many at once do not get round the
    limit; a right password takes the count of the pair back.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: OrderedDict[Key, tuple[float, int]] = OrderedDict()

    def begin(self, name: str, address: str) -> float:
        """Count a login.

        Args:
            name: as it was typed.
            address: where it comes from.

        Returns:
            0.0 if it may go on, else after how many seconds to try again.
        """
        limits = {
            (name, address): OF_PAIR,
            ("", address): OF_ADDRESS,
            (name, ""): OF_NAME,
        }
        with self._lock:
            now = self._clock()
            waits = [self._wait(key, limit, now) for key, limit in limits.items()]
            if any(waits):
                return max(waits)
            for key in limits:
                begun, count = self._counts.pop(key, (now, 0))
                self._counts[key] = (begun, count + 1)
            while len(self._counts) > _MOST:
                self._counts.popitem(last=False)
        return 0.0

    def succeeded(self, name: str, address: str) -> None:
        """Take back the count of a login whose password was right."""
        with self._lock:
            self._counts.pop((name, address), None)
            for key in (("", address), (name, "")):
                if key in self._counts:
                    begun, count = self._counts[key]
                    self._counts[key] = (begun, max(0, count - 1))

    def _wait(self, key: Key, limit: int, now: float) -> float:
        begun, count = self._counts.get(key, (now, 0))
        if now - begun >= WINDOW_SECONDS:
            del self._counts[key]
            return 0.0
        return WINDOW_SECONDS - (now - begun) if count >= limit else 0.0
