"""An association that a peer has opened: what it is doing, and when it has to end."""

from __future__ import annotations

import itertools
import logging
import os
import select
import socket
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from pynetdicom import AE
from pynetdicom.events import EventHandlerType

from node.dimse.log_fields import log_fields, printable
from node.dimse.upper_layer import limits
from node.dimse.upper_layer.access.permissions import Caller
from node.dimse.upper_layer.associate_request import AbortReason, abort
from node.dimse.upper_layer.connection import Address, ConnectionLost, PeerConnection
from node.dimse.upper_layer.message_service import MessageService, Outcome
from node.dimse.upper_layer.pdus import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    ASSOCIATE_RQ,
    DATA,
    HEADER,
    RELEASE_RP,
    RELEASE_RQ,
)
from node.dimse.upper_layer.pynetdicom_internals import (
    AWAITING_ANSWER,
    AWAITING_CLOSE,
    CHECK_SECONDS,
    CONNECTION_CLOSED,
    ESTABLISHED,
    INVALID_PDU,
    EventDrivenAssociation,
    UpperLayerThread,
)
from node.dimse.upper_layer.wake_up import WakeUp

log = logging.getLogger(__name__)

_LARGEST_PDU: Final = {
    ASSOCIATE_RQ: limits.ASSOCIATE_PDU,
    DATA: limits.MAXIMUM_PDU + limits.PDU_SLACK,
    **dict.fromkeys((ASSOCIATE_AC, ASSOCIATE_RJ, RELEASE_RQ, RELEASE_RP, ABORT), limits.SHORT_PDU),
}
"""Bytes of the PDUs that may arrive, by type; every other type is invalid."""

ServiceOf = Callable[["AcceptedAssociation", PeerConnection, Mapping[int, str]], MessageService]


class _UpperLayer(UpperLayerThread):
    """Reads and writes the connection; bounds what the peer may send.

    Attributes:
        broken: an error in the node ends the association, so that the peer gets an A-ABORT.
    """

    assoc: AcceptedAssociation

    def __init__(self, association: AcceptedAssociation) -> None:
        super().__init__(association)
        self._wake_up = WakeUp()
        self.broken = False
        self._message_size = 0
        self._poll = select.poll()
        self._poll.register(self._wake_up, select.POLLIN)
        self._watched = -1
        self._poll_wake_up = select.poll()
        self._poll_wake_up.register(self._wake_up, select.POLLIN)

    def wake(self) -> None:
        self._wake_up.wake()

    def failed(self, error: Exception) -> None:
        log.error(
            "the association of %s ended because of an error in its Upper Layer: %s",
            self.assoc.peer_name,
            place_of(error),
            extra=log_fields(self.assoc),
        )
        self.broken = True

    def finished(self) -> None:
        connection = self.socket.connection
        if self.broken:
            with suppress(ConnectionLost):
                connection.send(abort(AbortReason.NOT_SPECIFIED))
        connection.close()
        self._wake_up.close()

    def receive(self) -> None:
        state, connection = self.state_machine.current_state, self.socket
        if connection.socket is None:
            self.kill_dul()
        elif state == AWAITING_ANSWER:  # what the peer sends before it has the answer stays unread
            self._wait_for_wake_up()
        elif state == AWAITING_CLOSE:
            # The last PDU has been sent. Bytes that have arrived meanwhile are read, or TCP would
            # answer them with a reset, which would cost the peer that PDU.
            connection.connection.drain(limits.DRAINED)
            connection.close()
        elif state == ESTABLISHED and self.assoc.overdue:
            self.assoc.abort(block=False)
        elif connection.connection.pending or self._wait(connection.socket):
            self.note_activity()
            self._read(state)

    def _wait(self, connection: socket.socket) -> bool:
        """Wait until there are bytes to read; False if there is something else to do."""
        try:
            descriptor = connection.fileno()
            if descriptor != self._watched:
                self._poll.register(descriptor, select.POLLIN)
                self._watched = descriptor
            ready = self._poll.poll(CHECK_SECONDS * 1000)
        except (OSError, ValueError):  # another thread has closed it
            self.event_queue.put(CONNECTION_CLOSED)
            return False
        descriptors = [found for found, _ in ready]
        if descriptors and descriptors != [descriptor]:
            self._wake_up.clear()
        return descriptor in descriptors

    def _read(self, state: str) -> None:
        if state == ESTABLISHED and not self.assoc.serving and not self.assoc.waiting:
            outcome = self.assoc.store_service.run(self)
            if outcome is not Outcome.OTHER_MESSAGE:
                self._after(outcome)
                return
        self._read_pdu()

    def _after(self, outcome: Outcome) -> None:
        self.assoc.used = True
        if outcome is Outcome.PROTOCOL_ERROR:
            self.event_queue.put(INVALID_PDU)
        elif outcome is Outcome.CONNECTION_LOST:
            self.event_queue.put(CONNECTION_CLOSED)

    def may_continue(self) -> bool:
        return self.to_provider_queue.empty() and not self.stopping and not self.assoc.leaving

    def wait_for_request(self) -> bool:
        self.assoc.used = True
        self.note_activity()
        return self.may_continue() and self._wait(self.socket.socket)

    def wait_while_lent(self, *, served: bool) -> None:
        self.assoc.used = True
        if served:
            self.note_activity()
        self._wait_for_wake_up()

    def _wait_for_wake_up(self) -> None:
        if self._poll_wake_up.poll(CHECK_SECONDS * 1000):
            self._wake_up.clear()

    def _read_pdu(self) -> None:
        """Read one PDU, if its type may arrive and it is no larger than allowed."""
        connection = self.socket.connection
        try:
            header = connection.peek(HEADER)
            kind, length = header[0], int.from_bytes(header[2:HEADER], "big")
            if length > _LARGEST_PDU.get(kind, -1) or not self._fits(kind, length):
                self.event_queue.put(INVALID_PDU)
                return
            self.take_pdu(connection.take(HEADER + length))
        except ConnectionLost:
            self.event_queue.put(CONNECTION_CLOSED)
        except Exception as error:  # noqa: BLE001  pynetdicom's decoders raise errors of any kind
            log.warning(
                "%s sent a PDU that cannot be read (%s); the association is aborted",
                self.assoc.peer_name,
                type(error).__name__,
                extra=log_fields(self.assoc),
            )
            self.event_queue.put(INVALID_PDU)

    def _fits(self, kind: int, length: int) -> bool:
        """Whether a message with one more PDU is still as large as a message may be."""
        if kind != DATA:
            return True
        dimse = self.assoc.dimse
        self._message_size = length + (self._message_size if dimse.message is not None else 0)
        small = self._message_size <= limits.MESSAGE
        return small and dimse.msg_queue.qsize() < limits.WAITING_MESSAGES


