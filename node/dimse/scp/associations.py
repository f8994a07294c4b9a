"""Notes which associations brought instances, and how they ended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from weakref import WeakKeyDictionary

from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import A_RELEASE

from node.core.errors import Retryable
from node.core.records import AssociationEnd
from node.dimse.log_fields import log_fields, printable
from node.storage.journal import Source

log = logging.getLogger(__name__)


class Associations:
    """The open associations that have brought instances.

    Args:
        ended: called with an association that brought instances, how it ended, and when (s since
            1970).
        process: names this run of the node.
        clock: seconds since 1970, UTC.
    """

    def __init__(
        self,
        ended: Callable[[Source, AssociationEnd, float], None],
        *,
        process: str,
        clock: Callable[[], float],
    ) -> None:
        self._ended = ended
        self._process = process
        self._clock = clock
        self._sources: WeakKeyDictionary[Association, Source] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def source(self, association: Association) -> Source:
        """The record of an association, made at its first instance."""
        source = self._sources.get(association)
        if source is None:
            requestor = association.requestor
            source = Source(
                self._process,
                printable(requestor.ae_title),
                printable(called_title(association)),
                str(requestor.address),
                self._clock(),
            )
            with self._lock:
                self._sources[association] = source
        return source

    def release_requested(self, event: Event) -> None:
        """Handle pynetdicom's EVT_ACSE_RECV: after its A-RELEASE-RQ a peer may close at once."""
        if isinstance(event.primitive, A_RELEASE):
            self._end(event.assoc, AssociationEnd.RELEASED)

    def released(self, event: Event) -> None:
        """Handle pynetdicom's EVT_RELEASED."""
        self._end(event.assoc, AssociationEnd.RELEASED)

    def aborted(self, event: Event) -> None:
        """Handle pynetdicom's EVT_ABORTED: by either side, or because the connection was lost."""
        self._end(event.assoc, AssociationEnd.ABORTED)

    def connection_closed(self, event: Event) -> None:
        """Handle pynetdicom's EVT_CONN_CLOSE: without a release or abort before it, a lost peer."""
        self._end(event.assoc, AssociationEnd.LOST)

    def _end(self, association: Association, end: AssociationEnd) -> None:
        with self._lock:
            source = self._sources.pop(association, None)
        if source is None:
            return
        try:
            self._ended(source, end, self._clock())
        except Retryable as error:
            log.error(
                "the end of an association could not be recorded, so that its series wait longer "
                "to be made: %s",
                error,
                extra=log_fields(association),
            )


def called_title(association: Association) -> str:
    """The AE title by which the peer called the node; the acceptor's is always the node's own."""
    request = association.requestor.primitive
    called = getattr(request, "called_ae_title", None) or association.acceptor.ae_title
    return str(called).strip()
