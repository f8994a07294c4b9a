"""A deadline for calls that have none, such as name look-ups and access to network folders."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """Return the result of a call that must not take too long.

    Args:
        seconds: how long to wait; a call that takes longer goes on in a thread of its own.
        call: the call.

    Raises:
        TimeoutError: the call takes longer.
        Exception: an exception of the call.
    """
    results: list[Result] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:  # noqa: BLE001  raised again in the waiting thread
            errors.append(error)

    thread = threading.Thread(target=run, name="within-deadline", daemon=True)
    thread.start()
    thread.join(seconds)
    if results:
        return results[0]
    raise errors[0] if errors else TimeoutError(f"no answer within {seconds:g} s")
