"""C-STORE: from the wire to the receiver and back. Nothing is decoded here."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pydicom.dataset import Dataset
from pynetdicom.events import Event

from node.dimse.associations import Associations, printable
from node.errors import Retryable
from node.receive import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, Incoming, Receiver

log = logging.getLogger(__name__)


def store_handler(receiver: Receiver, associations: Associations) -> Callable[[Event], Dataset]:
    """The handler of pynetdicom's EVT_C_STORE."""

    def handle(event: Event) -> Dataset:
        with associations.serving(event.assoc):
            return _store(event, receiver, associations)

    return handle


def _store(event: Event, receiver: Receiver, associations: Associations) -> Dataset:
    request = event.request
    data_set = request.DataSet
    if data_set is None:
        return _response(CANNOT_UNDERSTAND, "the request has no data set")
    try:
        association = associations.row(event.assoc)
    except Retryable as error:
        log.error("cannot store: %s", error)
        return _response(OUT_OF_RESOURCES, "out of resources, try again later")
    outcome = receiver.store(
        Incoming(
            sop_class_uid=str(request.AffectedSOPClassUID or ""),
            sop_instance_uid=str(request.AffectedSOPInstanceUID or ""),
            transfer_syntax_uid=str(event.context.transfer_syntax),
            data_set=data_set.getbuffer(),
            source_ae=printable(event.assoc.requestor.ae_title),
            association=association,
        )
    )
    return _response(outcome.status, outcome.comment)


def _response(status: int, comment: str = "") -> Dataset:
    response = Dataset()
    response.Status = status
    if comment:
        response.ErrorComment = comment[:64]  # LO (PS3.7 C.1)
    return response
