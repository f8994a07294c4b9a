"""Senders first: the ingester takes what processor time they leave, unless it falls behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from node.core.supervision import Loop, background

_PATIENCE_SECONDS: Final = 0.5
"""Behind for longer, filing is as urgent as receiving: what was answered has to be found."""
_BREAK_SECONDS: Final = 0.01
"""Between two that come so close the ingester does nothing: a sender and a receiver of much use two
processors, and a system call of the ingester's, once it has begun, is not interrupted for them."""


class Priority:
    """How urgent the work of the thread is that made this. Others stay as urgent as they are.

    The scheduler lets a process that it began to run go on for milliseconds, however nice that is,
    while a receiver has an answer to send. Of a thread that is idle by policy it takes the
    processor at once, and gives it next to nothing while others want all of them: so it is another
    thread that ends this. Only who may raise priorities comes back from that policy
    (`CAP_SYS_NICE`, or `LimitNICE=`); others give the processor up between two instances and no
    oftener.

    Args:
        pressed: by a moment, when a receiver last had much to take in; both in seconds of
            `time.monotonic`.
    """

    def __init__(self, pressed: Callable[[float], float] = lambda _now: 0.0) -> None:
        self._pressed = pressed
        self._thread = threading.get_native_id()
        self._may = _may_come_back()
        self._low = False
        self._since: float | None = None  # when there has been something to do
        self._busy = threading.Event()
        self._watcher = Loop("ingest priority", self._watch)
        self._watcher.start()

    def caught_up(self) -> None:
        """There is nothing to do at the moment."""
        self._since = None
        self._busy.clear()
        if self._may and not self._low:
            self._low = _set(self._thread, os.SCHED_IDLE)

    def breathe(self) -> None:
        """Let others go first, before the next piece of work."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            self._busy.set()
        while not self._behind(now) and (left := self._pressed(now) + _BREAK_SECONDS - now) > 0:
            time.sleep(left)
            now = time.monotonic()
        if not self._low:
            with suppress(OSError):  # a filter of system calls may not know it
                os.sched_yield()

    def _behind(self, now: float) -> bool:
        since = self._since
        return since is not None and now - since > _PATIENCE_SECONDS

    def _watch(self) -> float:
        if not self._busy.wait(1.0):
            return 0.0
        time.sleep(_PATIENCE_SECONDS / 2)
        if self._low and self._behind(time.monotonic()):
            self._low = not _set(self._thread, os.SCHED_OTHER)
        return 0.0


def _set(thread: int, policy: int) -> bool:
    with suppress(OSError):
        os.sched_setscheduler(thread, policy, os.sched_param(0))
        return True
    return False


def _may_come_back() -> bool:
    """Whether the idle policy can be left again, found out by a thread that need not."""
    found: list[bool] = []
    background(
        "priority trial", lambda: found.append(_set(0, os.SCHED_IDLE) and _set(0, os.SCHED_OTHER))
    ).join()
    return found == [True]
