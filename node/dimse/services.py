"""Every service but storage as one piece: what to offer, what to bind, what to start and stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.events import EventHandlerType

from node.archive import Archive
from node.config import Dicom
from node.dimse import commitment, mpps
from node.dimse.access import Peers
from node.dimse.direct import serve_directly
from node.dimse.find import find_handler
from node.dimse.operations import FIND, GET, MOVE, negotiate_extended
from node.dimse.requestor import Destination
from node.dimse.retrieve import get_handler, move_handler
from node.dimse.scu import peer
from node.dimse.watching import Cancellations, Notifications
from node.index.announced import Announced
from node.index.commitments import Commitments
from node.index.engine import Index
from node.index.search import Search
from node.index.statements import Statements
from node.upkeep.reporting import Reporter

SYNTAXES = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
"""In which identifiers and other data sets of these services may come and go."""
OFFERED = (
    *FIND,
    *MOVE,
    *GET,
    commitment.SOP_CLASS,
    mpps.PERFORMED_STEP,
    mpps.AVAILABILITY,
)


class Services:
    """Query/Retrieve, Storage Commitment, MPPS and Instance Availability Notification.

    Args:
        settings: returns the current settings; SIGHUP may change peers.
        clock: seconds since 1970, UTC.

    Attributes:
        services: SOP classes with their transfer syntaxes, for the application entity.
        handlers: of pynetdicom's events.
    """

    services: Sequence[tuple[str, Sequence[str]]] = tuple((uid, SYNTAXES) for uid in OFFERED)

    def __init__(
        self,
        index: Index,
        archive: Archive,
        settings: Callable[[], Dicom],
        clock: Callable[[], float],
    ) -> None:
        search, announced = Search(index), Announced(index)
        cancellations, notifications = Cancellations(), Notifications()
        peers = Peers(settings)
        ae_title = settings().ae_title
        met = Reporter(index, archive.root.parent, clock).met

        def destination_of(title: str) -> Destination | None:
            known = peers.by_title(title)
            return None if known is None else peer(settings(), known)

        self._reporter = commitment.CommitmentReporter(
            Commitments(index),
            Statements(index),
            archive,
            destination_of,
            ae_title=ae_title,
            clock=clock,
            met=met,
        )
        serve_directly(*FIND, *GET, *MOVE)
        self.handlers: Sequence[EventHandlerType] = [
            (evt.EVT_SOP_EXTENDED, negotiate_extended),
            (evt.EVT_DIMSE_RECV, cancellations.seen),
            (evt.EVT_DIMSE_RECV, notifications.seen),
            (
                evt.EVT_C_FIND,
                find_handler(
                    search, peers, cancellations, ae_title, lambda: settings().empty_matches
                ),
            ),
            (evt.EVT_C_GET, get_handler(search, archive, peers, cancellations, met)),
            (
                evt.EVT_C_MOVE,
                move_handler(search, archive, peers, cancellations, destination_of, met),
            ),
            (evt.EVT_N_ACTION, commitment.action_handler(self._reporter, peers, notifications)),
            (evt.EVT_N_CREATE, mpps.create_handler(announced, peers, clock)),
            (evt.EVT_N_SET, mpps.set_handler(announced, peers, clock)),
        ]

    def start(self) -> None:
        """Begin to report storage commitments."""
        self._reporter.start()

    def stop(self) -> None:
        """Stop after the report at hand."""
        self._reporter.stop()
