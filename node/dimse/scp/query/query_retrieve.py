"""What C-FIND, C-GET and C-MOVE have in common: models, negotiation, errors (PS3.4 Annex C)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pynetdicom.events import Event
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from node.core.errors import Retryable, traced
from node.core.settings.model import Permission
from node.core.statuses import NOT_AUTHORIZED, OUT_OF_RESOURCES, UNABLE_TO_PROCESS, shown
from node.dicom.matching import IdentifierError, Model
from node.dimse.log_fields import log_fields, printable
from node.dimse.scp.message_observer import Cancellations
from node.dimse.scp.query.operation import Operation, PeerGone
from node.dimse.upper_layer.access.permissions import Peers, refusal
from node.dimse.upper_layer.messages import Value

log = logging.getLogger(__name__)

FIND: Final[Mapping[str, Model]] = {
    str(PatientRootQueryRetrieveInformationModelFind): Model.PATIENT,
    str(StudyRootQueryRetrieveInformationModelFind): Model.STUDY,
}
GET: Final[Mapping[str, Model]] = {
    str(PatientRootQueryRetrieveInformationModelGet): Model.PATIENT,
    str(StudyRootQueryRetrieveInformationModelGet): Model.STUDY,
}
MOVE: Final[Mapping[str, Model]] = {
    str(PatientRootQueryRetrieveInformationModelMove): Model.PATIENT,
    str(StudyRootQueryRetrieveInformationModelMove): Model.STUDY,
}

_FIND_EXTENSIONS: Final[Sequence[int]] = (1, 1, 0, 0, 0, 1, 1)
"""Relational queries, combined date-time, fuzzy names, timezone adjustment, Query/Retrieve view,
empty values, multiple values (PS3.4 Table C.5-2): 1 for what is supported."""
_RETRIEVE_EXTENSIONS: Final[Sequence[int]] = (1,)
"""Relational retrieval (PS3.4 Tables C.5-4, C.5-6)."""


def negotiate_extended(event: Event) -> dict[str, bytes]:
    """Handle pynetdicom's EVT_SOP_EXTENDED: accept of each proposal what is supported."""
    answer = {}
    for uid, proposed in event.app_info.items():
        if uid in FIND:
            supported = _FIND_EXTENSIONS
        elif uid in GET or uid in MOVE:
            supported = _RETRIEVE_EXTENSIONS
        else:
            continue
        answer[uid] = bytes(
            int(wanted == 1 and can == 1) for wanted, can in zip(proposed, supported, strict=False)
        )
    return answer


def serve(
    event: Event,
    cancellations: Cancellations,
    peers: Peers,
    permission: Permission,
    answer: Callable[[Operation], str],
) -> None:
    """Serve one operation; an error is answered with the status that the standard has for it.

    Args:
        event: pynetdicom's, with the request.
        cancellations: remembers C-CANCELs.
        peers: says which callers may do it.
        permission: that the caller needs.
        answer: sends all responses; returns the result in a few words, for the log.
    """
    operation = Operation(event, cancellations)
    started = time.perf_counter()
    name = permission.upper()
    who = f"{printable(operation.calling_ae)!r} at {operation.address}"
    try:
        outcome = _answered(operation, peers, permission, answer)
    except PeerGone as error:
        outcome = str(error)
    log.info(
        "C-%s of %s: %s, %.1f ms",
        name,
        who,
        outcome,
        1000 * (time.perf_counter() - started),
        extra=log_fields(operation.association),
    )


def _answered(
    operation: Operation, peers: Peers, permission: Permission, answer: Callable[[Operation], str]
) -> str:
    if not peers.may(operation.caller, permission):
        operation.respond(NOT_AUTHORIZED, {"ErrorComment": refusal(permission)})
        return "refused: the caller is not authorized (dicom.peers[].may)"
    try:
        return answer(operation)
    except IdentifierError as error:
        operation.respond(error.status, explained(error))
        return f"refused with {shown(error.status)}: {error}"
    except PeerGone:
        raise
    except Retryable as error:
        operation.respond(OUT_OF_RESOURCES, {"ErrorComment": "out of resources, try again later"})
        return f"out of resources: {error}"
    except Exception as error:  # noqa: BLE001  the peer gets a status, the log the place
        log.error(
            "a C-%s of %r failed because of an error in the node: %s",
            permission.upper(),
            printable(operation.calling_ae),
            traced(error),
            extra=log_fields(operation.association),
        )
        operation.respond(UNABLE_TO_PROCESS, {"ErrorComment": "internal error, see the log"})
        return "failed"


def explained(error: IdentifierError) -> dict[str, Value]:
    """The fields of a response to a wrong identifier."""
    fields: dict[str, Value] = {"ErrorComment": str(error)}
    if error.offending is not None:
        fields["OffendingElement"] = (error.offending,)
    return fields
