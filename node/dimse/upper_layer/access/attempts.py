"""Wrong passcodes are counted, and who had too many has to wait before the next is looked at."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

_FREE: Final = 10  # passcodes in a row that cost nothing: people mistype, and come at once
_LONGEST_SECONDS: Final = 300.0
_FORGOTTEN_SECONDS: Final = 3600.0  # after the last wrong one
_REMEMBERED: Final = 4096  # addresses or users


class _Failures(NamedTuple):
    wrong: int
    last: float


class Attempts:
    """Wrong passcodes by whom they are counted for. For one thread.

    The wait doubles with each wrong one, from one second up to five minutes.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def wait(self, whose: str) -> float:
        """Seconds until the next passcode is looked at; 0: now."""
        count, last = self._failures.get(whose, _Failures(0, 0.0))
        if count < _FREE:
            return 0.0
        pause = min(2.0 ** min(count - _FREE, 16), _LONGEST_SECONDS)
        return max(0.0, last + pause - self._clock())

    def has_failed(self, whose: str) -> bool:
        """Whether anything was wrong since the last right one."""
        return whose in self._failures

    def failed(self, whose: str) -> None:
        """Another wrong one. Where there is no place left, who failed longest ago is forgotten."""
        now = self._clock()
        count, last = self._failures.pop(whose, _Failures(0, now))
        if now - last > _FORGOTTEN_SECONDS:
            count = 0
        while len(self._failures) >= _REMEMBERED:
            self._failures.popitem(last=False)
        self._failures[whose] = _Failures(count + 1, now)

    def succeeded(self, whose: str) -> None:
        """The right one."""
        self._failures.pop(whose, None)
