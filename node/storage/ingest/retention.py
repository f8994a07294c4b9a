"""`storage.retention`: old instances leave the archive once they are volumes, and delivered.

Only the ingester does it, between two batches: nobody else writes into the archive while the node
runs, so that no instance can come back while its file is on the way out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from node.core.errors import Retryable
from node.storage.archive import Archive
from node.storage.index.engine import Index
from node.storage.index.series.expiry import BEGINNING, Expendable, Expiry
from node.storage.index.series.leftovers import Leftovers
from node.storage.ownership import removing

log = logging.getLogger(__name__)

YOUNGEST_SECONDS: Final = 3600.0
"""However full the archive is: so long a series stays after it changed, for storage commitment
and for people."""
_EVERY_SECONDS: Final = 60.0
_AT_ONCE: Final = 20  # series between two looks at what has come in
_DAY: Final = 86400.0
_UNCLAIMED_DAYS: Final = 7.0
"""So long, where no `days` are set, what was announced waits for a series that never comes."""


class RetentionJob:
    """Takes series out of archive and index.

    Args:
        days: after so many a series goes; None: age alone is no reason.
        max_size: bytes that the archive may have; above, the oldest series go. None: no limit.
        clock: seconds since 1970, UTC.
    """

    def __init__(
        self,
        archive: Archive,
        index: Index,
        *,
        days: float | None,
        max_size: int | None,
        clock: Callable[[], float],
    ) -> None:
        self._archive = archive
        self._index = index
        self._expiry = Expiry(index)
        self._days = days
        self._max_size = max_size
        self._clock = clock
        self._leftovers = Leftovers(index)
        self._by_age = self._by_size = BEGINNING
        self._next = 0.0

    def step(self) -> int:
        """Take a few series out, if it is time to look; returns how many went."""
        now = self._clock()
        if now < self._next:
            return 0
        with removing(self._archive.root.parent) as may:
            return self._step(now) if may else 0

    def _step(self, now: float) -> int:
        try:
            gone = sum(self._retire(one) for one in self._due(now))
            more = self._leftovers.sweep(now - max(1.0, self._days or _UNCLAIMED_DAYS) * _DAY)
        except Retryable as error:
            log.error("old series cannot be taken out of the archive now: %s", error)
            gone, more = 0, False
            self._by_age = self._by_size = BEGINNING
        if not more and self._by_age == self._by_size == BEGINNING:
            self._next = now + _EVERY_SECONDS
        return gone

    def _due(self, now: float) -> list[Expendable]:
        """The next series that go; where the search has not come to its end, it goes on from there
        with the next step, as there may be many that are old and have to stay."""
        if self._days is not None:
            before = now - max(self._days * _DAY, YOUNGEST_SECONDS)
            found, self._by_age = self._expiry.expendable(before, _AT_ONCE, self._by_age)
            if found:
                return found
        if self._max_size is None:
            return []
        excess = self._expiry.size() - self._max_size
        if excess <= 0:
            self._by_size = BEGINNING
            return []
        before = now - YOUNGEST_SECONDS
        found, self._by_size = self._expiry.expendable(before, _AT_ONCE, self._by_size)
        for kept, one in enumerate(found):
            if excess <= 0:
                self._by_size = BEGINNING
                return found[:kept]
            excess -= one.size
        return found

    def _retire(self, one: Expendable) -> bool:
        paths = self._expiry.remove(one)
        if not paths:
            return False
        self._index.sync()  # first nothing speaks of the files, then they go
        folders: set[Path] = set()
        for relative in paths:
            path = self._archive.path(relative)
            with suppress(OSError):
                path.unlink(missing_ok=True)
            folders.add(path.parent)
        for folder in folders:
            for empty in (folder, folder.parent):
                with suppress(OSError):
                    empty.rmdir()
        log.info("retention: series %s left the archive (%d instances)", one.uid, len(paths))
        return True
