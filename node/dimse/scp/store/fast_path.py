"""C-STORE requests of one association, served below pynetdicom's state machine.

The thread that reads the association sees what comes next. As soon as that is a C-STORE request
it lends the connection to the hall, where one thread serves all of them, until something else
comes. What takes longer there than it may (a data set larger than memory, one that is refused, a
peer that does not take its answer), and everything that comes over TLS, is served here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Generic, Protocol

from node.dimse.scp.store.lent_connection import Guest, LentConnection, ReturnReason
from node.dimse.scp.store.loop import StoreLoop
from node.dimse.scp.store.message_reader import Arrival, ProtocolError, Stage
from node.dimse.scp.store.requests import StoreAnswer, response
from node.dimse.upper_layer.connection import PDU_SECONDS, ConnectionLost, PeerConnection, TooSlow
from node.dimse.upper_layer.messages import MalformedMessage


class Turn(Enum):
    """Whose turn it is after the fast path has done what it can."""

    WAIT = auto()  # nothing more has come
    ORDINARY = auto()  # what comes next is for the state machine
    INVALID = auto()  # the peer broke the protocol: abort (PS3.8 Evt19)
    LOST = auto()  # the connection is gone (Evt17)


class User(Protocol):
    """The thread that reads the association, and what else it has to do."""

    def undisturbed(self) -> bool:
        """Whether to go on after a request."""

    def linger(self) -> bool:
        """Wait for the next request; whether something has come."""

    def stand_by(self, *, served: bool) -> None:
        """Wait for a ring, or a while. `served`: requests were answered since the last time."""

    def ring(self) -> None:
        """Wake it; for any thread."""


class FastPath(Generic[Guest]):
    """Serves the C-STORE requests of an association.

    Args:
        serve: makes a data set durable and says what to answer.
        hall: where requests are served together with those of others; None: nowhere.
        guest: what the hall's service knows the association by.
    """

    def __init__(
        self,
        wire: PeerConnection,
        arrival: Arrival,
        serve: Callable[[Arrival], StoreAnswer],
        store_loop: StoreLoop[Guest] | None,
        guest: Guest,
    ) -> None:
        self._wire = wire
        self._arrival = arrival
        self._serve = serve
        self._store_loop = store_loop
        self._guest = guest
        self._serving = False

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self._serving or self._arrival.request is not None

    def run(self, user: User) -> Turn:
        """Serve requests for as long as they come; something has come when this is called."""
        try:
            return self._run(user)
        except (ProtocolError, MalformedMessage, TooSlow):
            return Turn.INVALID
        except ConnectionLost:
            return Turn.LOST
        finally:
            self._serving = False
            self._arrival.finish()

    def _run(self, user: User) -> Turn:
        while True:
            self._serving = True
            left = None
            stage = self._read(until_whole=self._store_loop is None)
            if stage is not Stage.OTHER and self._store_loop is not None:
                left = self._visit(self._store_loop, user)
            if left is ReturnReason.RECALLED:
                return self._give_back(Turn.WAIT)
            if left is ReturnReason.SELF:
                stage = self._read(until_whole=True)
            if stage is Stage.OTHER or left is ReturnReason.OTHER:
                return self._give_back(Turn.ORDINARY)
            if left is not ReturnReason.ANSWERED:
                self._answer()
            self._serving = False
            more = self._arrival.pending or self._wire.pending
            if not (user.undisturbed() if more else user.linger()):
                return self._give_back(Turn.WAIT)

    def _give_back(self, turn: Turn) -> Turn:
        rest = self._arrival.rest()
        if rest:
            self._wire.put_back(rest)
        return turn

    def _read(self, *, until_whole: bool) -> Stage:
        """Read the next request, or the rest of one: to the end of its command, or to its end."""
        arrival, wire = self._arrival, self._wire
        stage = arrival.advance()
        pdus, since = arrival.pdus, time.monotonic()
        while stage is Stage.MORE and (until_whole or arrival.request is None):
            if arrival.full:
                arrival.spill_over()
            stage = arrival.came(wire.receive(arrival.room()))
            if arrival.pdus != pdus:
                pdus, since = arrival.pdus, time.monotonic()
            elif stage is Stage.MORE and time.monotonic() - since > PDU_SECONDS:
                raise TooSlow("the peer sends too slowly")
        return stage

    def _answer(self) -> None:
        request = self._arrival.request
        assert request is not None  # noqa: S101  it is whole
        answer = self._serve(self._arrival)
        self._arrival.finish()
        self._wire.send(response(request, answer))

    def _visit(self, store_loop: StoreLoop[Guest], user: User) -> ReturnReason:
        """Lend the connection to the hall until it comes back.

        Raises:
            ProtocolError, TooSlow, ConnectionLost: what came there, or did not.
        """
        arrival, wire = self._arrival, self._wire
        while wire.buffered:
            if arrival.full:
                return ReturnReason.SELF
            arrival.came(wire.receive(arrival.room()))
        visit = LentConnection(wire, arrival, self._guest, user.ring)
        store_loop.enter(visit)
        self._serving = False
        served = 0
        while visit.left is None:
            user.stand_by(served=visit.served != served)
            served = visit.served
            if visit.left is None and not user.undisturbed():
                store_loop.recall(visit)
        self._serving = True
        if visit.error is not None:
            raise visit.error
        if visit.unsent:
            wire.send(visit.unsent)
        return visit.left
