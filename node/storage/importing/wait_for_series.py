"""`--wait`: until the series that were imported are done, asked for by their keys."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from node.core.errors import NodeError
from node.storage.index.imported import Imported

_ASKED: Final = 500  # series at once
_POLL_SECONDS: Final = 0.25


class Unfinished(NodeError):
    """Series were imported whose volumes did not come."""


def wait_for_series(
    imported: Imported,
    series: Iterable[int],
    *,
    node_lives: Callable[[], bool],
    stopping: threading.Event,
    still_seconds: float,
    left: Callable[[int], None],
) -> None:
    """Return when none of some series is under way, or when somebody wants it to stop.

    Args:
        node_lives: whether there is a node that works on them.
        still_seconds: for how long nothing may change.
        left: told how many series there are still to be looked at.

    Raises:
        Unfinished: nobody works on them, or nothing has changed for too long.
    """
    every = sorted(series)
    parts = deque(every[at : at + _ASKED] for at in range(0, len(every), _ASKED))
    changed, before = time.monotonic(), -1
    while parts and not stopping.is_set():
        lives = node_lives()  # first: what it did before it ended counts
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
                f"{to_go} of the imported series are not done and no node runs; "
                "they go on when it is started"
            )
        if now - changed > still_seconds:
            raise Unfinished(
                f"{to_go} of the imported series are not done, and nothing has changed for "
                f"{still_seconds:.0f} s; `rasnode status` shows them"
            )
        stopping.wait(_POLL_SECONDS)