@dataclass(frozen=True, slots=True)
class Acceptor:
    """What all associations of the node's port have in common (the acceptor, PS3.8 3.4.1).

    Attributes:
        ae: pynetdicom's application entity, with the contexts of every service but storage.
        address: of the port.
        handlers: of pynetdicom's events.
        service_of: makes what serves the C-STORE requests of an association; called with the
            association, its connection, and the transfer syntax of each accepted context for which
            the node is SCP.
        ended: called when an association has ended.
    """

    ae: AE
    address: Address
    handlers: Sequence[EventHandlerType]
    service_of: ServiceOf
    ended: Callable[[AcceptedAssociation], None]


class AcceptedAssociation(EventDrivenAssociation):
    """An association that a peer opens. It begins with `start`.

    Args:
        acceptor: the node's side.
        connection: whose first bytes are the whole A-ASSOCIATE-RQ.
        address: of the peer.
        caller: who it is.

    Attributes:
        number: names it in the log; no other association of the node has it.
        serving: its thread is serving a request.
        used: the peer has sent a request.
        leaving: it is to end as soon as no request is under way.

    Raises:
        OSError: the process has no descriptor left.
    """

    def __init__(
        self, acceptor: Acceptor, connection: PeerConnection, address: Address, caller: Caller
    ) -> None:
        super().__init__(acceptor.ae, acceptor.address, acceptor.handlers, _UpperLayer)
        self.number = f"{os.getpid()}-{next(_numbers)}"
        self.caller = caller
        self.serving = self.used = self.leaving = False
        self._acceptor = acceptor
        self._address = str(address[0])
        self._connection = connection
        self._since = time.monotonic()
        self.connect(connection, address)

    @property
    def peer_name(self) -> str:
        """AE title and address of the peer, for the log."""
        return f"{printable(self.caller.title)!r} at {self._address}"

    @cached_property
    def store_service(self) -> MessageService:
        """What serves its C-STORE requests, once contexts have been negotiated."""
        contexts = {
            int(context.context_id): str(context.transfer_syntax[0])
            for context in self.accepted_contexts
            if context.as_scp
        }
        return self._acceptor.service_of(self, self._connection, contexts)

    @property
    def waiting(self) -> bool:
        """Whether a message is being read by pynetdicom, or waits to be served."""
        return self.dimse.message is not None or not self.dimse.msg_queue.empty()

    @property
    def busy(self) -> bool:
        """Whether a message is being read or served, so that the association should not end."""
        service = self.__dict__.get("store_service")
        return self.serving or self.waiting or (service is not None and service.busy)

    @property
    def idle_seconds(self) -> float:
        """How long it has been open without any request; 0 if there was one."""
        return 0.0 if self.used or self.busy else time.monotonic() - self._since

    @property
    def overdue(self) -> bool:
        """Whether it has to end now."""
        return not self.busy and (self.leaving or self.idle_seconds > limits.UNUSED_SECONDS)

    def leave(self) -> None:
        """Abort as soon as no request is under way; returns at once."""
        self.leaving = True
        self.dul.wake()

    def cut(self) -> None:
        """Break the connection, whatever is under way."""
        self._connection.shut_down()

    def failed(self, error: Exception) -> None:
        log.error(
            "the association of %s is aborted because of an error in the node: %s",
            self.peer_name,
            place_of(error),
            extra=log_fields(self),
        )
        self.dul.broken = True

    def finished(self) -> None:
        self._acceptor.ended(self)

    def serve(self, message: Any, context_id: int) -> None:
        self.serving = self.used = True
        try:
            super().serve(message, context_id)
        finally:
            self.serving = False
            self.dul.wake()


_numbers = itertools.count(1)


def place_of(error: BaseException) -> str:
    """An error for the log: its kind and place, not its text, which may quote a data set."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {frame.name} ({Path(frame.filename).name}:{frame.lineno})"
