"""Which senders have left as much as they may of what is never removed: looked at now and then,
so that nobody who stores waits for it."""

from __future__ import annotations

import hashlib
from typing import Final

from node.core.errors import QuotaReached, Retryable
from node.core.supervision import Loop
from node.core.system.disk import Buffer
from node.storage.index.series.conflicts import Conflicts
from node.storage.ingest.checks import sender_of
from node.storage.journal import Source
from node.storage.quarantine import Quarantine

_EVERY_SECONDS: Final = 2.0
_LIMIT_SECONDS: Final = 120.0  # a database that is away takes its time to say so


class Quotas:
    """What senders may still leave.

    Args:
        per_peer: bytes of conflicts that one sender may leave.
    """

    def __init__(self, quarantine: Quarantine, conflicts: Conflicts, per_peer: int) -> None:
        self._quarantine = quarantine
        self._conflicts = conflicts
        self._per_peer = per_peer
        self._not_ingested: frozenset[str] = frozenset()
        self._copying: frozenset[str] = frozenset()
        self._loop = Loop("quotas", self.look, limit=_LIMIT_SECONDS, vital=False)

    def start(self) -> None:
        """Begin to look."""
        self._loop.start()

    def stop(self) -> None:
        """Look no more."""
        self._loop.stop(5)

    def look(self) -> float:
        """See who has left too much; seconds until that should be seen again."""
        self._not_ingested = self._quarantine.full()
        try:
            left = self._conflicts.left()
            self._copying = frozenset(one.sender for one in left if one.size > self._per_peer)
        except Retryable:
            pass  # the database is away, which others say; what was seen before holds
        return _EVERY_SECONDS

    def limits(self, source: Source | None) -> bool:
        """Whether something that comes from somewhere may have to be refused; mostly nothing."""
        if not self._copying and not self._not_ingested:
            return False
        sender = sender_of(source)
        return sender in self._copying or sender in self._not_ingested

    def check_sender(self, sender: str) -> None:
        """See that a sender may leave anything at all.

        Raises:
            QuotaReached: too much of what it sent cannot be ingested.
        """
        if sender in self._not_ingested:
            raise QuotaReached(
                f"what {sender} sent and could not be ingested is more than "
                "storage.quarantine.per_peer: see why, and move it out of quarantine/",
                "too much from this address is in quarantine; see the log",
            )

    def limits_copies(self, sender: str) -> bool:
        """Whether a sender may leave no further version of an instance that is there."""
        return sender in self._copying

    def check_copy(self, sender: str, sop_instance_uid: str, data_set: Buffer) -> None:
        """See that an instance is not another version of one that is there.

        Raises:
            QuotaReached: it is. Retryable: that cannot be seen now.
        """
        sha256 = hashlib.sha256(data_set).hexdigest()
        if self._conflicts.would_be(sop_instance_uid, sha256):
            raise QuotaReached(
                f"{sender} has left more other versions of instances that are there already than "
                "storage.conflicts.per_peer allows; no further one is taken",
                "in conflict; too many conflicts from this address",
            )
