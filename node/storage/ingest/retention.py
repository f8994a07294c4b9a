"""`storage.retention`: old series are removed once they have volumes and were delivered.

The ingester does it between two batches: it alone writes into the archive while the node runs, so
that no instance can be archived again while its file is being removed.
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
from node.storage.index.series.obsolete_evidence import ObsoleteEvidence
from node.storage.root_lock import removal_lock

log = logging.getLogger(__name__)

YOUNGEST_SECONDS: Final = 3600.0
"""A series stays at least so long after its last change, however full the archive is: storage
commitment and people need it."""
_EVERY_SECONDS: Final = 60.0
_AT_ONCE: Final = 20  # series that are removed before the ingester ingests again
_DAY: Final = 86400.0
_UNCLAIMED_DAYS: Final = 7.0
"""Without `days`, announcements (MPPS, IAN) of a series that is never received stay so long."""


class RetentionJob:
    """Removes series from archive and index.

    Args:
        archive: the archive.
        index: the index.
        days: age at which a series is removed; None: at no age.
        max_size: bytes of the archive above which the oldest series are removed; None: no limit.
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
        self._evidence = ObsoleteEvidence(index)
        self._by_age = self._by_size = BEGINNING
        self._next = 0.0

    def step(self) -> int:
        """Remove a few series, if it is time to; returns how many were removed."""
        now = self._clock()
        if now < self._next:
            return 0
        with removal_lock(self._archive.root.parent) as locked:
            return self._step(now) if locked else 0

    def _step(self, now: float) -> int:
        try:
            gone = sum(self._remove(one) for one in self._due(now))
            more = self._evidence.sweep(now - max(1.0, self._days or _UNCLAIMED_DAYS) * _DAY)
        except Retryable as error:
            log.error("retention cannot remove old series now and tries again later: %s", error)
            gone, more = 0, False
            self._by_age = self._by_size = BEGINNING
        if not more and self._by_age == self._by_size == BEGINNING:
            self._next = now + _EVERY_SECONDS
        return gone

    def _due(self, now: float) -> list[Expendable]:
        """The next series to be removed. Many old series may have to stay, so the next step goes on
        where this search ended."""
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

    def _remove(self, one: Expendable) -> bool:
        paths = self._expiry.remove(one)
        if not paths:
            return False
        self._index.sync()  # the rows are removed durably before the files
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
        log.info(
            "retention removed series %s from the archive (%d instances)",
            one.uid,
            len(paths),
            extra={"series": one.uid},
        )
        return True
