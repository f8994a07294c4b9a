"""C-MOVE and C-GET as SCU (PS3.4 C.4.2, C.4.3).

What a peer counts as done is not believed: it only says when it has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from node.core.query_keys import Level
from node.core.statuses import is_pending, shown
from node.dimse.scu.identifier import encode_identifier
from node.dimse.scu.query import PLAIN
from node.dimse.upper_layer.messages import (
    C_GET_RQ,
    C_MOVE_RQ,
    C_STORE_RQ,
    RESPONSE,
    Message,
    Value,
    number,
    text,
)
from node.dimse.upper_layer.pdus import Proposal
from node.dimse.upper_layer.requestor import (
    MOST_CONTEXTS,
    Destination,
    PeerSilent,
    Requestor,
    ServiceNotOffered,
)

MOVE: Final = (
    str(StudyRootQueryRetrieveInformationModelMove),
    str(PatientRootQueryRetrieveInformationModelMove),
)
GET: Final = (
    str(StudyRootQueryRetrieveInformationModelGet),
    str(PatientRootQueryRetrieveInformationModelGet),
)
_PATIENT_ROOTS: Final = (MOVE[1], GET[1])
SILENT_SECONDS: Final = 180.0
"""Without a response, and without anything that comes, for so long: the peer has forgotten us."""
_CANCEL_SECONDS: Final = 20.0  # for the peer to end after C-CANCEL
_LOOK_SECONDS: Final = 0.25
_GROWTH_SECONDS: Final = 5.0  # how often is looked whether something has come
_LARGEST: Final = 2 << 30  # bytes of an instance that comes by C-GET


class Wanted(NamedTuple):
    """What is to be retrieved: a level and its unique keys (PS3.4 C.4.2.1.4).

    Attributes:
        keys: keyword -> UID, at the level itself several, separated by backslashes.
        patient_id: for peers that know Patient Root alone.
    """

    level: Level
    keys: Mapping[str, str]
    patient_id: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a retrieve ended.

    Attributes:
        status: of the last response; None: it had none.
        comment: the peer's Error Comment.
        cancelled: we asked the peer to stop.
    """

    status: int | None
    comment: str = ""
    cancelled: bool = False

    def __str__(self) -> str:
        said = f"with {shown(self.status)}"
        return f"{said} ({self.comment})" if self.comment else said


