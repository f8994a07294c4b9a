"""Query/Retrieve as one piece: what to offer, and what to bind (PS3.4 Annex C)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.events import EventHandlerType

from node.config import Dicom
from node.dimse.access import Peers
from node.dimse.direct import Cancellations, serve_directly
from node.dimse.find import find_handler
from node.dimse.operations import FIND, GET, MOVE, negotiate_extended
from node.index.search import Search

IDENTIFIER_SYNTAXES = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))


class QueryRetrieve:
    """C-FIND, C-GET and C-MOVE of Patient Root and Study Root.

    Args:
        settings: returns the current settings; SIGHUP may change peers.
    """

    def __init__(self, search: Search, settings: Callable[[], Dicom]) -> None:
        cancellations = Cancellations()
        peers = Peers(settings)
        ae_title = settings().ae_title
        serve_directly(*FIND, *GET, *MOVE)
        self.handlers: list[EventHandlerType] = [
            (evt.EVT_SOP_EXTENDED, negotiate_extended),
            (evt.EVT_DIMSE_RECV, cancellations.seen),
            (evt.EVT_C_FIND, find_handler(search, peers, cancellations, ae_title)),
        ]

    @property
    def services(self) -> Sequence[tuple[str, Sequence[str]]]:
        """SOP classes with their transfer syntaxes, for the application entity."""
        return [(uid, IDENTIFIER_SYNTAXES) for uid in (*FIND, *GET, *MOVE)]
