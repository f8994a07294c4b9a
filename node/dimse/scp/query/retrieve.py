"""C-GET and C-MOVE SCP (PS3.4 C.4.2, C.4.3): stored bytes go out, sub-operations are counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from pynetdicom.events import Event

from node.dicom.matching import Retrieve, read_retrieve
from node.dimse.scp.message_observer import Cancellations
from node.dimse.scp.query.identifiers import failed_instances
from node.dimse.scp.query.operations import CANCEL, GET, MOVE, SUCCESS, serve
from node.dimse.scp.query.query_retrieve import Operation, PeerGone
from node.dimse.scu.payload import CannotSend, Damaged, payload
from node.dimse.scu.store import StoreSCU
from node.dimse.upper_layer.access.permissions import Peers
from node.dimse.upper_layer.messages import C_STORE_RQ, Value, fragments
from node.dimse.upper_layer.requestor import Destination, PeerSilent
from node.storage.archive import Archive
from node.storage.index.search.search import Search, Sendable

log = logging.getLogger(__name__)

PENDING: Final = 0xFF00
UNABLE_TO_PERFORM: Final = 0xA702  # PS3.4 Tables C.4-2, C.4-3
DESTINATION_UNKNOWN: Final = 0xA801
SOME_FAILED: Final = 0xB000

_BATCH: Final = 100  # instances whose rows are read at once
_MOST: Final = 0xFFFF  # what the counts of a response can say
_WARNINGS: Final = frozenset({0x0001, 0x0107, 0x0116})  # PS3.7 Annex C

Send = Callable[[Sendable], int]
Met = Callable[[Sendable], None]
"""Told of each instance whose file is not what was received."""


@dataclass
class Suboperations:
    """The counts of an operation, and what failed.

    Attributes:
        remaining: not begun.
        failed: SOP Instance UIDs.
    """

    remaining: int
    completed: int = 0
    warning: int = 0
    failed: list[str] = field(default_factory=list)

    def ended(self, uid: str, status: int | None) -> None:
        """Count a sub-operation by the C-STORE status; None if it could not be performed."""
        self.remaining -= 1
        if status == SUCCESS:
            self.completed += 1
        elif status is not None and (status >> 12 == 0xB or status in _WARNINGS):
            self.warning += 1
        else:
            self.failed.append(uid)

    def fields(self, *, final: bool) -> dict[str, Value]:
        """The counts for a response; in the final one nothing remains (PS3.4 C.4.2.1.6)."""
        counts: dict[str, Value] = {
            "NumberOfCompletedSuboperations": min(self.completed, _MOST),
            "NumberOfFailedSuboperations": min(len(self.failed), _MOST),
            "NumberOfWarningSuboperations": min(self.warning, _MOST),
        }
        if not final:
            counts["NumberOfRemainingSuboperations"] = min(self.remaining, _MOST)
        return counts

    @property
    def status(self) -> int:
        """Of the final response, if it was not cancelled."""
        if not self.failed and not self.warning:
            return SUCCESS
        if not self.completed and not self.warning:
            return UNABLE_TO_PERFORM
        return SOME_FAILED

    def __str__(self) -> str:
        return (
            f"{self.completed} sent, {len(self.failed)} failed, {self.warning} with a warning, "
            f"{self.remaining} not begun"
        )


def get_handler(
    search: Search, archive: Archive, peers: Peers, cancellations: Cancellations, met: Met
) -> Callable[[Event], None]:
    """The handler of pynetdicom's EVT_C_GET."""

    def answer(operation: Operation) -> str:
        retrieve = _asked(operation, relational=bool(operation.negotiated[:1] == b"\x01"))
        rows = search.select(retrieve)

        def send(instance: Sendable) -> int:
            contexts = operation.store_contexts(instance.sop_class_uid)
            found = payload(archive, instance, contexts)
            pdus = fragments(found.context_id, found.chunks, found.length, operation.max_pdu)
            return operation.store(found.context_id, _request(instance), pdus)

        return _perform(operation, search, rows, send, met)

    def handle(event: Event) -> None:
        serve(event, cancellations, peers, "get", answer)

    return handle


