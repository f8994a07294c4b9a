"""MPPS SCP (PS3.4 F.7) and Instance Availability Notification SCP (PS3.4 R.3).

Only the lists of instances are kept, as evidence of what belongs to a series.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from typing import Any, Final

from pydicom.dataset import Dataset
from pynetdicom.events import Event
from pynetdicom.sop_class import InstanceAvailabilityNotification, ModalityPerformedProcedureStep

from node.core.errors import InvalidUID, MalformedDataSet, NodeError, Permanent, Retryable
from node.core.records import checked_uid
from node.core.statuses import (
    DUPLICATE_INSTANCE,
    INVALID_ATTRIBUTE_VALUE,
    MISSING_ATTRIBUTE,
    NO_SUCH_INSTANCE,
    NOT_AUTHORIZED,
    PROCESSING_FAILURE,
    STEP_MAY_NOT_CHANGE,
    SUCCESS,
)
from node.dicom import Elements, scan
from node.dimse.log_fields import log_fields, printable
from node.dimse.upper_layer.access.permissions import Peers, caller_of, refusal
from node.storage.index.peers.announced import (
    Announced,
    StepEnded,
    StepExists,
    StepState,
    StepUnknown,
)

log = logging.getLogger(__name__)

PERFORMED_STEP: Final = str(ModalityPerformedProcedureStep)
AVAILABILITY: Final = str(InstanceAvailabilityNotification)

_STATUS: Final = 0x00400252
_PERFORMED_SERIES: Final = 0x00400340
_SERIES_UID: Final = 0x0020000E
_STUDY_UID: Final = 0x0020000D
_SCHEDULED_STEPS: Final = 0x00400270
_REFERENCED_IMAGES: Final = 0x00081140
_REFERENCED_OTHERS: Final = 0x00400220
_REFERENCED_SERIES: Final = 0x00081115
_REFERENCED_SOPS: Final = 0x00081199
_REFERENCED_INSTANCE: Final = 0x00081155

Answer = tuple[Dataset | int, Dataset | None]


class _Refused(Permanent):
    """A request that is answered with this status."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def create_handler(
    announced: Announced, peers: Peers, clock: Callable[[], float]
) -> Callable[[Event], Answer]:
    """The handler of pynetdicom's EVT_N_CREATE, for both SOP classes.

    Args:
        announced: keeps the lists.
        peers: says which callers may send them.
        clock: seconds since 1970, UTC.
    """

    def create(event: Event, peer: str) -> Answer:
        request = event.request
        given = request.AffectedSOPInstanceUID
        uid = checked_uid(str(given), "SOP Instance UID") if given else f"2.25.{uuid.uuid4().int}"
        elements = _elements(request.AttributeList, event)
        if request.AffectedSOPClassUID == AVAILABILITY:
            series = _lists(elements, _REFERENCED_SERIES, (_REFERENCED_SOPS,))
            announced.available(uid, peer, series, clock(), _study(elements))
        else:
            if _state(elements) is not StepState.IN_PROGRESS:
                raise _Refused(INVALID_ATTRIBUTE_VALUE, "a new step has to be IN PROGRESS")
            listed, studies = _performed(elements), _scheduled_studies(elements)
            announced.create_step(uid, peer, StepState.IN_PROGRESS, listed, clock(), studies)
        answer = Dataset()
        if not given:
            answer.AffectedSOPInstanceUID = uid
        return SUCCESS, answer

    return _guarded("N-CREATE", peers, create)


def set_handler(
    announced: Announced, peers: Peers, clock: Callable[[], float]
) -> Callable[[Event], Answer]:
    """The handler of pynetdicom's EVT_N_SET.

    Args:
        announced: keeps the lists.
        peers: says which callers may send them.
        clock: seconds since 1970, UTC.
    """

    def change(event: Event, _peer: str) -> Answer:
        request = event.request
        uid = checked_uid(str(request.RequestedSOPInstanceUID), "SOP Instance UID")
        elements = _elements(request.ModificationList, event)
        state = _state(elements) if _STATUS in elements else None
        series = _performed(elements) if _PERFORMED_SERIES in elements else None
        announced.update_step(uid, state, series, clock())
        return SUCCESS, None

    return _guarded("N-SET", peers, change)