class Received(NamedTuple):
    """An instance that a peer sends within a C-GET."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set: bytes


def move(
    destination: Destination,
    wanted: Wanted,
    *,
    to: str,
    stop: Callable[[], bool],
    held: Callable[[], int],
) -> Ended:
    """Have a peer send instances to an AE title.

    Args:
        destination: the peer.
        wanted: what it is to send.
        to: the AE title that it knows us by.
        stop: whether it is to be ended (C-CANCEL); asked several times a second.
        held: how many of the instances are here; as long as it grows, the peer is not silent.

    Raises:
        ServiceNotOffered: the peer does not offer C-MOVE.
        PeerSilent: it is away, rejects us, or is silent for too long.
    """
    with Requestor(destination, [Proposal(root, PLAIN) for root in MOVE]) as requestor:
        conversation = _Conversation(requestor, MOVE, wanted, stop, held)
        return conversation.run({"CommandField": C_MOVE_RQ, "MoveDestination": to})


def get(
    destination: Destination,
    wanted: Wanted,
    *,
    sop_classes: Sequence[str],
    syntaxes: Sequence[str],
    store: Callable[[Received], int],
    stop: Callable[[], bool],
) -> Ended:
    """Have a peer send instances on this very association.

    Args:
        destination: the peer.
        wanted: what it is to send.
        sop_classes: of the instances.
        syntaxes: transfer syntaxes in which they may come, the usual ones first; each has a
            presentation context of its own, as far as there is room, so that the peer can send
            every instance as it holds it.
        store: makes an instance durable; returns the status of its C-STORE response.
        stop: whether it is to be ended (C-CANCEL); asked several times a second.

    Raises:
        ServiceNotOffered: the peer does not offer C-GET.
        PeerSilent: it is away, rejects us, or is silent for too long.
    """
    proposals = [Proposal(root, PLAIN) for root in GET]
    room = (MOST_CONTEXTS - len(proposals)) // max(1, len(sop_classes))
    for sop_class in sop_classes:
        proposals += _storage_contexts(sop_class, syntaxes, room)
    with Requestor(destination, proposals, largest=_LARGEST) as requestor:
        conversation = _Conversation(requestor, GET, wanted, stop, lambda: 0, store)
        return conversation.run({"CommandField": C_GET_RQ})


def _storage_contexts(sop_class: str, syntaxes: Sequence[str], room: int) -> list[Proposal]:
    alone = syntaxes[: max(0, room - 1)]
    rest = tuple(syntaxes[len(alone) :])
    contexts = [Proposal(sop_class, (syntax,), scp=True) for syntax in alone]
    return contexts + ([Proposal(sop_class, rest, scp=True)] if rest and room else [])


class _Conversation:
    """One request and everything that comes until its last response."""

    def __init__(
        self,
        requestor: Requestor,
        roots: Sequence[str],
        wanted: Wanted,
        stop: Callable[[], bool],
        held: Callable[[], int],
        store: Callable[[Received], int] | None = None,
    ) -> None:
        self._requestor = requestor
        self._stop = stop
        self._held = held
        self._store = store
        accepted = [root for root in roots if requestor.contexts(root)]
        if not accepted:
            raise ServiceNotOffered(
                f"{requestor.destination} does not offer {'C-MOVE' if store is None else 'C-GET'}"
            )
        self._root = accepted[0]
        self._wanted = wanted
        self._cancelled_at: float | None = None
        self._known, self._looked = -1, time.monotonic()

    def run(self, command: Mapping[str, Value]) -> Ended:
        ((syntax, self._context),) = self._requestor.contexts(self._root).items()
        whole: dict[str, Value] = {
            **command,
            "AffectedSOPClassUID": self._root,
            "Priority": 0,
        }
        identifier = _identifier(self._wanted, syntax, patient_root=self._root in _PATIENT_ROOTS)
        self._message_id = self._requestor.request(self._context, whole, identifier)
        self._syntaxes = dict(self._requestor.accepted.contexts)
        while True:
            message = self._next()
            field = number(message.command, "CommandField")
            if field == C_STORE_RQ and self._store is not None:
                self._take(message)
            elif field in {C_MOVE_RQ | RESPONSE, C_GET_RQ | RESPONSE}:
                status = number(message.command, "Status")
                if not is_pending(status):
                    comment = text(message.command, "ErrorComment")
                    return Ended(status, comment, self._cancelled_at is not None)

    def _next(self) -> Message:
        """The next message; meanwhile it is seen whether somebody wants this to end."""
        heard = time.monotonic()
        while not self._requestor.ready(_LOOK_SECONDS):
            self._heed()
            now = time.monotonic()
            if self._cancelled_at is not None and now - self._cancelled_at > _CANCEL_SECONDS:
                raise PeerSilent(f"{self._requestor.destination} does not end after C-CANCEL")
            if self._has_grown():
                heard = now
            if now - heard > SILENT_SECONDS:
                raise PeerSilent(
                    f"timed-out: {self._requestor.destination} neither answers nor sends "
                    f"anything for {SILENT_SECONDS:.0f} s"
                )
        self._heed()
        self._has_grown()
        return self._requestor.receive()

    def _heed(self) -> None:
        """Tell the peer to stop, once, if somebody wants that."""
        if self._cancelled_at is None and self._stop():
            self._cancelled_at = time.monotonic()
            self._requestor.cancel(self._context, self._message_id)

    def _has_grown(self) -> bool:
        """Whether more is here than at the last look; it is looked every few seconds at most, as
        peers send a response for each instance."""
        now = time.monotonic()
        if now - self._looked < _GROWTH_SECONDS:
            return False
        before, self._known = self._known, self._held()
        self._looked = now
        return self._known != before

    def _take(self, message: Message) -> None:
        command = message.command
        received = Received(
            text(command, "AffectedSOPClassUID"),
            text(command, "AffectedSOPInstanceUID"),
            self._syntaxes.get(message.context_id, ""),
            message.data or b"",
        )
        status = self._store(received) if self._store is not None else 0
        self._requestor.respond(
            message,
            status,
            {
                "AffectedSOPClassUID": received.sop_class_uid,
                "AffectedSOPInstanceUID": received.sop_instance_uid,
            },
        )


def _identifier(wanted: Wanted, syntax: str, *, patient_root: bool) -> bytes:
    """The level and its unique keys, and nothing else (PS3.4 C.4.2.1.4)."""
    if not patient_root:
        return encode_identifier(wanted.level, wanted.keys, syntax)
    if not wanted.patient_id:
        raise PeerSilent(
            "the peer knows Patient Root alone, and the study has no PatientID to name"
        )
    keys = {"PatientID": wanted.patient_id, **wanted.keys}
    return encode_identifier(wanted.level, keys, syntax)
