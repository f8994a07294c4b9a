"""Storage Commitment Push Model SCP (PS3.4 Annex J): asked now, checked and reported later."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pynetdicom.events import Event
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from node.completion.facts import Source, Statement
from node.core.errors import InvalidUID, MalformedDataSet, Retryable, error_reference, traced
from node.core.supervision import Loop
from node.dimse.scp.associations import printable
from node.dimse.scp.commitment_messages import (
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
    Reference,
    asked,
    encode_report,
    failure,
)
from node.dimse.scp.message_observer import Notifications
from node.dimse.scp.query.query_retrieve import OpenAssociation, PeerGone
from node.dimse.scu.requests import PLAIN
from node.dimse.upper_layer.access.permissions import NOT_AUTHORIZED, Peers, caller_of
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

SUCCESS: Final = 0x0000  # PS3.7 Annex C
INVALID_ARGUMENT: Final = 0x0115
NO_SUCH_ACTION: Final = 0x0123

_REQUEST_COMMITMENT: Final = 1  # Action Type ID (PS3.4 Table J.3-1)
_ALL_COMMITTED: Final = 1  # Event Type IDs (PS3.4 Table J.3-2)
_FAILURES_EXIST: Final = 2

_AFTER_RESPONSE_SECONDS: Final = 0.05  # so that the N-ACTION's response goes first
_SAME_ASSOCIATION_SECONDS: Final = 10.0  # for the answer, before a new association is tried
_BACK_OFF: Final = (5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
_LOOK_SECONDS: Final = 2.0  # for what a process left behind that is no more
_GIVE_UP_SECONDS: Final = 7 * 86400.0
_REPORT_SECONDS: Final = 120.0  # that one report may take: reading what was received, and the peer


class CommitmentReporter:
    """Checks what peers want committed, and tells them, in a thread of its own.

    The queue is in the index: a restart forgets nothing, only that the peer could have been told
    on the association that it asked on.

    Args:
        destination_of: a configured peer by its AE title; None if there is none.
        clock: seconds since 1970, UTC.
        met: told of each instance whose file is not what was received.
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
        met: Callable[[Sendable], None],
    ) -> None:
        self._commitments = commitments
        self._statements = statements
        self._archive = archive
        self._destination_of = destination_of
        self._ae_title = ae_title
        self._clock = clock
        self._met = met
        self._open: dict[tuple[str, str], OpenAssociation] = {}
        self._lock = threading.Lock()
        self._loop = Loop("storage commitment", self._step)

    def start(self) -> None:
        """Begin to report, what an earlier run left over included."""
        self._loop.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Stop after the report at hand."""
        self._loop.stop(timeout)

    def requested(
        self, peer: str, transaction_uid: str, instances: list[Reference], back: OpenAssociation
    ) -> None:
        """Take a request.

        Args:
            back: where the peer asked.

        Raises:
            Retryable: it cannot be kept.
        """
        with self._lock:
            gone = [key for key, association in self._open.items() if not association.alive]
            for key in gone:
                del self._open[key]
            self._open[peer, transaction_uid] = back
        due = self._clock() + _AFTER_RESPONSE_SECONDS
        self._commitments.add(peer, transaction_uid, instances, due)
        self._loop.wake()

    def _step(self) -> float:
        commitment = self._commitments.claim(self._clock())
        if commitment is not None:
            with self._loop.heartbeat.patience(_REPORT_SECONDS):
                self._guarded_serve(commitment)
            return 0.0
        due = self._commitments.next_due()
        return _LOOK_SECONDS if due is None else min(_LOOK_SECONDS, max(0.01, due - self._clock()))

    def _guarded_serve(self, commitment: Commitment) -> None:
        """A request that cannot be served must not stop the others."""
        try:
            self._serve(commitment)
        except Retryable:
            raise
        except Exception as error:  # noqa: BLE001  it is owed to the peer: tried again
            place = error_reference(error)
            log.error("a storage commitment report failed (reference %s): %s", place, traced(error))
            self._later(commitment, f"internal error: {type(error).__name__}, reference {place}")

    def _serve(self, commitment: Commitment) -> None:
        with self._lock:
            back = self._open.pop((commitment.peer, commitment.transaction_uid), None)
        uids = [uid for _, uid in commitment.instances]
        held = self._commitments.held(uids)
        self._note(commitment, held)
        committed: list[Reference] = []
        failed: list[tuple[Reference, int]] = []
        for reference in commitment.instances:
            reason = failure(self._archive, held.get(reference[1], ()), reference, self._met)
            if reason is None:
                committed.append(reference)
            else:
                failed.append((reference, reason))
        try:
            self._tell(commitment, committed, failed, back)
        except (PeerSilent, PeerGone) as error:
            self._later(commitment, str(error))
            return
        log.info(
            "storage commitment for %r: %d committed, %d failed, reported at attempt %d",
            printable(commitment.peer),
            len(committed),
            len(failed),
            commitment.attempts,
        )
        self._commitments.close(commitment)

    def _note(self, commitment: Commitment, held: Mapping[str, Sequence[Held]]) -> None:
        """A list of what the sender sent is evidence of what the series have.

        With a reference that is not here, nobody knows which series is the incomplete one.
        """
        if commitment.attempts > 1 or len(held) < len(commitment.instances):
            return
        series: dict[str, set[str]] = {}
        for uid, copies in held.items():
            for one in copies:
                series.setdefault(one.series_uid, set()).add(uid)
        for series_uid, uids in series.items():
            said = Statement(
                Source.COMMITMENT, commitment.peer, self._clock(), uids=frozenset(uids)
            )
            self._statements.add(series_uid, said, commitment.transaction_uid)

    def _tell(
        self,
        commitment: Commitment,
        committed: list[Reference],
        failed: list[tuple[Reference, int]],
        back: OpenAssociation | None,
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

        if back is not None:
            try:
                data = report(back.transfer_syntax_uid)
                _accept(back.notify(command, data, _SAME_ASSOCIATION_SECONDS))
                return
            except (PeerGone, PeerSilent) as error:
                log.debug("storage commitment needs an association of its own: %s", error)
        destination = self._destination_of(commitment.peer)
        if destination is None:
            raise PeerSilent("dicom.peers has no peer with that AE title to report to")
        with Requestor(destination, [Proposal(SOP_CLASS, PLAIN, scp=True)]) as requestor:
            ((syntax, context),) = requestor.contexts(SOP_CLASS).items()
            message_id = requestor.request(context, command, report(syntax))
            _accept(number(requestor.response(message_id).command, "Status"))

    def _later(self, commitment: Commitment, error: str) -> None:
        now = self._clock()
        if now - commitment.requested_at > _GIVE_UP_SECONDS:
            log.error("storage commitment was never reported to %r: %s", commitment.peer, error)
            self._commitments.close(commitment)
            return
        wait = _BACK_OFF[min(commitment.attempts, len(_BACK_OFF)) - 1]
        log.warning("storage commitment not reported, again in %.0f s: %s", wait, error)
        self._commitments.postpone(commitment, now + wait, error)


def action_handler(
    reporter: CommitmentReporter, peers: Peers, notifications: Notifications
) -> Callable[[Event], tuple[int, None]]:
    """The handler of pynetdicom's EVT_N_ACTION."""

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
            transaction, instances = asked(data.getvalue() if data else b"", syntax)
            reporter.requested(peer, transaction, instances, OpenAssociation(event, notifications))
        except (MalformedDataSet, InvalidUID) as error:
            log.warning("storage commitment refused for %r: %s", printable(peer), error)
            return INVALID_ARGUMENT, None
        except Retryable as error:
            log.error("storage commitment refused for %r: %s", printable(peer), error)
            return PROCESSING_FAILURE, None
        return SUCCESS, None

    return handle


def _accept(status: int | None) -> None:
    """Anything but a failure: the peer knows now."""
    if status is None or (status != SUCCESS and status >> 12 != 0xB):
        said = "nothing" if status is None else f"0x{status:04X}"
        raise PeerSilent(f"the peer answered the report with {said}")
