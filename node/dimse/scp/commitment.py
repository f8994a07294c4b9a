"""Storage Commitment Push Model SCP (PS3.4 Annex J): takes requests, checks and reports later."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pynetdicom.events import Event
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from node.completion.facts import Source, Statement
from node.core.errors import InvalidUID, MalformedDataSet, Retryable, error_reference, traced
from node.core.statuses import (
    INVALID_ARGUMENT,
    NO_SUCH_ACTION,
    NO_SUCH_INSTANCE,
    NOT_AUTHORIZED,
    PROCESSING_FAILURE,
    SUCCESS,
    is_warning,
    shown,
)
from node.core.supervision import Loop
from node.dimse.log_fields import log_fields, printable
from node.dimse.scp.commitment_messages import (
    Reference,
    encode_report,
    failure_reason,
    read_request,
)
from node.dimse.scp.message_observer import Notifications
from node.dimse.scp.open_association import OpenAssociation
from node.dimse.scp.query.operation import PeerGone
from node.dimse.scu.query import PLAIN
from node.dimse.upper_layer.access.permissions import Peers, caller_of
from node.dimse.upper_layer.messages import N_EVENT_REPORT_RQ, Value, number
from node.dimse.upper_layer.pdus import Proposal
from node.dimse.upper_layer.requestor import Destination, PeerSilent, Requestor
from node.storage.archive import Archive
from node.storage.index.peers.commitments import Commitment, Commitments, Held
from node.storage.index.peers.statements import Statements
from node.storage.index.search.search import Sendable

log = logging.getLogger(__name__)

SOP_CLASS: Final = str(StorageCommitmentPushModel)
SOP_INSTANCE: Final = str(StorageCommitmentPushModelInstance)

_REQUEST_COMMITMENT: Final = 1  # Action Type ID (PS3.4 Table J.3-1)
_ALL_COMMITTED: Final = 1  # Event Type IDs (PS3.4 Table J.3-2)
_FAILURES_EXIST: Final = 2

_AFTER_RESPONSE_SECONDS: Final = 0.05  # so that the N-ACTION's response goes first
_SAME_ASSOCIATION_SECONDS: Final = 10.0  # for the answer, before a new association is tried
_BACK_OFF: Final = (5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
_CHECK_SECONDS: Final = 2.0  # how often requests that another process left are looked for
_GIVE_UP_SECONDS: Final = 7 * 86400.0
_REPORT_SECONDS: Final = 120.0  # that one report may take: reading the archived files, and the peer


class CommitmentReporter:
    """Checks the instances that peers want committed, and sends the reports, in its own thread.

    The queue is in the index, so that a restart loses no request; after a restart a report goes
    out on a new association.

    Args:
        commitments: the queue.
        statements: gets the lists of instances, as evidence of what belongs to a series.
        archive: where the instances are.
        destination_of: returns the configured peer with an AE title; None if there is none.
        ae_title: of the node, as Retrieve AE Title.
        clock: seconds since 1970, UTC.
        damage_found: called with each instance whose file is not what was received.
    """

    def __init__(
        self,
        commitments: Commitments,
        statements: Statements,
        archive: Archive,
        destination_of: Callable[[str], Destination | None],
        *,
        ae_title: str,
        clock: Callable[[], float],
        damage_found: Callable[[Sendable], None],
    ) -> None:
        self._commitments = commitments
        self._statements = statements
        self._archive = archive
        self._destination_of = destination_of
        self._ae_title = ae_title
        self._clock = clock
        self._damage_found = damage_found
        self._open: dict[tuple[str, str], OpenAssociation] = {}
        self._lock = threading.Lock()
        self._loop = Loop("storage commitment", self._step)

    def start(self) -> None:
        """Begin to report, also on requests of an earlier run."""
        self._loop.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Stop after the current report.

        Args:
            timeout: seconds to wait for it.
        """
        self._loop.stop(timeout)

    def requested(
        self,
        peer: str,
        transaction_uid: str,
        instances: list[Reference],
        association: OpenAssociation,
    ) -> None:
        """Take a request.

        Args:
            peer: its AE title.
            transaction_uid: of the request.
            instances: to be committed.
            association: on which the request was sent.

        Raises:
            Retryable: the index cannot keep the request.
        """
        with self._lock:
            closed = [key for key, one in self._open.items() if not one.alive]
            for key in closed:
                del self._open[key]
            self._open[peer, transaction_uid] = association
        due = self._clock() + _AFTER_RESPONSE_SECONDS
        self._commitments.add(peer, transaction_uid, instances, due)
        self._loop.wake()

    def _step(self) -> float:
        due, now = self._commitments.next_due(), self._clock()
        if due is None:
            return _CHECK_SECONDS
        commitment = self._commitments.claim(now) if due <= now else None
        if commitment is None:  # it is too soon, or another receiver was faster
            return min(_CHECK_SECONDS, max(0.01, due - now))
        with self._loop.heartbeat.patience(_REPORT_SECONDS):
            self._guarded_serve(commitment)
        return 0.0

    def _guarded_serve(self, commitment: Commitment) -> None:
        """Serve one request; an error postpones it and does not stop the others."""
        try:
            self._serve(commitment)
        except Retryable:
            raise
        except Exception as error:  # noqa: BLE001  the peer waits for the report: it is tried again
            place = error_reference(error)
            log.error(
                "the storage commitment report to %r failed because of an error in the node "
                "(reference %s): %s",
                printable(commitment.peer),
                place,
                traced(error),
                extra={"peer": printable(commitment.peer)},
            )
            self._postpone(commitment, f"internal error: {type(error).__name__}, reference {place}")

    def _serve(self, commitment: Commitment) -> None:
        with self._lock:
            association = self._open.pop((commitment.peer, commitment.transaction_uid), None)
        uids = [uid for _, uid in commitment.instances]
        held = self._commitments.held(uids)
        self._note_evidence(commitment, held)
        committed: list[Reference] = []
        failed: list[tuple[Reference, int]] = []
        for reference in commitment.instances:
            reason = failure_reason(
                self._archive, held.get(reference[1], ()), reference, self._damage_found
            )
            if reason is None:
                committed.append(reference)
            else:
                failed.append((reference, reason))
        try:
            self._report(commitment, committed, failed, association)
        except (PeerSilent, PeerGone) as error:
            self._postpone(commitment, str(error))
            return
        log.info(
            "reported storage commitment to %r: %d committed, %d failed, attempt %d",
            printable(commitment.peer),
            len(committed),
            len(failed),
            commitment.attempts,
            extra={"peer": printable(commitment.peer)},
        )
        self._commitments.close(commitment)

    def _note_evidence(self, commitment: Commitment, held: Mapping[str, Sequence[Held]]) -> None:
        """Keep the list of the sender's instances as evidence of what belongs to each series.

        If an instance is missing, its series is unknown, so that the list proves nothing.
        """
        if commitment.attempts > 1 or len(held) < len(commitment.instances):
            return
        series: dict[str, set[str]] = {}
        for uid, copies in held.items():
            for one in copies:
                series.setdefault(one.series_uid, set()).add(uid)
        for series_uid, uids in series.items():
            statement = Statement(
                Source.COMMITMENT, commitment.peer, self._clock(), uids=frozenset(uids)
            )
            self._statements.add(series_uid, statement, commitment.transaction_uid)

    def _report(
        self,
        commitment: Commitment,
        committed: list[Reference],
        failed: list[tuple[Reference, int]],
        association: OpenAssociation | None,
    ) -> None:
        command: dict[str, Value] = {
            "AffectedSOPClassUID": SOP_CLASS,
            "AffectedSOPInstanceUID": SOP_INSTANCE,
            "CommandField": N_EVENT_REPORT_RQ,
            "EventTypeID": _FAILURES_EXIST if failed else _ALL_COMMITTED,
        }

        def report(transfer_syntax_uid: str) -> bytes:
            transaction = commitment.transaction_uid
            return encode_report(
                transfer_syntax_uid, transaction, self._ae_title, committed, failed
            )

        if association is not None:
            try:
                data = report(association.transfer_syntax_uid)
                _check_answer(association.notify(command, data, _SAME_ASSOCIATION_SECONDS))
                return
            except (PeerGone, PeerSilent) as error:
                log.debug("the storage commitment report needs a new association: %s", error)
        destination = self._destination_of(commitment.peer)
        if destination is None:
            raise PeerSilent(
                "dicom.peers has no peer with its AE title, so that no association can be opened"
            )
        with Requestor(destination, [Proposal(SOP_CLASS, PLAIN, scp=True)]) as requestor:
            ((syntax, context),) = requestor.contexts(SOP_CLASS).items()
            message_id = requestor.request(context, command, report(syntax))
            _check_answer(number(requestor.response(message_id).command, "Status"))

    def _postpone(self, commitment: Commitment, error: str) -> None:
        now, peer = self._clock(), printable(commitment.peer)
        if now - commitment.requested_at > _GIVE_UP_SECONDS:
            log.error(
                "gave up reporting storage commitment to %r after 7 days: %s",
                peer,
                error,
                extra={"peer": peer},
            )
            self._commitments.close(commitment)
            return
        wait = _BACK_OFF[min(commitment.attempts, len(_BACK_OFF)) - 1]
        log.warning(
            "could not report storage commitment to %r, trying again in %.0f s: %s",
            peer,
            wait,
            error,
            extra={"peer": peer},
        )
        self._commitments.postpone(commitment, now + wait, error)


