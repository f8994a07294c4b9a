"""The associations that are open, and what the index is told of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from weakref import WeakKeyDictionary

from pynetdicom.association import Association
from pynetdicom.events import Event

from node.errors import Retryable
from node.index.store import Store
from node.records import AssociationEnd

log = logging.getLogger(__name__)


def printable(text: str) -> str:
    """Text of a peer, fit for one line of a log: AE titles come from anybody."""
    return "".join(char if char.isprintable() else "?" for char in text.strip())[:16]


class Associations:
    """Gives an association its row in the index once it carries an instance.

    Args:
        process: which run of the node this is; the index keeps it with each open association.
        clock: seconds since 1970, UTC.
        ended: called after an end was noted.
    """

    def __init__(
        self,
        store: Store,
        *,
        process: str,
        clock: Callable[[], float],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._process = process
        self._clock = clock
        self._ended = ended
        self._rows: WeakKeyDictionary[Association, int] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def row(self, association: Association) -> int:
        """The association's row; its first instance makes it.

        Raises:
            Retryable: the index cannot be written.
        """
        row = self._rows.get(association)
        if row is None:
            requestor = association.requestor
            row = self._store.open_association(
                printable(requestor.ae_title),
                printable(association.acceptor.ae_title),
                str(requestor.address),
                self._clock(),
                self._process,
            )
            with self._lock:
                self._rows[association] = row
        return row

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
            row = self._rows.pop(association, None)
        if row is None:
            return
        try:
            self._store.end_association(row, end, self._clock())
        except Retryable as error:
            log.error("the end of an association could not be noted: %s", error)
            return
        self._ended()
