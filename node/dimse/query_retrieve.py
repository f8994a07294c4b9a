"""Query/Retrieve as one piece: what to offer, and what to bind (PS3.4 Annex C)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.events import EventHandlerType

from node.archive import Archive
from node.config import Dicom
from node.dimse.access import Peers
from node.dimse.direct import Cancellations, serve_directly
from node.dimse.find import find_handler
from node.dimse.operations import FIND, GET, MOVE, negotiate_extended
from node.dimse.requestor import Destination
from node.dimse.retrieve import get_handler, move_handler
from node.dimse.scu import peer
from node.index.search import Search

IDENTIFIER_SYNTAXES = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))


class QueryRetrieve:
    """C-FIND, C-GET and C-MOVE of Patient Root and Study Root.

    Args:
        settings: returns the current settings; SIGHUP may change peers.
    """

    def __init__(self, search: Search, archive: Archive, settings: Callable[[], Dicom]) -> None:
        cancellations = Cancellations()
        peers = Peers(settings)

        def destination_of(ae_title: str) -> Destination | None:
            known = peers.by_title(ae_title)
            return None if known is None else peer(settings(), known)

        ae_title = settings().ae_title
        serve_directly(*FIND, *GET, *MOVE)
        self.handlers: list[EventHandlerType] = [
            (evt.EVT_SOP_EXTENDED, negotiate_extended),
            (evt.EVT_DIMSE_RECV, cancellations.seen),
            (evt.EVT_C_FIND, find_handler(search, peers, cancellations, ae_title)),
            (evt.EVT_C_GET, get_handler(search, archive, peers, cancellations)),
            (evt.EVT_C_MOVE, move_handler(search, archive, peers, cancellations, destination_of)),
        ]

    @property
    def services(self) -> Sequence[tuple[str, Sequence[str]]]:
        """SOP classes with their transfer syntaxes, for the application entity."""
        return [(uid, IDENTIFIER_SYNTAXES) for uid in (*FIND, *GET, *MOVE)]
