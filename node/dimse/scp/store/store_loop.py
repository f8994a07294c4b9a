"""One thread that serves the C-STORE requests of all associations of a process.

Requests that are complete at the same time are made durable together, with one write and one sync,
and then answered, so that associations wait neither for each other nor for a slow peer. A request
that would delay the others is returned to the thread of its association.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Generic

from node.core.errors import traced
from node.core.supervision import Loop
from node.dimse.scp.store.lent_connection import AssociationT, LentConnection, ReturnReason
from node.dimse.scp.store.message_reader import ProtocolError, Stage
from node.dimse.upper_layer.connection import PDU_SECONDS, ConnectionLost, TooSlow
from node.dimse.upper_layer.messages import MalformedMessage
from node.dimse.upper_layer.wake_up import WakeUp

log = logging.getLogger(__name__)

_CHECK_SECONDS: Final = 1.0  # how often deadlines are checked
_OVERLAP_SECONDS: Final = 0.0003  # for receiving from others while the disk writes
_CLOSE_SECONDS: Final = 5.0

Events = Sequence[tuple[int, int]]
Serve = Callable[
    [Sequence[LentConnection[AssociationT]], Callable[[], None]], Sequence[bytes | None]
]
"""Makes requests durable. Gets the connections that have a complete request, and a function to call
while the disk writes. Returns for each connection the encoded response; None if the thread of the
association has to serve the request. May wait for the disk and for nothing else."""


class StoreLoop(Generic[AssociationT]):
    """Serves the connections of peers that send C-STORE requests, and nothing else.

    Args:
        serve: makes the requests durable.
        answered: called after responses have been sent.
    """

    def __init__(
        self, serve: Serve[AssociationT], answered: Callable[[], None] = lambda: None
    ) -> None:
        self._serve = serve
        self._answered = answered
        self._epoll = select.epoll()
        self._wake_up = WakeUp()
        self._wake_up_descriptor = self._wake_up.fileno()
        self._new: deque[LentConnection[AssociationT]] = deque()
        self._lent: dict[int, LentConnection[AssociationT]] = {}
        self._complete: list[LentConnection[AssociationT]] = []
        self._checked = time.monotonic()
        self._closed = False
        self._loop = Loop("C-STORE requests", self._step, failed=self._failed)

    def start(self) -> None:
        """Start the thread."""
        self._epoll.register(self._wake_up, select.EPOLLIN)
        self._loop.start()

    def lend(self, lent: LentConnection[AssociationT]) -> None:
        """Serve a connection; only the loop may use it until `lent.returned` is set."""
        self._new.append(lent)
        self._wake_up.wake()
        if self._closed:
            self._return_new()

    def recall(self, lent: LentConnection[AssociationT]) -> None:
        """Return a connection as soon as no request is under way on it."""
        lent.recalled = True
        self._wake_up.wake()

    def close(self) -> None:
        """Stop the thread and return every connection."""
        self._loop.ask_to_stop()
        self._wake_up.wake()
        self._loop.stop(_CLOSE_SECONDS)
        self._closed = True
        self._return_all()
        self._epoll.close()
        self._wake_up.close()

    def _failed(self, _error: BaseException) -> None:
        """Return every connection: associations serve themselves until this thread works again."""
        self._closed = True
        self._complete = []
        self._return_all()

    def _return_new(self) -> None:
        with suppress(IndexError):
            while True:
                self._return(self._new.popleft(), ReturnReason.OWN_THREAD)

    def _return_all(self) -> None:
        self._return_new()
        for lent in list(self._lent.values()):
            begun = lent.reader.request is not None
            self._return(lent, ReturnReason.OWN_THREAD if begun else ReturnReason.RECALLED)

    def _step(self) -> float:
        wait = 0 if self._complete else _CHECK_SECONDS
        self._handle(self._epoll.poll(wait))
        if self._complete:
            self._answer()
        now = time.monotonic()
        if now - self._checked > _CHECK_SECONDS:
            self._checked = now
            self._check_deadlines(now)
        self._closed = False
        return 0.0

    def _handle(self, events: Events) -> bool:
        """Receive what has arrived; whether any connection without a complete request had bytes."""
        received = False
        for descriptor, _ in events:
            if descriptor == self._wake_up_descriptor:
                self._handle_wake_up()
            elif (lent := self._lent.get(descriptor)) is not None and not lent.complete:
                self._receive(lent)
                received = True
        return received

    def _receive_from_others(self) -> None:
        """Receive from connections that are not being answered, while the disk writes."""
        until = time.monotonic() + _OVERLAP_SECONDS
        while self._handle(self._epoll.poll(0)) and time.monotonic() < until:
            pass

    def _handle_wake_up(self) -> None:
        """Return recalled connections and begin to serve new ones."""
        self._wake_up.clear()
        for lent in list(self._lent.values()):
            if lent.recalled and lent.reader.request is None:
                self._return(lent, ReturnReason.RECALLED)
        while self._new:
            lent = self._new.popleft()
            lent.since = time.monotonic()
            self._lent[lent.descriptor] = lent
            try:
                self._epoll.register(lent.descriptor, select.EPOLLIN)
            except OSError as error:
                self._return_broken(lent, ConnectionLost(str(error)))
            else:
                self._read(lent, 0)

    def _receive(self, lent: LentConnection[AssociationT]) -> None:
        try:
            room = lent.reader.room()
            count = lent.connection.socket.recv_into(room, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError as error:
            self._return_broken(lent, ConnectionLost(str(error)))
            return
        if not count:
            self._return_broken(lent, ConnectionLost("the peer closed the connection"))
            return
        self._read(lent, count)

    def _read(self, lent: LentConnection[AssociationT], count: int) -> None:
        """Read the next request as far as it has arrived, with `count` new bytes."""
        try:
            stage = lent.reader.received(count)
        except (ProtocolError, MalformedMessage) as error:
            self._return_broken(lent, error)
            return
        if stage is Stage.COMPLETE:
            lent.complete = True
            self._complete.append(lent)
        elif stage is Stage.OTHER_MESSAGE:
            self._return(lent, ReturnReason.OTHER_MESSAGE)
        elif lent.reader.full:
            self._return(lent, ReturnReason.OWN_THREAD)
        else:  # a sender with Nagle's algorithm holds the rest back until then
            lent.connection.acknowledge()

    def _answer(self) -> None:
        """Serve every complete request and send the responses."""
        complete, self._complete = self._complete, []
        for lent, response in zip(complete, self._responses(complete), strict=True):
            lent.complete = False
            if response is None:
                self._return(lent, ReturnReason.OWN_THREAD)
                continue
            reason = self._send(lent, response)
            lent.reader.finish()
            lent.served += 1
            if reason is not None:
                self._return(lent, reason)
            elif lent.recalled:
                self._return(lent, ReturnReason.RECALLED)
            elif lent.reader.pending:
                self._read(lent, 0)
        self._answered()

    def _responses(
        self, complete: Sequence[LentConnection[AssociationT]]
    ) -> Sequence[bytes | None]:
        alone = len(complete) == len(self._lent)
        try:
            return self._serve(complete, _nothing if alone else self._receive_from_others)
        except Exception as error:  # noqa: BLE001  its own thread meets it again, and no other does
            log.error(
                "C-STORE requests could not be served together; each association serves its own: "
                "%s",
                traced(error),
            )
            return [None] * len(complete)

    def _send(self, lent: LentConnection[AssociationT], response: bytes) -> ReturnReason | None:
        """Send a response; why the connection has to be returned, None if it need not."""
        try:
            sent = lent.connection.socket.send(response, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            lent.error = ConnectionLost(str(error))
            return ReturnReason.BROKEN
        if sent == len(response):
            return None
        lent.unsent = response[sent:]
        return ReturnReason.ANSWER_UNSENT

    def _check_deadlines(self, now: float) -> None:
        """Return connections whose peer has begun a request and does not go on."""
        for lent in list(self._lent.values()):
            if lent.pdus != lent.reader.pdus or not lent.reader.midway:
                lent.pdus, lent.since = lent.reader.pdus, now
            elif now - lent.since > PDU_SECONDS:
                self._return_broken(lent, TooSlow("the peer sends too slowly"))

    def _return_broken(self, lent: LentConnection[AssociationT], error: Exception) -> None:
        lent.error = error
        self._return(lent, ReturnReason.BROKEN)

    def _return(self, lent: LentConnection[AssociationT], reason: ReturnReason) -> None:
        """From here on the thread of its association has it."""
        if self._lent.pop(lent.descriptor, None) is not None:
            with suppress(OSError, ValueError):
                self._epoll.unregister(lent.descriptor)
        lent.returned = reason
        lent.wake_owner()


def _nothing() -> None:
    """No other connection is lent, so that there is nothing to receive."""
