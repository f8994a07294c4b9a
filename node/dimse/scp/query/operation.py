"""One C-FIND, C-GET or C-MOVE, served below pynetdicom's DIMSE layer.

pynetdicom makes objects of every response and queues it for another thread; for C-GET and C-MOVE it
encodes every data set again and decides on the final status itself. Here a handler gets the whole
operation: it writes encoded responses to the socket, and returns after the final one.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any
from weakref import WeakSet

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_FIND, C_GET, C_MOVE, C_STORE
from pynetdicom.events import Event
from pynetdicom.service_class import ServiceClass

from node.core.errors import Retryable
from node.dimse.scp.message_observer import Cancellations
from node.dimse.scu.payload import CannotSend
from node.dimse.upper_layer.access.permissions import caller_of
from node.dimse.upper_layer.messages import (
    C_FIND_RQ,
    C_GET_RQ,
    C_MOVE_RQ,
    C_STORE_RQ,
    DATA_SET,
    RESPONSE,
    Value,
    encode_command,
    encode_message,
    fragments,
)
from node.dimse.upper_layer.pynetdicom_internals import (
    is_open,
    next_message,
    queue_pdus,
    queued,
    serve_with,
    socket_of,
)

_EVENTS = {C_FIND: evt.EVT_C_FIND, C_GET: evt.EVT_C_GET, C_MOVE: evt.EVT_C_MOVE}
_COMMANDS = {C_FIND: C_FIND_RQ, C_GET: C_GET_RQ, C_MOVE: C_MOVE_RQ}
_STALLED_SECONDS = 60.0  # without progress, until a peer that reads nothing is given up
_READ_SECONDS = 0.02  # for the Upper Layer's thread to read what has arrived
_QUEUED = 64  # PDUs that may wait for the Upper Layer's thread, where only that may write


class PeerGone(Retryable):
    """The association ended, or the peer stopped reading, before the operation was complete."""


class Operation:
    """One C-FIND, C-GET or C-MOVE that is being served.

    Args:
        event: pynetdicom's, with the request.
        cancellations: remembers C-CANCELs.

    Attributes:
        association: that the request came on.
        calling_ae, address, caller: the peer.
        sop_class_uid, message_id: of the request.
        transfer_syntax_uid: of the identifiers.
        identifier: encoded; empty if there was none.
        destination: the Move Destination of a C-MOVE.
        negotiated: the answer to the extended negotiation of this SOP class; empty if none.
    """

    def __init__(self, event: Event, cancellations: Cancellations) -> None:
        request = event.request
        self.association: Association = event.assoc
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
        return int(self.association.requestor.maximum_length or 0)

    @property
    def alive(self) -> bool:
        """Whether the association is still open."""
        return is_open(self.association)

    @property
    def cancelled(self) -> bool:
        """Whether the peer has cancelled the operation; reads what has arrived first."""
        key = (self.association, self.message_id)
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
        """Wait for a C-CANCEL; whether the peer has cancelled the operation.

        Args:
            seconds: to wait at most.
        """
        raw = socket_of(self.association)
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

        Args:
            status: of the response.
            fields: further fields of its command set.
            identifier: encoded; None for none.

        Raises:
            PeerGone: it cannot be sent.
        """
        command = self._response(status) | dict(fields)
        self.write(encode_message(self._context_id, command, identifier, self.max_pdu))

    def pending(self, status: int) -> bytes:
        """The encoded command set of the pending responses with this status, for `stream`."""
        command = {**self._response(status), "CommandDataSetType": DATA_SET}
        encoded = encode_command(command)
        return b"".join(
            fragments(self._context_id, [encoded], len(encoded), self.max_pdu, command=True)
        )

    def stream(self, prepared: bytes, identifier: bytes) -> None:
        """Send a pending response.

        Args:
            prepared: its command set, from `pending`.
            identifier: encoded.

        Raises:
            PeerGone: it cannot be sent.
        """
        parts = fragments(self._context_id, [identifier], len(identifier), self.max_pdu)
        self.write(prepared + b"".join(parts))

    def store_contexts(self, sop_class_uid: str) -> dict[str, int]:
        """The contexts in which the peer accepts instances of a SOP class on this association.

        Returns:
            Transfer syntax -> context ID.

        Raises:
            CannotSend: the peer has not negotiated the SCP role for the SOP class, so that it can
                only send instances (PS3.4 C.5.3, PS3.7 D.3.3.4).
        """
        proposed = [
            context
            for context in self.association.accepted_contexts
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
        """Perform a C-STORE sub-operation on the association itself (C-GET).

        Args:
            context_id: of the presentation context.
            command: the command set, without Command Field and Message ID.
            pdus: the encoded data set.

        Returns:
            The status of the peer's response.

        Raises:
            PeerGone: the association ended, or the peer did not respond in time.
        """
        self._stored = self._stored % 0xFFFF + 1
        request = {**command, "CommandField": C_STORE_RQ, "MessageID": self._stored}
        encoded = encode_command({**request, "CommandDataSetType": DATA_SET})
        whole = fragments(context_id, [encoded], len(encoded), self.max_pdu, command=True)
        self.write(b"".join(whole))
        for part in pdus:
            self.write(part)
        while True:
            message = next_message(self.association)
            if message is None or not self.alive:
                raise PeerGone("the peer did not answer a C-STORE sub-operation")
            if isinstance(message, C_STORE) and message.MessageIDBeingRespondedTo == self._stored:
                return int(message.Status)

    def write(self, data: bytes) -> None:
        """Write PDUs to the peer.

        Raises:
            PeerGone: the association ended, or the peer stopped reading.
        """
        if not self.alive:
            raise PeerGone("the association has ended")
        raw = socket_of(self.association)
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
                        raise PeerGone("the peer stopped reading") from None
                    select.select([], [raw], [], 0.5)
        except (OSError, ValueError) as error:
            raise PeerGone(f"the connection was lost: {error}") from error

    def _queue(self, data: bytes) -> None:
        """Have the Upper Layer's thread write: a TLS socket may only be used by one thread."""
        while queued(self.association) > _QUEUED:
            if not self.alive:
                raise PeerGone("the association has ended")
            time.sleep(0.001)
        queue_pdus(self.association, data)

    def _readable(self) -> bool:
        raw = socket_of(self.association)
        if raw is None:
            return False
        with suppress(OSError, ValueError):
            return bool(select.select([raw], [], [], 0)[0])
        return False


class _OperationService(ServiceClass):  # type: ignore[misc]
    """Hands the whole operation to the handler that is bound to its event."""

    def SCP(self, req: Any, context: Any) -> None:  # noqa: N802 - pynetdicom calls it so
        """Serve one request."""
        event = _EVENTS.get(type(req))
        if event is None:
            raise ValueError(f"{type(req).__name__} is not a request of this SOP class")
        _busy.add(self.assoc)
        try:
            evt.trigger(self.assoc, event, {"request": req, "context": context.as_tuple})
        finally:
            _busy.discard(self.assoc)


def serve_operations(*sop_classes: str) -> None:
    """Have requests of these SOP classes served as operations. Once a process."""
    serve_with(_OperationService, frozenset(sop_classes))


def is_busy(association: Association) -> bool:
    """Whether an operation is being served on an association."""
    return association in _busy


_busy: WeakSet[Association] = WeakSet()
"""Associations on which an operation is being served: only its thread may write responses."""
