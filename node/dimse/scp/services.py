"""Every service but storage: SOP classes, handlers, start and stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.events import EventHandlerType

from node.core.settings.model import Dicom
from node.dimse.scp import commitment, mpps
from node.dimse.scp.message_observer import Cancellations, Notifications
from node.dimse.scp.query.find import find_handler
from node.dimse.scp.query.operation import serve_operations
from node.dimse.scp.query.query_retrieve import FIND, GET, MOVE, negotiate_extended
from node.dimse.scp.query.retrieve import get_handler, move_handler
from node.dimse.scu.requests import peer
from node.dimse.upper_layer.access.permissions import Peers
from node.dimse.upper_layer.requestor import Destination
from node.lifecycle.verification.damage_reporter import DamageReporter
from node.storage.archive import Archive
from node.storage.index.engine import Index
from node.storage.index.peers.announced import Announced
from node.storage.index.peers.commitments import Commitments
from node.storage.index.peers.statements import Statements
from node.storage.index.search.search import Search

SYNTAXES = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
"""In which identifiers and other data sets of these services are read and written."""
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
        index: what the node holds.
        archive: where its files are.
        settings: returns the current settings; SIGHUP may change peers.
        clock: seconds since 1970, UTC.

    Attributes:
        services: SOP classes with their transfer syntaxes, for the application entity.
        handlers: for pynetdicom's events.
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
        damage_found = DamageReporter(index, archive.root.parent, clock).check

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
            damage_found=damage_found,
        )
        serve_operations(*FIND, *GET, *MOVE)
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
            (evt.EVT_C_GET, get_handler(search, archive, peers, cancellations, damage_found)),
            (
                evt.EVT_C_MOVE,
                move_handler(search, archive, peers, cancellations, destination_of, damage_found),
            ),
            (evt.EVT_N_ACTION, commitment.action_handler(self._reporter, peers, notifications)),
            (evt.EVT_N_CREATE, mpps.create_handler(announced, peers, clock)),
            (evt.EVT_N_SET, mpps.set_handler(announced, peers, clock)),
        ]

    def start(self) -> None:
        """Begin to report storage commitments."""
        self._reporter.start()

    def stop(self) -> None:
        """Stop after the current report."""
        self._reporter.stop()
