"""Services served below pynetdicom's DIMSE layer. The only place of Query/Retrieve that touches
what pynetdicom does not promise to keep; made for pynetdicom 3.0.4.

pynetdicom turns every response into objects, queues it for another thread that polls, and, for
C-GET and C-MOVE, re-encodes every data set and decides on the final status itself. Here a handler
gets the whole operation: it writes encoded responses to the socket, and returns when the final
response has been sent.
"""

from __future__ import annotations

import logging
import select
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any
from weakref import WeakSet

from pynetdicom import association as pynetdicom_association
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_FIND, C_GET, C_MOVE, C_STORE
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.service_class import ServiceClass
from pynetdicom.sop_class import uid_to_service_class

from node.core.errors import Retryable
from node.dimse.scp.message_observer import Cancellations, Notifications
from node.dimse.scu.payload import CannotSend
from node.dimse.upper_layer.access.permissions import caller_of
from node.dimse.upper_layer.messages import (
    C_FIND_RQ,
    C_GET_RQ,
    C_MOVE_RQ,
    C_STORE_RQ,
    RESPONSE,
    Value,
    encode_command,
    encode_message,
    fragments,
)

log = logging.getLogger(__name__)

UNABLE_TO_PROCESS = 0xC000
_EVENTS = {C_FIND: evt.EVT_C_FIND, C_GET: evt.EVT_C_GET, C_MOVE: evt.EVT_C_MOVE}
_COMMANDS = {C_FIND: C_FIND_RQ, C_GET: C_GET_RQ, C_MOVE: C_MOVE_RQ}
_STALLED_SECONDS = 60.0  # a peer that takes nothing for so long has gone
_READ_SECONDS = 0.02  # for pynetdicom's reader to take what has come
_QUEUED = 64  # PDUs ahead of the writing thread where only that may write


class PeerGone(Retryable):
    """The association ended, or the peer takes no more data, in the middle of an operation."""


class OpenAssociation:
    """An association that a peer opened, to tell it something later if it still stands."""

    def __init__(self, event: Event, notifications: Notifications) -> None:
        self._association: Association = event.assoc
        self._context_id = int(event.context.context_id)
        self._notifications = notifications
        self.transfer_syntax_uid = str(event.context.transfer_syntax)

    @property
    def alive(self) -> bool:
        """Whether it still stands."""
        association = self._association
        return bool(association.is_established) and not association.acse.is_aborted()

    def notify(self, command: Mapping[str, Value], data: bytes, seconds: float) -> int:
        """Send an N-EVENT-REPORT through pynetdicom's own queue; the status of the answer.

        Raises:
            PeerGone: the association has ended, is busy, or nobody answers.
        """
        association = self._association
        if not self.alive:
            raise PeerGone("the association has ended")
        if association in _busy:
            raise PeerGone("the association is busy")
        largest = int(association.requestor.maximum_length or 0)
        with self._notifications.expected(association) as (message_id, answered):
            whole = {**command, "MessageID": message_id}
            _enqueue(association, encode_message(self._context_id, whole, data, largest))
            deadline = time.monotonic() + seconds
            while not answered and time.monotonic() < deadline:
                if not association.is_established:
                    break
                time.sleep(0.005)
        if not answered:
            raise PeerGone("the peer did not answer an N-EVENT-REPORT")
        return answered[0]


