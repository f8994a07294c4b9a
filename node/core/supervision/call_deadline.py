"""A call that may take for ever, and who does not wait for it for longer than he can."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """What a call returns, for system calls that have no deadline of their own: name look-ups,
    folders on a server that is away.

    Args:
        seconds: how long to wait; a call that takes longer is left to end in a thread of its own.

    Raises:
        TimeoutError: it takes longer.
        Exception: whatever the call raises.
    """
    results: list[Result] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:  # noqa: BLE001  it is raised again, in the thread that waits
            errors.append(error)

    thread = threading.Thread(target=run, name="within-deadline", daemon=True)
    thread.start()
    thread.join(seconds)
    if results:
        return results[0]
    raise errors[0] if errors else TimeoutError(f"no answer within {seconds:g} s")
