"""Counts wrong passcodes; after too many the next one is refused unseen for a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

_FREE: Final = 10  # wrong passcodes in a row without a wait: people mistype, and retry at once
_LONGEST_SECONDS: Final = 300.0
_FORGET_SECONDS: Final = 3600.0  # after the last wrong one
_REMEMBERED: Final = 4096  # addresses or users


class _Failures(NamedTuple):
    wrong: int
    last: float


class Attempts:
    """Counts the wrong passcodes of each address, or of each user. For one thread.

    The wait doubles with each wrong one, from one second up to five minutes.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def wait(self, key: str) -> float:
        """Seconds until the next passcode is compared; 0: now."""
        count, last = self._failures.get(key, _Failures(0, 0.0))
        if count < _FREE:
            return 0.0
        pause = min(2.0 ** min(count - _FREE, 16), _LONGEST_SECONDS)
        return max(0.0, last + pause - self._clock())

    def has_failed(self, key: str) -> bool:
        """Whether a passcode was wrong since the last right one."""
        return key in self._failures

    def failed(self, key: str) -> None:
        """Count a wrong passcode. Beyond the bound, the oldest failure is forgotten."""
        now = self._clock()
        count, last = self._failures.pop(key, _Failures(0, now))
        if now - last > _FORGET_SECONDS:
            count = 0
        while len(self._failures) >= _REMEMBERED:
            self._failures.popitem(last=False)
        self._failures[key] = _Failures(count + 1, now)

    def succeeded(self, key: str) -> None:
        """Forget the failures: the passcode was right."""
        self._failures.pop(key, None)