class Operation:
    """One C-FIND, C-GET or C-MOVE that is being served.

    Attributes:
        calling_ae, address, caller: who asks.
        sop_class_uid: of the request.
        transfer_syntax_uid: of the identifiers.
        identifier: encoded; empty if there was none.
        destination: AE title of a C-MOVE.
        negotiated: the answer to the extended negotiation of this SOP class, empty if none.
    """

    def __init__(self, event: Event, cancellations: Cancellations) -> None:
        request = event.request
        self._association: Association = event.assoc
        self._cancellations = cancellations
        self._context_id = int(event.context.context_id)
        self._response_field = _COMMANDS[type(request)] | RESPONSE
        self._stored = 0
        self.message_id = int(request.MessageID)
        self.calling_ae = str(event.assoc.requestor.ae_title).strip()
        self.caller = caller_of(event.assoc)
        self.address = str(event.assoc.requestor.address)
        self.sop_class_uid = str(request.AffectedSOPClassUID)
        self.transfer_syntax_uid = str(event.context.transfer_syntax)
        self.identifier: bytes = request.Identifier.getvalue() if request.Identifier else b""
        self.destination = str(getattr(request, "MoveDestination", "") or "").strip()
        extended = event.assoc.acceptor.sop_class_extended
        self.negotiated: bytes = extended.get(request.AffectedSOPClassUID, b"")

    @property
    def max_pdu(self) -> int:
        """The peer's maximum length (PS3.8 D.1)."""
        return int(self._association.requestor.maximum_length or 0)

    @property
    def alive(self) -> bool:
        """Whether the association still stands."""
        association = self._association
        return association.is_established and not association.acse.is_aborted()

    @property
    def cancelled(self) -> bool:
        """Whether the peer has cancelled the operation, what has just come included."""
        key = (self._association, self.message_id)
        if key in self._cancellations:
            return True
        deadline = 0.0
        while self._readable() and self.alive:
            now = time.monotonic()
            deadline = deadline or now + _READ_SECONDS
            if now > deadline:
                break
            time.sleep(0.0005)
        return key in self._cancellations

    def _response(self, status: int) -> dict[str, Value]:
        return {
            "AffectedSOPClassUID": self.sop_class_uid,
            "CommandField": self._response_field,
            "MessageIDBeingRespondedTo": self.message_id,
            "Status": status,
        }

    def listen(self, seconds: float) -> bool:
        """Give the peer a moment to cancel; whether it has."""
        raw = self._socket()
        if raw is not None:
            with suppress(OSError, ValueError):
                select.select([raw], [], [], seconds)
        return self.cancelled

    def respond(
        self,
        status: int,
        fields: Mapping[str, Value] = MappingProxyType({}),
        identifier: bytes | None = None,
    ) -> None:
        """Send a response.

        Raises:
            PeerGone: it cannot be sent.
        """
        command = self._response(status) | dict(fields)
        self.write(encode_message(self._context_id, command, identifier, self.max_pdu))

    def pending(self, status: int) -> bytes:
        """The command part of every pending response with an identifier, ready to be sent."""
        command = {**self._response(status), "CommandDataSetType": 0x0001}
        encoded = encode_command(command)
        return b"".join(
            fragments(self._context_id, [encoded], len(encoded), self.max_pdu, command=True)
        )

    def stream(self, prepared: bytes, identifier: bytes) -> None:
        """Send a prepared command and an identifier, in one go.

        Raises:
            PeerGone: it cannot be sent.
        """
        parts = fragments(self._context_id, [identifier], len(identifier), self.max_pdu)
        self.write(prepared + b"".join(parts))

    def store_contexts(self, sop_class_uid: str) -> dict[str, int]:
        """Transfer syntaxes in which the peer takes an instance on this association, by context.

        Raises:
            CannotSend: it only sends instances of the SOP class: that is the role of a requestor
                that does not negotiate the one of SCP (PS3.4 C.5.3, PS3.7 D.3.3.4).
        """
        proposed = [
            context
            for context in self._association.accepted_contexts
            if context.abstract_syntax == sop_class_uid
        ]
        if proposed and not any(context.as_scu for context in proposed):
            raise CannotSend("no SCP role was negotiated for its SOP class (PS3.7 D.3.3.4)")
        return {
            str(context.transfer_syntax[0]): int(context.context_id)
            for context in proposed
            if context.as_scu
        }

    def store(self, context_id: int, command: Mapping[str, Value], pdus: Iterator[bytes]) -> int:
        """One C-STORE sub-operation on the association itself (C-GET); its status.

        Raises:
            PeerGone: the peer went away or did not answer.
        """
        self._stored = self._stored % 0xFFFF + 1
        request = {**command, "CommandField": C_STORE_RQ, "MessageID": self._stored}
        encoded = encode_command({**request, "CommandDataSetType": 0x0001})
        whole = fragments(context_id, [encoded], len(encoded), self.max_pdu, command=True)
        self.write(b"".join(whole))
        for part in pdus:
            self.write(part)
        while True:
            _, message = self._association.dimse.get_msg(block=True)
            if message is None or not self.alive:
                raise PeerGone("the peer did not answer a C-STORE sub-operation")
            if isinstance(message, C_STORE) and message.MessageIDBeingRespondedTo == self._stored:
                return int(message.Status)

    def write(self, data: bytes) -> None:
        """Write PDUs to the peer.

        Raises:
            PeerGone: the association ended, or the peer takes nothing any more.
        """
        if not self.alive:
            raise PeerGone("the association has ended")
        raw = self._socket()
        if raw is None:
            raise PeerGone("the connection is closed")
        if isinstance(raw, ssl.SSLSocket):
            self._queue(data)
            return
        view = memoryview(data)
        deadline = time.monotonic() + _STALLED_SECONDS
        try:
            while view:
                try:
                    view = view[raw.send(view, socket.MSG_DONTWAIT) :]
                    deadline = time.monotonic() + _STALLED_SECONDS
                except BlockingIOError:
                    if not self.alive or time.monotonic() > deadline:
                        raise PeerGone("the peer takes no more data") from None
                    select.select([], [raw], [], 0.5)
        except (OSError, ValueError) as error:
            raise PeerGone(f"the connection broke: {error}") from error

    def _queue(self, data: bytes) -> None:
        """TLS has one state for both directions: only the thread that reads it may write it."""
        while self._association.dul.to_provider_queue.qsize() > _QUEUED:
            if not self.alive:
                raise PeerGone("the association has ended")
            time.sleep(0.001)
        _enqueue(self._association, data)

    def _socket(self) -> socket.socket | None:
        connection = self._association.dul.socket
        return connection.socket if connection else None

    def _readable(self) -> bool:
        raw = self._socket()
        if raw is None:
            return False
        with suppress(OSError, ValueError):
            return bool(select.select([raw], [], [], 0)[0])
        return False


