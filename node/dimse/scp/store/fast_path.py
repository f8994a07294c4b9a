"""Serves the C-STORE requests of one association, below pynetdicom's state machine.

The thread that reads the association calls `FastPath.run` when bytes have arrived. As soon as the
next message is a C-STORE request it lends the connection to the store loop, where one thread serves
all associations, until another message arrives. The association's own thread serves what would
delay the others there (a data set larger than memory, an instance that is refused, a peer that does
not take its response), and every request over TLS.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic

from node.dimse.scp.store.lent_connection import AssociationT, LentConnection, ReturnReason
from node.dimse.scp.store.message_reader import MessageReader, ProtocolError, Stage
from node.dimse.scp.store.store_loop import StoreLoop
from node.dimse.scp.store.store_messages import StoreAnswer, response
from node.dimse.upper_layer.connection import PDU_SECONDS, ConnectionLost, PeerConnection, TooSlow
from node.dimse.upper_layer.message_service import Outcome, ReadingThread
from node.dimse.upper_layer.messages import MalformedMessage


class FastPath(Generic[AssociationT]):
    """Serves the C-STORE requests of an association.

    Args:
        connection: to the peer.
        reader: of the requests.
        serve: makes a data set durable and says what to answer.
        store_loop: serves requests together with those of other associations; None: every request
            is served by the association's own thread.
        association: what the storage service knows the association by.
    """

    def __init__(
        self,
        connection: PeerConnection,
        reader: MessageReader,
        serve: Callable[[MessageReader], StoreAnswer],
        store_loop: StoreLoop[AssociationT] | None,
        association: AssociationT,
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._serve = serve
        self._store_loop = store_loop
        self._association = association
        self._serving = False

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self._serving or self._reader.request is not None

    def run(self, thread: ReadingThread) -> Outcome:
        """Serve requests for as long as they follow each other. Call it when bytes have arrived.

        Args:
            thread: the calling thread.
        """
        try:
            return self._run(thread)
        except (ProtocolError, MalformedMessage, TooSlow):
            return Outcome.PROTOCOL_ERROR
        except ConnectionLost:
            return Outcome.CONNECTION_LOST
        finally:
            self._serving = False
            self._reader.finish()

    def _run(self, thread: ReadingThread) -> Outcome:
        while True:
            self._serving = True
            returned = None
            stage = self._read(to_the_end=self._store_loop is None)
            if stage is not Stage.OTHER_MESSAGE and self._store_loop is not None:
                returned = self._lend(self._store_loop, thread)
            if returned is ReturnReason.RECALLED:
                return self._leave(Outcome.WAIT)
            if returned is ReturnReason.OWN_THREAD:
                stage = self._read(to_the_end=True)
            if stage is Stage.OTHER_MESSAGE or returned is ReturnReason.OTHER_MESSAGE:
                return self._leave(Outcome.OTHER_MESSAGE)
            if returned is not ReturnReason.ANSWER_UNSENT:
                self._answer()
            self._serving = False
            more = self._reader.pending or self._connection.pending
            if not (thread.may_continue() if more else thread.wait_for_request()):
                return self._leave(Outcome.WAIT)

    def _leave(self, outcome: Outcome) -> Outcome:
        """Give the unread bytes back to the connection."""
        unread = self._reader.take_unread()
        if unread:
            self._connection.put_back(unread)
        return outcome

    def _read(self, *, to_the_end: bool) -> Stage:
        """Read the next request, or on in one: at least its command set, or all of it.

        Raises:
            ProtocolError, MalformedMessage, TooSlow, ConnectionLost: it cannot be read.
        """
        reader, connection = self._reader, self._connection
        stage = reader.read()
        pdus, since = reader.pdus, time.monotonic()
        while stage is Stage.INCOMPLETE and (to_the_end or reader.request is None):
            if reader.full:
                reader.spill_over()
            stage = reader.received(connection.receive(reader.room()))
            if reader.pdus != pdus:
                pdus, since = reader.pdus, time.monotonic()
            elif stage is Stage.INCOMPLETE and time.monotonic() - since > PDU_SECONDS:
                raise TooSlow("the peer sends too slowly")
        return stage

    def _answer(self) -> None:
        request = self._reader.request
        assert request is not None  # noqa: S101  it is complete
        answer = self._serve(self._reader)
        self._reader.finish()
        self._connection.send(response(request, answer))

    def _lend(self, store_loop: StoreLoop[AssociationT], thread: ReadingThread) -> ReturnReason:
        """Lend the connection to the store loop until it is returned.

        Raises:
            ProtocolError, MalformedMessage, TooSlow, ConnectionLost: a request could not be read
                there, or a response not be sent.
        """
        reader, connection = self._reader, self._connection
        while connection.buffered:
            if reader.full:
                return ReturnReason.OWN_THREAD
            reader.received(connection.receive(reader.room()))
        lent = LentConnection(connection, reader, self._association, thread.wake)
        store_loop.lend(lent)
        self._serving = False
        served = 0
        while lent.returned is None:
            thread.wait_while_lent(served=lent.served != served)
            served = lent.served
            if lent.returned is None and not thread.may_continue():
                store_loop.recall(lent)
        self._serving = True
        if lent.error is not None:
            raise lent.error
        if lent.unsent:
            connection.send(lent.unsent)
        return lent.returned
