"""The audit trail: which peers associated, from where, and what they stored. No patient data."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from pynetdicom.association import Association

from node.dimse.log_fields import log_fields, printable
from node.dimse.upper_layer.access.certificates import Certificate
from node.dimse.upper_layer.associate_request import AssociateRequest

log = logging.getLogger("node.audit")


@dataclass
class Trail:
    """What one association has done so far.

    Attributes:
        who: AE title and address of the peer.
        since: when it began (s, monotonic).
        instances, size: how many instances were stored, and their bytes.
        refused: status -> number of C-STORE requests that it answered.
    """

    who: str
    since: float = field(default_factory=time.monotonic)
    instances: int = 0
    size: int = 0
    refused: Counter[int] = field(default_factory=Counter)

    def stored(self, size: int) -> None:
        """Count a stored instance of so many bytes."""
        self.instances += 1
        self.size += size


class Audit:
    """Writes a line when an association begins, ends, or is rejected.

    Its logger is `node.audit`, so that these lines can be filtered and kept for longer.
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
            association: not negotiated yet.
            request: its A-ASSOCIATE-RQ.
            address: of the peer.
            certificate: that the peer has shown; None without TLS or certificate.
            doubt: why the caller was not recognized as the peer of `dicom.peers` whose AE title it
                uses; empty if it was, or if no peer has that title.
        """
        subject = "" if certificate is None else certificate.subject
        shown = f", certificate of {printable(subject, 64)!r}" if subject else ""
        user = f", user {printable(request.user, 64)!r}" if request.user else ""
        who = f"{printable(request.calling_ae)!r} at {address}"
        with self._lock:
            self._trails[association] = Trail(who)
        fields = {**log_fields(association), "peer": printable(request.calling_ae)}
        called = printable(request.called_ae)
        log.info("%s associates with %r%s%s", who, called, shown, user, extra=fields)
        if doubt:
            log.warning(
                "%s has the rights of an unlisted caller, because %s", who, doubt, extra=fields
            )

    def trail(self, association: Association) -> Trail:
        """What an association has done so far; a trail that is never logged if it has ended."""
        return self._trails.get(association) or Trail("")

    def answered(self, association: Association, size: int, status: int) -> None:
        """Count a C-STORE response.

        Args:
            association: that sent the request.
            size: bytes of the data set.
            status: of the response.
        """
        trail = self.trail(association)
        if status:
            trail.refused[status] += 1
        else:
            trail.stored(size)

    def ended(self, association: Association) -> None:
        """Write the line of an association that has ended."""
        with self._lock:
            trail = self._trails.pop(association, None)
        if trail is None:
            return
        how = "was released" if association.is_released else "ended without a release"
        if association.is_rejected:
            how = "was rejected"
        refused = "".join(
            f", {count} refused 0x{status:04X}" for status, count in sorted(trail.refused.items())
        )
        log.info(
            "the association of %s %s after %.1f s: %d instances stored, %.1f MB%s",
            trail.who,
            how,
            time.monotonic() - trail.since,
            trail.instances,
            trail.size / 1e6,
            refused,
            extra=log_fields(association),
        )

    def rejected(self, request: AssociateRequest, address: str, reason: str) -> None:
        """Write the line of an association that was rejected.

        Args:
            request: its A-ASSOCIATE-RQ.
            address: of the peer.
            reason: a sentence whose subject is the peer.
        """
        title = printable(request.calling_ae)
        log.warning("%r at %s was rejected: %s", title, address, reason, extra={"peer": title})

    def refused_connection(self, address: str, reason: str) -> None:
        """Write the line of a connection that was closed before it requested an association.

        Args:
            address: of the peer.
            reason: a sentence.
        """
        log.warning("the connection from %s was closed: %s", address, reason)
