"""`rasnode import --wait`: wait until the imported series have their volumes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from node.core.errors import NodeError
from node.storage.index.imported import Imported

_AT_ONCE: Final = 500  # series in one query
_POLL_SECONDS: Final = 0.25


class Unfinished(NodeError):
    """The imported series are not done."""


def wait_for_series(
    imported: Imported,
    series: Iterable[int],
    *,
    node_lives: Callable[[], bool],
    stopping: threading.Event,
    still_seconds: float,
    left: Callable[[int], None],
) -> None:
    """Return when all series are done, or when `stopping` is set.

    Args:
        imported: reads from the index.
        series: rows of the series.
        node_lives: whether a node runs.
        stopping: set to end the wait.
        still_seconds: for how long nothing may change.
        left: called with the number of series that may not be done.

    Raises:
        Unfinished: no node runs, or nothing has changed for too long.
    """
    every = sorted(series)
    parts = deque(every[at : at + _AT_ONCE] for at in range(0, len(every), _AT_ONCE))
    changed, before = time.monotonic(), -1
    while parts and not stopping.is_set():
        lives = node_lives()  # asked first, so that what it did before it ended counts
        under_way = imported.under_way(parts[0])
        if not under_way:
            parts.popleft()
            continue
        now, to_go = time.monotonic(), under_way + sum(map(len, parts)) - len(parts[0])
        left(to_go)
        if to_go != before:
            changed, before = now, to_go
        if not lives:
            raise Unfinished(
                f"{to_go} of the imported series are not done, and no node is running: start it"
            )
        if now - changed > still_seconds:
            raise Unfinished(
                f"{to_go} of the imported series are not done, and nothing has changed for "
                f"{still_seconds:.0f} s; `rasnode status` shows them"
            )
        stopping.wait(_POLL_SECONDS)
