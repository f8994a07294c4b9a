"""C-GET and C-MOVE SCP (PS3.4 C.4.2, C.4.3): sends instances and counts the sub-operations."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from pynetdicom.events import Event

from node.core.statuses import (
    CANCEL,
    MOVE_DESTINATION_UNKNOWN,
    PENDING,
    SOME_SUBOPERATIONS_FAILED,
    SUCCESS,
    UNABLE_TO_PERFORM_SUBOPERATIONS,
    is_warning,
    shown,
)
from node.dicom.matching import Retrieve, read_retrieve
from node.dimse.log_fields import log_fields
from node.dimse.scp.message_observer import Cancellations
from node.dimse.scp.query.operation import Operation, PeerGone
from node.dimse.scp.query.query_retrieve import GET, MOVE, serve
from node.dimse.scp.query.response_identifiers import failed_instances
from node.dimse.scu.payload import CannotSend, Damaged, payload
from node.dimse.scu.store import StoreSCU
from node.dimse.upper_layer.access.permissions import Peers
from node.dimse.upper_layer.messages import C_STORE_RQ, Value, fragments
from node.dimse.upper_layer.requestor import Destination, PeerSilent
from node.storage.archive import Archive
from node.storage.index.search.search import Search, Sendable

log = logging.getLogger(__name__)

_BATCH: Final = 100  # instances whose rows are read at once
_MOST: Final = 0xFFFF  # the largest count that a response can have

Send = Callable[[Sendable], int]
DamageFound = Callable[[Sendable], None]
"""Called with each instance whose file is not what was received."""


@dataclass
class Suboperations:
    """The sub-operations of a C-GET or C-MOVE.

    Attributes:
        remaining: how many have not begun.
        completed, warning: how many ended so.
        failed: SOP Instance UIDs of those that failed.
    """

    remaining: int
    completed: int = 0
    warning: int = 0
    failed: list[str] = field(default_factory=list)

    def ended(self, uid: str, status: int | None) -> None:
        """Count a sub-operation that has ended.

        Args:
            uid: SOP Instance UID.
            status: of the C-STORE response; None without one.
        """
        self.remaining -= 1
        if status == SUCCESS:
            self.completed += 1
        elif status is not None and is_warning(status):
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
        """The status of the final response, if the operation was not cancelled."""
        if not self.failed and not self.warning:
            return SUCCESS
        if not self.completed and not self.warning:
            return UNABLE_TO_PERFORM_SUBOPERATIONS
        return SOME_SUBOPERATIONS_FAILED

    def __str__(self) -> str:
        return (
            f"{self.completed} sent, {len(self.failed)} failed, {self.warning} with a warning, "
            f"{self.remaining} not begun"
        )


def get_handler(
    search: Search,
    archive: Archive,
    peers: Peers,
    cancellations: Cancellations,
    damage_found: DamageFound,
) -> Callable[[Event], None]:
    """The handler of pynetdicom's EVT_C_GET.

    Args:
        search: in the index.
        archive: where the files are.
        peers: says which callers may retrieve.
        cancellations: remembers C-CANCELs.
        damage_found: called with each instance whose file is not what was received.
    """

    def answer(operation: Operation) -> str:
        retrieve = _read(operation, relational=bool(operation.negotiated[:1] == b"\x01"))
        rows = search.select(retrieve)

        def send(instance: Sendable) -> int:
            contexts = operation.store_contexts(instance.sop_class_uid)
            found = payload(archive, instance, contexts)
            pdus = fragments(found.context_id, found.chunks, found.length, operation.max_pdu)
            return operation.store(found.context_id, _request(instance), pdus)

        return _perform(operation, search, rows, send, damage_found)

    def handle(event: Event) -> None:
        serve(event, cancellations, peers, "get", answer)

    return handle


def move_handler(
    search: Search,
    archive: Archive,
    peers: Peers,
    cancellations: Cancellations,
    destination_of: Callable[[str], Destination | None],
    damage_found: DamageFound,
) -> Callable[[Event], None]:
    """The handler of pynetdicom's EVT_C_MOVE.

    Args:
        search: in the index.
        archive: where the files are.
        peers: says which callers may have instances moved.
        cancellations: remembers C-CANCELs.
        destination_of: returns the configured peer with an AE title; None if there is none.
        damage_found: called with each instance whose file is not what was received.
    """

    def answer(operation: Operation) -> str:
        destination = destination_of(operation.destination)
        if destination is None:
            comment = "no peer of this node has that AE title"
            operation.respond(MOVE_DESTINATION_UNKNOWN, {"ErrorComment": comment})
            return (
                f"refused with {shown(MOVE_DESTINATION_UNKNOWN)}: no peer of dicom.peers has the "
                "AE title of the Move Destination"
            )
        retrieve = _read(operation, relational=bool(operation.negotiated[:1] == b"\x01"))
        rows = search.select(retrieve)
        originator: dict[str, Value] = {
            "MoveOriginatorApplicationEntityTitle": operation.calling_ae,
            "MoveOriginatorMessageID": operation.message_id,
        }
        with StoreSCU(destination, search.kinds(retrieve)) as store_scu:

            def send(instance: Sendable) -> int:
                return store_scu.store(archive, instance, _request(instance) | originator)

            outcome = _perform(operation, search, rows, send, damage_found)
        return f"to {destination.called_ae}: {outcome}"

    def handle(event: Event) -> None:
        serve(event, cancellations, peers, "move", answer)

    return handle


def _read(operation: Operation, *, relational: bool) -> Retrieve:
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
    operation: Operation, search: Search, rows: Sequence[int], send: Send, damage_found: DamageFound
) -> str:
    """Send everything, one after the other, and report after each (PS3.4 C.4.2.3.1)."""
    counts = Suboperations(len(rows))
    reasons: dict[str, None] = {}
    for instance in _instances(search, rows, counts):
        if operation.cancelled:
            break
        status, reason = _sent(instance, send, damage_found)
        counts.ended(instance.sop_instance_uid, status)
        if reason and reason not in reasons:  # one line for each reason
            reasons[reason] = None
            log.warning(
                "SOP Instance %s was not stored at the peer: %s",
                instance.sop_instance_uid,
                reason,
                extra={**log_fields(operation.association), "instance": instance.sop_instance_uid},
            )
        if counts.remaining:
            operation.respond(PENDING, counts.fields(final=False))
    cancelled = bool(counts.remaining) and operation.cancelled
    status = CANCEL if cancelled else counts.status
    identifier = None
    if counts.failed:
        identifier = failed_instances(counts.failed, operation.transfer_syntax_uid)
    fields = counts.fields(final=not cancelled)
    if status == UNABLE_TO_PERFORM_SUBOPERATIONS:
        fields["ErrorComment"] = next(iter(reasons))
    operation.respond(status, fields, identifier)
    return f"{counts}{', cancelled' if cancelled else ''}"


def _instances(search: Search, rows: Sequence[int], counts: Suboperations) -> Iterator[Sendable]:
    for begin in range(0, len(rows), _BATCH):
        batch = rows[begin : begin + _BATCH]
        found = search.sendable(batch)
        counts.remaining -= len(batch) - len(found)  # deleted since the selection
        yield from found


def _sent(instance: Sendable, send: Send, damage_found: DamageFound) -> tuple[int | None, str]:
    """Send one instance: the status of the response, None without one, and what was wrong."""
    try:
        status = send(instance)
    except PeerGone:
        raise
    except Damaged as error:
        damage_found(instance)
        return None, f"its file is damaged: {error}"
    except (CannotSend, PeerSilent) as error:
        return None, str(error)
    return status, "" if status == SUCCESS else f"the peer answered C-STORE with {shown(status)}"
