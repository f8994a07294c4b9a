"""Threads that end: one task behind a guard, and a deadline for a block of code."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from node.core.errors import error_reference, traced

log = logging.getLogger(__name__)


Background = threading.Thread
"""A running task; wait for it by `join`."""


def background(name: str, work: Callable[[], object]) -> Background:
    """Run a task in a thread of its own. It has no heartbeat, so no other work may depend on it.

    Args:
        name: name of the thread, for the log.
        work: the task; its exception is logged.
    """

    def guarded() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  the guard of the thread logs it
            log.error("%s failed (reference %s): %s", name, error_reference(error), traced(error))

    thread = threading.Thread(target=guarded, name=name, daemon=True)
    thread.start()
    return thread


@contextmanager
def deadline(seconds: float, too_late: Callable[[], object]) -> Iterator[None]:
    """Call a function from another thread if the block takes too long.

    Args:
        seconds: how long the block may take.
        too_late: the function.
    """
    timer = threading.Timer(seconds, too_late)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
