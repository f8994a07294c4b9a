"""What C-FIND, C-GET and C-MOVE have in common: models, negotiation, refusals."""

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
from node.dicom.matching import IdentifierError, Model
from node.dimse.scp.associations import printable
from node.dimse.scp.message_observer import Cancellations
from node.dimse.scp.query.query_retrieve import Operation, PeerGone
from node.dimse.upper_layer.access.permissions import NOT_AUTHORIZED, Peers
from node.dimse.upper_layer.messages import Value

log = logging.getLogger(__name__)

SUCCESS: Final = 0x0000
OUT_OF_RESOURCES: Final = 0xA700  # PS3.4 Tables C.4-1 to C.4-3
UNABLE_TO_PROCESS: Final = 0xC000
CANCEL: Final = 0xFE00

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
empty values, multiple values (PS3.4 Table C.5-2): what is done if it is proposed."""
_RETRIEVE_EXTENSIONS: Final[Sequence[int]] = (1,)
"""Relational retrieval (PS3.4 Tables C.5-4, C.5-6)."""


def negotiate_extended(event: Event) -> dict[str, bytes]:
    """pynetdicom's EVT_SOP_EXTENDED: of each proposal what is supported, and nothing more."""
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
    """Run one operation, and answer what goes wrong with the status that the standard names.

    Args:
        answer: does it all; returns in a few words what came of it, for the log.
    """
    operation = Operation(event, cancellations)
    started = time.perf_counter()
    name = permission.upper()
    who = f"{printable(operation.calling_ae)!r} at {operation.address}"
    try:
        outcome = _answered(operation, peers, permission, answer)
    except PeerGone as error:
        outcome = str(error)
    log.info("C-%s of %s: %s, %.1f ms", name, who, outcome, 1000 * (time.perf_counter() - started))


def _answered(
    operation: Operation, peers: Peers, permission: Permission, answer: Callable[[Operation], str]
) -> str:
    if not peers.may(operation.caller, permission):
        comment = f"{permission} is not among what this caller may do"
        operation.respond(NOT_AUTHORIZED, {"ErrorComment": comment})
        return "not authorized (dicom.peers[].may)"
    try:
        return answer(operation)
    except IdentifierError as error:
        operation.respond(error.status, explained(error))
        return f"refused 0x{error.status:04X}: {error}"
    except PeerGone:
        raise
    except Retryable as error:
        operation.respond(OUT_OF_RESOURCES, {"ErrorComment": "out of resources, try later"})
        return f"out of resources: {error}"
    except Exception as error:  # noqa: BLE001  the peer has to hear something, and the log the rest
        log.error("C-%s failed: %s", permission.upper(), traced(error))
        operation.respond(UNABLE_TO_PROCESS, {"ErrorComment": "internal error, see the log"})
        return "failed"


def explained(error: IdentifierError) -> dict[str, Value]:
    """What a response says about a wrong identifier."""
    fields: dict[str, Value] = {"ErrorComment": str(error)}
    if error.offending is not None:
        fields["OffendingElement"] = (error.offending,)
    return fields
