"""Detects that the system's clock was set back, so that recorded times lie in the future."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_STEP_SECONDS: Final = 2.0  # smaller corrections are slewed, or do not matter
_AGAIN_SECONDS: Final = 5.0
_AFTERMATH_SECONDS: Final = 60.0  # in which times from before the step may still be written


class ClockWatch:
    """Compares the wall clock with the monotonic one.

    Args:
        wall: seconds since 1970.
        steady: seconds, monotonic.
    """

    def __init__(
        self, wall: Callable[[], float], steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._offset: float | None = None
        self._again = 0.0
        self._until = steady() + _AFTERMATH_SECONDS  # it may have been set before the start

    def set_back(self) -> bool:
        """Tell whether times in the future have to be looked for now."""
        now = self._steady()
        offset = self._wall() - now
        before, self._offset = self._offset, offset
        if before is not None and offset < before - _STEP_SECONDS:
            self._until, self._again = now + _AFTERMATH_SECONDS, now
        if now > self._until or now < self._again:
            return False
        self._again = now + _AGAIN_SECONDS
        return True
