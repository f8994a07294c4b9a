"""The priority of the ingester: receivers come first, unless the ingester falls behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from node.core.supervision import Loop, background

_BEHIND_SECONDS: Final = 0.5
"""After so long without being idle the ingester is as urgent as receivers, so that queries find
what was answered."""
_PAUSE_SECONDS: Final = 0.01
"""The ingester pauses for so long after a receiver has received much: sender and receiver need two
processors, and the kernel does not interrupt a system call of the ingester for them."""


class Priority:
    """Lowers the priority of the thread that makes it; other threads keep theirs.

    Linux lets a running process continue for milliseconds, whatever its nice value, while a
    receiver has an answer to send. It interrupts a thread of policy SCHED_IDLE at once, but gives
    it next to no time while others need all processors; so another thread has to end that policy.
    Only a process that may raise priorities can end it (`CAP_SYS_NICE`, or `LimitNICE=` of
    systemd); others only yield between two instances.

    Args:
        last_burst: from the present, when a receiver last received much; both in seconds of
            `time.monotonic`.
    """

    def __init__(self, last_burst: Callable[[float], float] = lambda _now: 0.0) -> None:
        self._last_burst = last_burst
        self._thread = threading.get_native_id()
        self._may_lower = _can_return()
        self._low = False
        self._busy_since: float | None = None
        self._busy = threading.Event()
        self._loop = Loop("ingest priority", self._raise_if_behind)
        self._loop.start()

    def idle(self) -> None:
        """There is nothing to ingest at the moment."""
        self._busy_since = None
        self._busy.clear()
        if self._may_lower and not self._low:
            self._low = _set(self._thread, os.SCHED_IDLE)

    def give_way(self) -> None:
        """Let receivers go first; called before each instance."""
        now = time.monotonic()
        if self._busy_since is None:
            self._busy_since = now
            self._busy.set()
        while not self._behind(now) and (left := self._last_burst(now) + _PAUSE_SECONDS - now) > 0:
            time.sleep(left)
            now = time.monotonic()
        if not self._low:
            with suppress(OSError):  # a filter of system calls may forbid it
                os.sched_yield()

    def _behind(self, now: float) -> bool:
        since = self._busy_since
        return since is not None and now - since > _BEHIND_SECONDS

    def _raise_if_behind(self) -> float:
        if not self._busy.wait(1.0):
            return 0.0
        time.sleep(_BEHIND_SECONDS / 2)
        if self._low and self._behind(time.monotonic()):
            self._low = not _set(self._thread, os.SCHED_OTHER)
        return 0.0


def _set(thread: int, policy: int) -> bool:
    with suppress(OSError):
        os.sched_setscheduler(thread, policy, os.sched_param(0))
        return True
    return False


def _can_return() -> bool:
    """Whether this process can end SCHED_IDLE, tried in another thread."""
    found: list[bool] = []
    background(
        "priority trial", lambda: found.append(_set(0, os.SCHED_IDLE) and _set(0, os.SCHED_OTHER))
    ).join()
    return found == [True]
