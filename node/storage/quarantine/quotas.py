"""Which senders have reached their limits of what is never removed: read by a loop, so that no
C-STORE waits for it."""

from __future__ import annotations

from typing import Final

from node.core.errors import QuotaReached, Retryable
from node.core.supervision import Loop
from node.core.system.disk import Buffer
from node.storage.index.series.conflicts import Conflicts
from node.storage.integrity import sha256_of
from node.storage.journal import Source
from node.storage.quarantine import Quarantine
from node.storage.receive.instance_receiver import sender_of

_EVERY_SECONDS: Final = 2.0
_LIMIT_SECONDS: Final = 120.0  # a database that does not answer takes long to fail


class Quotas:
    """The limits of senders.

    Args:
        quarantine: has instances that could not be ingested.
        conflicts: reads conflicts from the index.
        per_peer: limit of one sender, bytes of conflicts.
    """

    def __init__(self, quarantine: Quarantine, conflicts: Conflicts, per_peer: int) -> None:
        self._quarantine = quarantine
        self._conflicts = conflicts
        self._per_peer = per_peer
        self._not_ingested: frozenset[str] = frozenset()
        self._copying: frozenset[str] = frozenset()
        self._loop = Loop("quotas", self.look, limit=_LIMIT_SECONDS, vital=False)

    def start(self) -> None:
        """Start the loop."""
        self._loop.start()

    def stop(self) -> None:
        """Stop the loop."""
        self._loop.stop(5)

    def look(self) -> float:
        """Read which senders have reached a limit; returns seconds until the next time."""
        self._not_ingested = self._quarantine.full()
        try:
            left = self._conflicts.left()
            self._copying = frozenset(one.sender for one in left if one.size > self._per_peer)
        except Retryable:
            pass  # the database does not answer, which `/health` reports; the last result stays
        return _EVERY_SECONDS

    def limits(self, source: Source | None) -> bool:
        """Whether the sender of an association has reached any limit; None: an import."""
        if not self._copying and not self._not_ingested:
            return False
        sender = sender_of(source)
        return sender in self._copying or sender in self._not_ingested

    def check_sender(self, sender: str) -> None:
        """Check that the quarantine has not too much of a sender.

        Raises:
            QuotaReached: it has; the node refuses all its instances.
        """
        if sender in self._not_ingested:
            raise QuotaReached(
                f"{sender} sent more instances that could not be ingested than "
                "storage.quarantine.per_peer allows: see the log for why, and move them out of "
                "quarantine/",
                "too much from this address is in quarantine; see the log",
            )

    def limits_copies(self, sender: str) -> bool:
        """Whether a sender may send no further conflict."""
        return sender in self._copying

    def check_copy(self, sender: str, sop_instance_uid: str, data_set: Buffer) -> None:
        """Check that an instance is no conflict.

        Args:
            sender: as `node.core.sender_addresses` has them.
            sop_instance_uid: of the instance.
            data_set: as it was received.

        Raises:
            QuotaReached: it has other bytes than the archived instance of this UID.
            Retryable: the index does not answer.
        """
        sha256 = sha256_of(data_set)
        if self._conflicts.would_be(sop_instance_uid, sha256):
            raise QuotaReached(
                f"{sender} sent more conflicts (other bytes for archived instances) than "
                "storage.conflicts.per_peer allows; the node refuses further ones",
                "in conflict; too many conflicts from this address",
            )
