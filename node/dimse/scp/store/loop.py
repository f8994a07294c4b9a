"""One thread for the C-STORE requests of all associations of a process.

Requests that are whole in the same turn are made durable together, with one write and one sync,
and then answered: no thread waits for another, and nobody for a slow peer. Whatever would keep
the others waiting goes back to the thread of its association.
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
from node.core.system.cpu_latency import CpuLatency
from node.dimse.scp.store.lent_connection import Guest, LentConnection, ReturnReason
from node.dimse.scp.store.message_reader import ProtocolError, Stage
from node.dimse.upper_layer.connection import PDU_SECONDS, ConnectionLost, TooSlow
from node.dimse.upper_layer.messages import MalformedMessage

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 1.0  # how often deadlines are looked at
_AWAKE_SECONDS: Final = 0.02  # without a request, until processors may doze again
_MEANWHILE_SECONDS: Final = 0.0003  # to receive from others while the disk works for some
_CLOSE_SECONDS: Final = 5.0

Events = Sequence[tuple[int, int]]


class StoreLoop(Generic[Guest]):
    """Where connections are whose peers send C-STORE requests, and nothing else.

    Args:
        serve: makes the requests of visits durable; the answer to each, or None for those that
            are for their own threads. Must not wait for anything but the disk. The second argument
            is for it to call while the disk works.
        answered: called when the answers have been sent.
        awake: keeps processors awake while requests follow each other.
    """

    def __init__(
        self,
        serve: Callable[
            [Sequence[LentConnection[Guest]], Callable[[], None]], Sequence[bytes | None]
        ],
        answered: Callable[[], None] = lambda: None,
        awake: CpuLatency | None = None,
    ) -> None:
        self._serve = serve
        self._answered = answered
        self._awake = awake or CpuLatency(wanted=False)
        self._epoll = select.epoll()
        self._ear, self._button = socket.socketpair()
        for end in (self._ear, self._button):
            end.setblocking(False)
        self._ear_number = self._ear.fileno()
        self._newcomers: deque[LentConnection[Guest]] = deque()
        self._visits: dict[int, LentConnection[Guest]] = {}
        self._whole: list[LentConnection[Guest]] = []
        self._looked = time.monotonic()
        self._closed = False
        self._loop = Loop("C-STORE requests", self._turn, failed=self._failed)

    def start(self) -> None:
        """Open it."""
        self._epoll.register(self._ear, select.EPOLLIN)
        self._loop.start()

    def enter(self, visit: LentConnection[Guest]) -> None:
        """Take a connection in; from now on it is the hall's, until `visit.left` is set."""
        self._newcomers.append(visit)
        self._wake()
        if self._closed:
            self._turn_newcomers_away()

    def recall(self, visit: LentConnection[Guest]) -> None:
        """Have a connection leave as soon as no request is under way on it."""
        visit.wanted = True
        self._wake()

    def close(self) -> None:
        """Send everybody out."""
        self._loop.ask_to_stop()
        self._wake()
        self._loop.stop(_CLOSE_SECONDS)
        self._awake.let_go()
        self._closed = True
        self._turn_out()
        self._epoll.close()
        self._ear.close()
        self._button.close()

    def _wake(self) -> None:
        with suppress(OSError):  # full: it is awake; closed: there is nobody
            self._button.send(b"\0")

    def _failed(self, _error: BaseException) -> None:
        """Whatever it is, associations go on without this thread until it works again."""
        self._awake.let_go()
        self._closed = True
        self._whole = []
        self._turn_out()

    def _turn_newcomers_away(self) -> None:
        with suppress(IndexError):
            while True:
                self._leave(self._newcomers.popleft(), ReturnReason.SELF)

    def _turn_out(self) -> None:
        self._turn_newcomers_away()
        for visit in list(self._visits.values()):
            self._leave(
                visit, ReturnReason.SELF if visit.arrival.request else ReturnReason.RECALLED
            )

    def _turn(self) -> float:
        self._see_to(self._events())
        if self._whole:
            self._awake.keep()
            self._answer()
        now = time.monotonic()
        if now - self._looked > _LOOK_SECONDS:
            self._looked = now
            self._look(now)
        self._closed = False
        return 0.0

    def _events(self) -> Events:
        if self._whole:
            return self._epoll.poll(0)
        if self._awake.kept:
            events = self._epoll.poll(_AWAKE_SECONDS)
            if events:
                return events
            self._awake.let_go()
        return self._epoll.poll(_LOOK_SECONDS)

    def _see_to(self, events: Events) -> bool:
        """Whether anything came from somebody who has no request to be answered first."""
        came = False
        for number, _ in events:
            if number == self._ear_number:
                self._attend()
            elif (visit := self._visits.get(number)) is not None and not visit.whole:
                self._receive(visit)
                came = True
        return came

    def _see_to_others(self) -> None:
        """Those who are not being answered at the moment."""
        until = time.monotonic() + _MEANWHILE_SECONDS
        while self._see_to(self._epoll.poll(0)) and time.monotonic() < until:
            pass

    def _attend(self) -> None:
        """Somebody has come, or is wanted back."""
        with suppress(OSError):
            self._ear.recv(4096)
        for visit in list(self._visits.values()):
            if visit.wanted and visit.arrival.request is None:
                self._leave(visit, ReturnReason.RECALLED)
        while self._newcomers:
            visit = self._newcomers.popleft()
            visit.since = time.monotonic()
            self._visits[visit.number] = visit
            try:
                self._epoll.register(visit.number, select.EPOLLIN)
            except OSError as error:
                self._break(visit, ConnectionLost(str(error)))
            else:
                self._go_on(visit, 0)

    def _receive(self, visit: LentConnection[Guest]) -> None:
        try:
            room = visit.arrival.room()
            count = visit.wire.socket.recv_into(room, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError as error:
            self._break(visit, ConnectionLost(str(error)))
            return
        if not count:
            self._break(visit, ConnectionLost("the peer closed the connection"))
            return
        self._go_on(visit, count)

    def _go_on(self, visit: LentConnection[Guest], count: int) -> None:
        try:
            stage = visit.arrival.came(count)
        except (ProtocolError, MalformedMessage) as error:
            self._break(visit, error)
            return
        if stage is Stage.WHOLE:
            visit.whole = True
            self._whole.append(visit)
        elif stage is Stage.OTHER:
            self._leave(visit, ReturnReason.OTHER)
        elif visit.arrival.full:
            self._leave(visit, ReturnReason.SELF)
        else:  # the sender may hold the rest back until then
            visit.wire.acknowledge()

    def _answer(self) -> None:
        """Whatever is whole."""
        whole, self._whole = self._whole, []
        for visit, answer in zip(whole, self._answers(whole), strict=True):
            visit.whole = False
            if answer is None:
                self._leave(visit, ReturnReason.SELF)
                continue
            left = self._send(visit, answer)
            visit.arrival.finish()
            visit.served += 1
            if left is not None:
                self._leave(visit, left)
            elif visit.wanted:
                self._leave(visit, ReturnReason.RECALLED)
            elif visit.arrival.pending:
                self._go_on(visit, 0)
        self._answered()

    def _answers(self, whole: Sequence[LentConnection[Guest]]) -> Sequence[bytes | None]:
        alone = len(whole) == len(self._visits)
        try:
            return self._serve(whole, _nothing if alone else self._see_to_others)
        except Exception as error:  # noqa: BLE001  whoever it was meets it again, and nobody else
            log.error("a request could not be served with others: %s", traced(error))
            return [None] * len(whole)

    def _send(self, visit: LentConnection[Guest], answer: bytes) -> ReturnReason | None:
        """Why the visit is over, if it is."""
        try:
            sent = visit.wire.socket.send(answer, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            visit.error = ConnectionLost(str(error))
            return ReturnReason.BROKEN
        if sent == len(answer):
            return None
        visit.unsent = answer[sent:]
        return ReturnReason.ANSWERED

    def _look(self, now: float) -> None:
        """At who has begun something and does not go on."""
        for visit in list(self._visits.values()):
            if visit.pdus != visit.arrival.pdus or not visit.arrival.midway:
                visit.pdus, visit.since = visit.arrival.pdus, now
            elif now - visit.since > PDU_SECONDS:
                self._break(visit, TooSlow("the peer sends too slowly"))

    def _break(self, visit: LentConnection[Guest], error: Exception) -> None:
        visit.error = error
        self._leave(visit, ReturnReason.BROKEN)

    def _leave(self, visit: LentConnection[Guest], why: ReturnReason) -> None:
        """From here on its own thread has it."""
        if self._visits.pop(visit.number, None) is not None:
            with suppress(OSError, ValueError):
                self._epoll.unregister(visit.number)
        visit.left = why
        visit.ring()


def _nothing() -> None:
    """Nobody else is there."""