def _guarded(
    name: str, peers: Peers, serve: Callable[[Event, str], Answer]
) -> Callable[[Event], Answer]:
    def handle(event: Event) -> Answer:
        peer = str(event.assoc.requestor.ae_title).strip()
        try:
            if not peers.may(caller_of(event.assoc), "store"):
                raise _Refused(NOT_AUTHORIZED, refusal("store"))
            return serve(event, peer)
        except NodeError as error:
            log.warning(
                "refused an %s of %r: %s",
                name,
                printable(peer),
                error,
                extra=log_fields(event.assoc),
            )
            return _status(error), None

    return handle


def _status(error: NodeError) -> Dataset:
    status = Dataset()
    status.Status = _status_of(error)
    status.ErrorComment = str(error)[:64]
    if isinstance(error, StepEnded):
        status.ErrorID = STEP_MAY_NOT_CHANGE
    return status


def _status_of(error: NodeError) -> int:
    if isinstance(error, _Refused):
        return error.status
    statuses: dict[type[NodeError], int] = {
        StepExists: DUPLICATE_INSTANCE,
        StepUnknown: NO_SUCH_INSTANCE,
        StepEnded: PROCESSING_FAILURE,
        InvalidUID: INVALID_ATTRIBUTE_VALUE,
        MalformedDataSet: INVALID_ATTRIBUTE_VALUE,
        Retryable: PROCESSING_FAILURE,
    }
    return next(
        (status for kind, status in statuses.items() if isinstance(error, kind)),
        PROCESSING_FAILURE,
    )


def _elements(attributes: Any, event: Event) -> Elements:
    if attributes is None:
        raise _Refused(MISSING_ATTRIBUTE, "the request has no attributes")
    return scan(attributes.getvalue(), str(event.context.transfer_syntax)).elements


def _state(elements: Elements) -> StepState:
    text = elements.text(_STATUS) or ""
    try:
        return StepState(text)
    except ValueError:
        known = ", ".join(StepState)
        raise _Refused(
            INVALID_ATTRIBUTE_VALUE, f"Performed Procedure Step Status is not one of {known}"
        ) from None


def _study(elements: Elements) -> str:
    uid = elements.uid(_STUDY_UID)
    return checked_uid(uid, "Study Instance UID") if uid else ""


def _scheduled_studies(elements: Elements) -> list[str]:
    """The studies that the scheduled steps of a performed step are of, each once."""
    found = [_study(item) for item in elements.items(_SCHEDULED_STEPS)]
    return [uid for uid in dict.fromkeys(found) if uid]


def _performed(elements: Elements) -> dict[str, list[str]]:
    return _lists(elements, _PERFORMED_SERIES, (_REFERENCED_IMAGES, _REFERENCED_OTHERS))


def _lists(elements: Elements, series: int, sequences: tuple[int, ...]) -> dict[str, list[str]]:
    """Read the lists of a sequence of series: Series Instance UID -> SOP Instance UIDs.

    Args:
        series: tag of the sequence.
        sequences: tags of the sequences of references in its items.
    """
    found: dict[str, list[str]] = {}
    for item in elements.items(series):
        uid = item.uid(_SERIES_UID)
        if uid is None:
            continue
        listed = found.setdefault(checked_uid(uid, "Series Instance UID"), [])
        for sequence in sequences:
            for reference in item.items(sequence):
                one = checked_uid(
                    reference.uid(_REFERENCED_INSTANCE) or "", "Referenced SOP Instance UID"
                )
                if one not in listed:
                    listed.append(one)
    return found
