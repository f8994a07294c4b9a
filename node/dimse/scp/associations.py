"""The associations that are open, and what the index is told of them."""

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
from node.storage.journal import Source

log = logging.getLogger(__name__)


def printable(text: str, most: int = 16) -> str:
    """Text of a peer, fit for one line of a log: AE titles come from anybody."""
    return "".join(char if char.isprintable() else "?" for char in text.strip())[:most]


class Associations:
    """Knows the associations that brought instances, and passes their ends on.

    Args:
        noted: called with an association that brought something, how it ended, and when.
        process: which run of the node this is.
        clock: seconds since 1970, UTC.
    """

    def __init__(
        self,
        noted: Callable[[Source, AssociationEnd, float], None],
        *,
        process: str,
        clock: Callable[[], float],
    ) -> None:
        self._noted = noted
        self._process = process
        self._clock = clock
        self._sources: WeakKeyDictionary[Association, Source] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def source(self, association: Association) -> Source:
        """What is kept of an association, from its first instance on."""
        source = self._sources.get(association)
        if source is None:
            requestor = association.requestor
            source = Source(
                self._process,
                printable(requestor.ae_title),
                printable(association.acceptor.ae_title),
                str(requestor.address),
                self._clock(),
            )
            with self._lock:
                self._sources[association] = source
        return source

    def release_asked(self, event: Event) -> None:
        """pynetdicom's EVT_ACSE_RECV: a peer that asks for release may close before we say so."""
        if isinstance(event.primitive, A_RELEASE):
            self._end(event.assoc, AssociationEnd.RELEASED)

    def released(self, event: Event) -> None:
        """pynetdicom's EVT_RELEASED."""
        self._end(event.assoc, AssociationEnd.RELEASED)

    def aborted(self, event: Event) -> None:
        """pynetdicom's EVT_ABORTED: by either side, or by the connection's end."""
        self._end(event.assoc, AssociationEnd.ABORTED)

    def connection_closed(self, event: Event) -> None:
        """pynetdicom's EVT_CONN_CLOSE: if nothing else was said, the peer is lost."""
        self._end(event.assoc, AssociationEnd.LOST)

    def _end(self, association: Association, end: AssociationEnd) -> None:
        with self._lock:
            source = self._sources.pop(association, None)
        if source is None:
            return
        try:
            self._noted(source, end, self._clock())
        except Retryable as error:
            log.error("the end of an association could not be noted: %s", error)
