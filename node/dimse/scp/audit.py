"""The audit trail: who associated, from where, what became of it. Never a word about a patient."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from pynetdicom.association import Association

from node.dimse.scp.associations import printable
from node.dimse.upper_layer.access.certificates import Certificate
from node.dimse.upper_layer.associate_request import AssociateRequest

log = logging.getLogger("node.audit")


@dataclass
class Trail:
    """What one association did."""

    who: str
    since: float = field(default_factory=time.monotonic)
    instances: int = 0
    size: int = 0
    refused: Counter[int] = field(default_factory=Counter)

    def stored(self, size: int) -> None:
        """An instance was stored."""
        self.instances += 1
        self.size += size


class Audit:
    """Writes a line when an association begins, ends, or is turned away.

    Its logger is `node.audit`, so that a log system can keep these lines apart, and for longer.
    """

    def __init__(self) -> None:
        self._trails: WeakKeyDictionary[Association, Trail] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def opened(
        self,
        association: Association,
        request: AssociateRequest,
        address: str,
        certificate: Certificate | None,
        doubt: str,
    ) -> None:
        """An association begins.

        Args:
            doubt: why it is not taken for the peer whose AE title it has; empty if it is, or if
                there is none.
        """
        subject = "" if certificate is None else certificate.subject
        shown = f", certificate of {printable(subject, 64)!r}" if subject else ""
        user = f", user {printable(request.user, 64)!r}" if request.user else ""
        who = f"{printable(request.calling_ae)!r} at {address}"
        with self._lock:
            self._trails[association] = Trail(who)
        log.info("%s associates, calling %r%s%s", who, printable(request.called_ae), shown, user)
        if doubt:
            log.warning("%s may do what strangers may: %s", who, doubt)

    def trail(self, association: Association) -> Trail:
        """What is noted of an association; of one that is over, nobody will see it."""
        return self._trails.get(association) or Trail("")

    def answered(self, association: Association, size: int, status: int) -> None:
        """An instance was answered."""
        trail = self.trail(association)
        if status:
            trail.refused[status] += 1
        else:
            trail.stored(size)

    def ended(self, association: Association) -> None:
        """An association has ended."""
        with self._lock:
            trail = self._trails.pop(association, None)
        if trail is None:
            return
        how = "released" if association.is_released else "ended without release"
        if association.is_rejected:
            how = "rejected"
        refused = "".join(
            f", {count} refused 0x{status:04X}" for status, count in sorted(trail.refused.items())
        )
        log.info(
            "%s %s after %.1f s: %d instances stored, %.1f MB%s",
            trail.who,
            how,
            time.monotonic() - trail.since,
            trail.instances,
            trail.size / 1e6,
            refused,
        )

    def turned_away(self, request: AssociateRequest, address: str, why: str) -> None:
        """An association was rejected."""
        log.warning("%r at %s was rejected: %s", printable(request.calling_ae), address, why)

    def hung_up(self, address: str, why: str) -> None:
        """A connection ended before it had asked for an association."""
        log.warning("a connection from %s was ended: %s", address, why)