class _Direct(ServiceClass):  # type: ignore[misc]
    """Hands the whole operation to the handler that is bound to its event."""

    def SCP(self, req: Any, context: Any) -> None:  # noqa: N802 - pynetdicom calls it so
        """Serve one request."""
        event = _EVENTS.get(type(req))
        if event is None:
            raise ValueError(f"{type(req).__name__} is no request of this SOP class")
        _busy.add(self.assoc)
        try:
            evt.trigger(self.assoc, event, {"request": req, "context": context.as_tuple})
        finally:
            _busy.discard(self.assoc)


def serve_directly(*sop_classes: str) -> None:
    """Have handlers of these SOP classes called with the whole operation. Once a process."""
    _served.update(sop_classes)
    pynetdicom_association.uid_to_service_class = _service_class


def _service_class(uid: str) -> type[ServiceClass]:
    return _Direct if str(uid) in _served else uid_to_service_class(uid)


def _enqueue(association: Association, data: bytes) -> None:
    for context_id, value in _values(data):
        primitive = P_DATA()
        primitive.presentation_data_value_list = [[context_id, value]]
        association.dul.to_provider_queue.put(primitive)


def _values(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset < len(data):
        length = int.from_bytes(data[offset + 6 : offset + 10], "big")
        yield data[offset + 10], data[offset + 11 : offset + 10 + length]
        offset += 10 + length


_served: set[str] = set()
_busy: WeakSet[Association] = WeakSet()
"""Associations with an operation whose responses do not go through pynetdicom's queue."""
