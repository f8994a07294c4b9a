"""C-STORE: from the wire to the receiver and back. Nothing is decoded here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.events import Event

from node.core import metrics
from node.core.system.cpu_latency import CpuLatency
from node.dicom import HeaderTemplate
from node.dimse.scp.associations import Associations, printable
from node.dimse.scp.audit import Audit, Trail
from node.dimse.scp.store.buffer_pool import BufferPool
from node.dimse.scp.store.fast_path import FastPath
from node.dimse.scp.store.lent_connection import LentConnection
from node.dimse.scp.store.loop import StoreLoop
from node.dimse.scp.store.message_reader import Arrival
from node.dimse.scp.store.requests import StoreAnswer, StoreRequest, stored
from node.dimse.upper_layer.access.permissions import NOT_AUTHORIZED, Caller, Peers, caller_of
from node.dimse.upper_layer.connection import PeerConnection
from node.storage.ingest.registration import alike_to_check
from node.storage.journal import Source
from node.storage.receive.instance_receiver import CANNOT_UNDERSTAND, Incoming, InstanceReceiver
from node.storage.spill import Spill

LARGEST_IN_MEMORY = 4 << 20  # bytes of a data set; larger ones come in through a file


@dataclass(slots=True)
class _Guest:
    """An association on the fast path."""

    association: Association
    title: str
    caller: Caller
    trail: Trail
    source: Source | None = None
    alike: HeaderTemplate = field(default_factory=alike_to_check)


class StoreService:
    """Storage as SCP (PS3.4 Annex B), on the fast path and on pynetdicom's own."""

    def __init__(
        self,
        receiver: InstanceReceiver,
        associations: Associations,
        peers: Peers,
        audit: Audit,
        awake: CpuLatency,
    ) -> None:
        self._audit = audit
        self._receiver = receiver
        self._associations = associations
        self._peers = peers
        self._buffers = BufferPool(LARGEST_IN_MEMORY)
        self._store_loop: StoreLoop[_Guest] = StoreLoop(
            self._serve_together, receiver.answered, awake
        )

    def start(self) -> None:
        """Open the hall."""
        self._store_loop.start()

    def stop(self) -> None:
        """Close it, when all associations have ended."""
        self._store_loop.close()

    def fast_path(
        self, association: Association, wire: PeerConnection, contexts: Mapping[int, str]
    ) -> FastPath[_Guest]:
        """The C-STORE requests of one association."""
        title = str(association.requestor.ae_title)
        guest = _Guest(association, title, caller_of(association), self._audit.trail(association))

        def begin_spill(request: StoreRequest) -> Spill:
            return self._receiver.spill(
                request.sop_class_uid,
                request.sop_instance_uid,
                request.transfer_syntax_uid,
                printable(guest.title),
            )

        def serve(arrival: Arrival) -> StoreAnswer:
            assert arrival.request is not None  # noqa: S101  it is whole
            with arrival.data_set() as view:
                return self.store(association, arrival.request, view, arrival.spill)

        arrival = Arrival(contexts, self._buffers, begin_spill)
        return FastPath(wire, arrival, serve, None if wire.secured else self._store_loop, guest)

    def _serve_together(
        self, visits: Sequence[LentConnection[_Guest]], meanwhile: Callable[[], None]
    ) -> list[bytes | None]:
        """The requests of several associations, as far as nothing is wrong with them."""
        taken: list[LentConnection[_Guest]] = []
        incoming: list[Incoming] = []
        for visit in visits:
            one = self._incoming(visit)
            if one is not None:
                taken.append(visit)
                incoming.append(one)
        answers: dict[LentConnection[_Guest], bytes] = {}

        def prepare() -> None:
            for visit in taken:
                if visit.arrival.request is not None:
                    answers[visit] = stored(visit.arrival.request)
            meanwhile()

        done = self._receiver.store_together(incoming, prepare)
        for visit, one, is_stored in zip(taken, incoming, done, strict=True):
            if is_stored:
                visit.guest.trail.stored(len(one.data_set))
            else:
                del answers[visit]
        return [answers.get(visit) for visit in visits]

    def _incoming(self, visit: LentConnection[_Guest]) -> Incoming | None:
        """None if it is not for everybody to wait for."""
        guest, request = visit.guest, visit.arrival.request
        if request is None or visit.arrival.spill or not self._peers.may(guest.caller, "store"):
            return None
        if guest.source is None:
            guest.source = self._associations.source(guest.association)
        return Incoming(
            sop_class_uid=request.sop_class_uid,
            sop_instance_uid=request.sop_instance_uid,
            transfer_syntax_uid=request.transfer_syntax_uid,
            data_set=visit.arrival.view(),
            source_ae=guest.title,
            source=guest.source,
            alike=guest.alike,
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
        """Make one instance durable, or say why not."""
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
            return StoreAnswer(NOT_AUTHORIZED, "store is not among what this caller may do")
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