def action_handler(
    reporter: CommitmentReporter, peers: Peers, notifications: Notifications
) -> Callable[[Event], tuple[int, None]]:
    """The handler of pynetdicom's EVT_N_ACTION.

    Args:
        reporter: takes the requests.
        peers: says which callers may request.
        notifications: sees the answers to reports on the same association.
    """

    def handle(event: Event) -> tuple[int, None]:
        request = event.request
        peer = str(event.assoc.requestor.ae_title).strip()
        if not peers.may(caller_of(event.assoc), "commit"):
            return NOT_AUTHORIZED, None
        if str(request.RequestedSOPInstanceUID) != SOP_INSTANCE:
            return NO_SUCH_INSTANCE, None
        if request.ActionTypeID != _REQUEST_COMMITMENT:
            return NO_SUCH_ACTION, None
        data = request.ActionInformation
        try:
            syntax = str(event.context.transfer_syntax)
            transaction, instances = read_request(data.getvalue() if data else b"", syntax)
            reporter.requested(peer, transaction, instances, OpenAssociation(event, notifications))
        except (MalformedDataSet, InvalidUID) as error:
            log.warning(
                "refused a storage commitment request of %r: %s",
                printable(peer),
                error,
                extra=log_fields(event.assoc),
            )
            return INVALID_ARGUMENT, None
        except Retryable as error:
            log.error(
                "could not keep a storage commitment request of %r, it may try again: %s",
                printable(peer),
                error,
                extra=log_fields(event.assoc),
            )
            return PROCESSING_FAILURE, None
        return SUCCESS, None

    return handle


def _check_answer(status: int | None) -> None:
    """See that the peer took a report.

    Raises:
        PeerSilent: it answered with a failure, or without a status.
    """
    if status is None or (status != SUCCESS and not is_warning(status)):
        raise PeerSilent(f"the peer answered the report with {shown(status)}")
