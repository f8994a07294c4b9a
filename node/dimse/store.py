"""C-STORE: from the wire to the receiver and back. Nothing is decoded here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.events import Event

from node import metrics
from node.dimse.access import NOT_AUTHORIZED, Peers
from node.dimse.associations import Associations, printable
from node.dimse.audit import Audit
from node.dimse.fastpath import FastPath, StoreAnswer, StoreRequest
from node.dimse.intake import BufferedIntake, Buffers
from node.dimse.wire import Wire
from node.receive import CANNOT_UNDERSTAND, Incoming, Reception
from node.spill import Spill

LARGEST_IN_MEMORY = 4 << 20  # bytes of a data set; larger ones come in through a file


class StoreService:
    """Storage as SCP (PS3.4 Annex B), on the fast path and on pynetdicom's own."""

    def __init__(
        self, receiver: Reception, associations: Associations, peers: Peers, audit: Audit
    ) -> None:
        self._audit = audit
        self._receiver = receiver
        self._associations = associations
        self._peers = peers
        self._buffers = Buffers(LARGEST_IN_MEMORY)

    def fast_path(
        self, association: Association, wire: Wire, contexts: Mapping[int, str]
    ) -> FastPath[BufferedIntake]:
        """The C-STORE requests of one association."""
        source_ae = printable(association.requestor.ae_title)

        def open_intake(request: StoreRequest) -> BufferedIntake:
            def begin() -> Spill:
                return self._receiver.spill(
                    request.sop_class_uid,
                    request.sop_instance_uid,
                    request.transfer_syntax_uid,
                    source_ae,
                )

            return BufferedIntake(self._buffers, begin)

        def serve(request: StoreRequest, intake: BufferedIntake) -> StoreAnswer:
            spill = intake.spill
            with intake.view() if spill is None else spill.data_set() as view:
                return self.store(association, request, view, spill)

        return FastPath(wire, contexts, open_intake, serve)

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
        self._audit.stored(association, len(data_set), answer.status)
        return answer

    def _store(
        self,
        association: Association,
        request: StoreRequest,
        data_set: memoryview,
        spill: Spill | None,
    ) -> StoreAnswer:
        title = str(association.requestor.ae_title)
        if not self._peers.may(title, "store"):
            metrics.refused(NOT_AUTHORIZED)
            return StoreAnswer(NOT_AUTHORIZED, "store is not among what this AE title may do")
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
