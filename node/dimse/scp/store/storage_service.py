"""Storage SCP (PS3.4 Annex B): from C-STORE requests to the receiver and back to responses.

Data sets are not decoded here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.events import Event

from node.core import metrics
from node.core.statuses import CANNOT_UNDERSTAND, NOT_AUTHORIZED
from node.dicom import HeaderTemplate
from node.dimse.log_fields import printable
from node.dimse.scp.associations import Associations
from node.dimse.scp.store.buffer_pool import BufferPool
from node.dimse.scp.store.fast_path import FastPath
from node.dimse.scp.store.lent_connection import LentConnection
from node.dimse.scp.store.message_reader import MessageReader
from node.dimse.scp.store.store_loop import StoreLoop
from node.dimse.scp.store.store_messages import StoreAnswer, StoreRequest, stored
from node.dimse.upper_layer.access.audit import Audit, Trail
from node.dimse.upper_layer.access.permissions import Caller, Peers, caller_of, refusal
from node.dimse.upper_layer.connection import PeerConnection
from node.storage.ingest.registration import alike_to_check
from node.storage.journal import Source
from node.storage.receive.instance_receiver import Incoming, InstanceReceiver
from node.storage.spill import Spill

LARGEST_IN_MEMORY = 4 << 20  # bytes of a data set; a larger one is received into a file


@dataclass(slots=True)
class _StoringAssociation:
    """What is kept of an association for its C-STORE requests.

    Attributes:
        title: its calling AE title.
        alike: what the headers of its data sets have had in common so far.
    """

    association: Association
    title: str
    caller: Caller
    trail: Trail
    source: Source | None = None
    alike: HeaderTemplate = field(default_factory=alike_to_check)


Lent = LentConnection[_StoringAssociation]


class StorageService:
    """Serves C-STORE requests, from the fast path and from pynetdicom.

    Args:
        receiver: makes instances durable, or refuses them.
        associations: notes which associations brought instances.
        peers: says what a caller may do.
        audit: counts what each association stored.
    """

    def __init__(
        self, receiver: InstanceReceiver, associations: Associations, peers: Peers, audit: Audit
    ) -> None:
        self._audit = audit
        self._receiver = receiver
        self._associations = associations
        self._peers = peers
        self._buffers = BufferPool(LARGEST_IN_MEMORY)
        self._store_loop: StoreLoop[_StoringAssociation] = StoreLoop(
            self._serve_together, receiver.answered
        )

    def start(self) -> None:
        """Start the store loop."""
        self._store_loop.start()

    def stop(self) -> None:
        """Stop the store loop. All associations should have ended."""
        self._store_loop.close()

    def fast_path(
        self, association: Association, connection: PeerConnection, contexts: Mapping[int, str]
    ) -> FastPath[_StoringAssociation]:
        """The way for the C-STORE requests of one association.

        Args:
            association: established.
            connection: to its peer.
            contexts: ID of each accepted presentation context for which we are SCP -> its transfer
                syntax.
        """
        title = str(association.requestor.ae_title)
        storing = _StoringAssociation(
            association, title, caller_of(association), self._audit.trail(association)
        )

        def begin_spill(request: StoreRequest) -> Spill:
            return self._receiver.spill(
                request.sop_class_uid,
                request.sop_instance_uid,
                request.transfer_syntax_uid,
                printable(title),
            )

        def serve(reader: MessageReader) -> StoreAnswer:
            assert reader.request is not None  # noqa: S101  it is complete
            with reader.data_set() as view:
                return self.store(association, reader.request, view, reader.spill)

        reader = MessageReader(contexts, self._buffers, begin_spill)
        store_loop = None if connection.secured else self._store_loop
        return FastPath(connection, reader, serve, store_loop, storing)

    def _serve_together(
        self, complete: Sequence[Lent], while_writing: Callable[[], None]
    ) -> list[bytes | None]:
        """Store the requests of several associations together; None for those that are refused."""
        accepted: list[Lent] = []
        incoming: list[Incoming] = []
        for lent in complete:
            one = self._incoming(lent)
            if one is not None:
                accepted.append(lent)
                incoming.append(one)
        responses: dict[Lent, bytes] = {}

        def prepare() -> None:
            for lent in accepted:
                if lent.reader.request is not None:
                    responses[lent] = stored(lent.reader.request)
            while_writing()

        done = self._receiver.store_together(incoming, prepare)
        for lent, one, is_stored in zip(accepted, incoming, done, strict=True):
            if is_stored:
                lent.association.trail.stored(len(one.data_set))
            else:
                del responses[lent]
        return [responses.get(lent) for lent in complete]

    def _incoming(self, lent: Lent) -> Incoming | None:
        """The instance of a request; None if the association's own thread has to serve it."""
        storing, request = lent.association, lent.reader.request
        if request is None or lent.reader.spill or not self._peers.may(storing.caller, "store"):
            return None
        if storing.source is None:
            storing.source = self._associations.source(storing.association)
        return Incoming(
            sop_class_uid=request.sop_class_uid,
            sop_instance_uid=request.sop_instance_uid,
            transfer_syntax_uid=request.transfer_syntax_uid,
            data_set=lent.reader.view(),
            source_ae=storing.title,
            source=storing.source,
            alike=storing.alike,
        )

    def handler(self) -> Callable[[Event], Dataset]:
        """The handler of pynetdicom's EVT_C_STORE."""

        def handle(event: Event) -> Dataset:
            command = event.request
            request = StoreRequest(
                int(event.context.context_id),
                int(command.MessageID),
                str(command.AffectedSOPClassUID or ""),
                str(command.AffectedSOPInstanceUID or ""),
                str(event.context.transfer_syntax),
            )
            data_set = command.DataSet
            if data_set is None:
                return _response(StoreAnswer(CANNOT_UNDERSTAND, "the request has no data set"))
            return _response(self.store(event.assoc, request, data_set.getbuffer(), None))

        return handle

    def store(
        self,
        association: Association,
        request: StoreRequest,
        data_set: memoryview,
        spill: Spill | None,
    ) -> StoreAnswer:
        """Make one instance durable, or refuse it.

        Args:
            association: that brought it.
            request: its command set.
            data_set: as the peer encoded it.
            spill: the file that holds the data set; None if it is in memory.

        Returns:
            What to answer: 0x0000 only if the instance is durable.
        """
        answer = self._store(association, request, data_set, spill)
        self._audit.answered(association, len(data_set), answer.status)
        return answer

    def _store(
        self,
        association: Association,
        request: StoreRequest,
        data_set: memoryview,
        spill: Spill | None,
    ) -> StoreAnswer:
        title = str(association.requestor.ae_title)
        if not self._peers.may(caller_of(association), "store"):
            metrics.refused(NOT_AUTHORIZED)
            return StoreAnswer(NOT_AUTHORIZED, refusal("store"))
        outcome = self._receiver.store(
            Incoming(
                sop_class_uid=request.sop_class_uid,
                sop_instance_uid=request.sop_instance_uid,
                transfer_syntax_uid=request.transfer_syntax_uid,
                data_set=data_set,
                source_ae=printable(title),
                source=self._associations.source(association),
                spill=spill,
            )
        )
        return StoreAnswer(outcome.status, outcome.comment)


def _response(answer: StoreAnswer) -> Dataset:
    response = Dataset()
    response.Status = answer.status
    if answer.comment:
        response.ErrorComment = answer.comment[:64]  # LO (PS3.7 C.1)
    return response
