"""Threads that end: one piece of work behind a guard, and the end of what takes too long."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from node.core.errors import error_reference, traced

log = logging.getLogger(__name__)


Background = threading.Thread
"""One piece of work under way, to be waited for by `join`."""


def background(name: str, work: Callable[[], object]) -> Background:
    """Do something once, beside everything else. It has no heartbeat: nothing may depend on it.

    Args:
        name: of the thread, for people.
    """

    def guarded() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  it is logged here and matters to nobody else
            log.error("%s failed (reference %s): %s", name, error_reference(error), traced(error))

    thread = threading.Thread(target=guarded, name=name, daemon=True)
    thread.start()
    return thread


@contextmanager
def deadline(seconds: float, too_late: Callable[[], object]) -> Iterator[None]:
    """Call `too_late` from another thread if what is done within takes longer than `seconds`."""
    timer = threading.Timer(seconds, too_late)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
