"""One computation on several processors: threads that end with it."""

from __future__ import annotations

import threading
from collections.abc import Callable


def in_parallel(work: Callable[[int], object], count: int) -> None:
    """Do the parts of a computation at the same time, and wait until all of them have ended.

    Args:
        work: does the part with a number; it must not wait for anything.
        count: how many parts there are, from 0; each has a thread, the last one this thread.

    Raises:
        BaseException: what the first part that failed has raised.
    """
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001  it is raised again, in the thread that waits
            errors.append(error)

    threads = [
        threading.Thread(target=guarded, args=(number,), name=f"part {number}", daemon=True)
        for number in range(count - 1)
    ]
    for thread in threads:
        thread.start()
    guarded(count - 1)
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
