"""Senders first: the filer takes what processor time they leave, unless it falls behind."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import Final

_PATIENCE_SECONDS: Final = 0.5
"""Behind for longer, filing is as urgent as receiving: what was answered has to be found."""


class Priority:
    """How urgent this process' work is. For its main thread.

    The scheduler lets a process that it began to run go on for milliseconds, however nice that is,
    while a receiver has an answer to send. Of a process that is idle by policy it takes the
    processor at once. Only who may raise priorities comes back from that policy (`CAP_SYS_NICE`,
    or `LimitNICE=`); others give the processor up between two instances and no oftener.
    """

    def __init__(self) -> None:
        self._may = _may_come_back()
        self._low = False
        self._since = 0.0
        self.caught_up()

    def caught_up(self) -> None:
        """There is nothing to do at the moment."""
        self._since = time.monotonic()
        if self._may and not self._low:
            self._low = _set(os.SCHED_IDLE)

    def breathe(self) -> None:
        """Let others go first, between two pieces of work."""
        if self._low and time.monotonic() - self._since > _PATIENCE_SECONDS:
            self._low = not _set(os.SCHED_OTHER)
        with suppress(OSError):  # a filter of system calls may not know it
            os.sched_yield()


def _set(policy: int) -> bool:
    with suppress(OSError):
        os.sched_setscheduler(0, policy, os.sched_param(0))
        return True
    return False


def _may_come_back() -> bool:
    """Whether the idle policy can be left again, found out by a thread that need not."""
    found: list[bool] = []
    thread = threading.Thread(
        target=lambda: found.append(_set(os.SCHED_IDLE) and _set(os.SCHED_OTHER))
    )
    thread.start()
    thread.join()
    return found == [True]