def move_handler(
    search: Search,
    archive: Archive,
    peers: Peers,
    cancellations: Cancellations,
    destination_of: Callable[[str], Destination | None],
    met: Met,
) -> Callable[[Event], None]:
    """The handler of pynetdicom's EVT_C_MOVE.

    Args:
        destination_of: a configured peer by its AE title; None if there is none.
    """

    def answer(operation: Operation) -> str:
        destination = destination_of(operation.destination)
        if destination is None:
            comment = "no peer of this node has that AE title"
            operation.respond(DESTINATION_UNKNOWN, {"ErrorComment": comment})
            return "refused 0xA801: the destination is not among dicom.peers"
        retrieve = _asked(operation, relational=bool(operation.negotiated[:1] == b"\x01"))
        rows = search.select(retrieve)
        originator: dict[str, Value] = {
            "MoveOriginatorApplicationEntityTitle": operation.calling_ae,
            "MoveOriginatorMessageID": operation.message_id,
        }
        with StoreSCU(destination, search.kinds(retrieve)) as carrier:

            def send(instance: Sendable) -> int:
                return carrier.store(archive, instance, _request(instance) | originator)

            outcome = _perform(operation, search, rows, send, met)
        return f"to {destination.called_ae}: {outcome}"

    def handle(event: Event) -> None:
        serve(event, cancellations, peers, "move", answer)

    return handle


def _asked(operation: Operation, *, relational: bool) -> Retrieve:
    models = GET if operation.sop_class_uid in GET else MOVE
    return read_retrieve(
        operation.identifier,
        operation.transfer_syntax_uid,
        models[operation.sop_class_uid],
        relational=relational,
    )


def _request(instance: Sendable) -> dict[str, Value]:
    return {
        "CommandField": C_STORE_RQ,
        "AffectedSOPClassUID": instance.sop_class_uid,
        "AffectedSOPInstanceUID": instance.sop_instance_uid,
        "Priority": 0,
    }


def _perform(
    operation: Operation, search: Search, rows: Sequence[int], send: Send, met: Met
) -> str:
    """Send everything, one after the other, and report after each (PS3.4 C.4.2.3.1)."""
    counts = Suboperations(len(rows))
    reasons: dict[str, None] = {}
    for instance in _instances(search, rows, counts):
        if operation.cancelled:
            break
        status, reason = _sent(instance, send, met)
        counts.ended(instance.sop_instance_uid, status)
        if reason and reason not in reasons:  # once each, however many instances it is about
            reasons[reason] = None
            log.warning(
                "SOP Instance %s was not sent as it should be: %s",
                instance.sop_instance_uid,
                reason,
            )
        if counts.remaining:
            operation.respond(PENDING, counts.fields(final=False))
    cancelled = bool(counts.remaining) and operation.cancelled
    status = CANCEL if cancelled else counts.status
    identifier = None
    if counts.failed:
        identifier = failed_instances(counts.failed, operation.transfer_syntax_uid)
    fields = counts.fields(final=not cancelled)
    if status == UNABLE_TO_PERFORM:
        fields["ErrorComment"] = next(iter(reasons))
    operation.respond(status, fields, identifier)
    return f"{counts}{', cancelled' if cancelled else ''}"


def _instances(search: Search, rows: Sequence[int], counts: Suboperations) -> Iterator[Sendable]:
    for begin in range(0, len(rows), _BATCH):
        batch = rows[begin : begin + _BATCH]
        found = search.sendable(batch)
        counts.remaining -= len(batch) - len(found)  # deleted in the meantime
        yield from found


def _sent(instance: Sendable, send: Send, met: Met) -> tuple[int | None, str]:
    """The status of the peer's answer, None without one; and what was wrong."""
    try:
        status = send(instance)
    except PeerGone:
        raise
    except Damaged as error:
        met(instance)
        return None, f"not sent: {error}"
    except (CannotSend, PeerSilent) as error:
        return None, str(error)
    return status, "" if status == SUCCESS else f"C-STORE was answered with 0x{status:04X}"
