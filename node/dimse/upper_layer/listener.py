"""Accepts connections, and reads each until its whole A-ASSOCIATE-RQ has arrived.

One thread does it for all connections: one that sends nothing, or sends slowly, costs a descriptor
and a few bytes, for no longer than ARTIM (PS3.8 9.1.5). TLS handshakes are made here too, step by
step, so that a silent connection does not delay the handshake of another.
"""

from __future__ import annotations

import logging
import selectors
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from node.core.errors import error_reference, traced
from node.core.supervision import Loop
from node.dimse.upper_layer.access.certificates import explained
from node.dimse.upper_layer.associate_request import (
    AbortReason,
    AssociateRequest,
    abort,
    read_associate,
)
from node.dimse.upper_layer.connection import Address
from node.dimse.upper_layer.limits import ARTIM_SECONDS, ASSOCIATE_PDU, HALF_OPEN
from node.dimse.upper_layer.pdus import ABORT, ASSOCIATE_RQ, HEADER, MalformedPDU
from node.dimse.upper_layer.wake_up import WakeUp

log = logging.getLogger(__name__)

_CHECK_SECONDS: Final = 1.0  # how often ARTIM is checked
_PAUSE_SECONDS: Final = 0.2  # before accepting again, when a connection could not be accepted
_ACCEPTED_AT_ONCE: Final = 64

Requested = Callable[[socket.socket, Address, bytes, AssociateRequest], None]


class _HalfOpen:
    """A connection whose A-ASSOCIATE-RQ has not arrived yet."""

    def __init__(self, connection: socket.socket, address: Address) -> None:
        self.connection = connection
        self.address = address
        self.since = time.monotonic()
        self.received = bytearray()
        self.in_handshake = isinstance(connection, ssl.SSLSocket)
        self.closed = False

    def advance(self) -> AssociateRequest:
        """Read what has arrived, and return the request once it is whole.

        Raises:
            ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError: it is not whole yet.
            MalformedPDU: it is no A-ASSOCIATE-RQ.
            OSError: the connection was closed.
        """
        if self.in_handshake and isinstance(self.connection, ssl.SSLSocket):
            self.connection.do_handshake()
            self.in_handshake = False
        while True:
            length = self._length()
            if len(self.received) >= length > HEADER:
                return read_associate(bytes(self.received[HEADER:length]))
            data = self.connection.recv(65536)
            if not data:
                raise ConnectionError("the peer closed the connection before it requested anything")
            self.received += data

    def _length(self) -> int:
        """Bytes of the PDU with its header; of the header alone as long as it is incomplete."""
        if not self.received:
            return HEADER
        if self.received[0] != ASSOCIATE_RQ:
            raise MalformedPDU("The first PDU is no A-ASSOCIATE-RQ.")
        if len(self.received) < HEADER:
            return HEADER
        length = int.from_bytes(self.received[2:HEADER], "big")
        if not 0 < length <= ASSOCIATE_PDU:
            raise MalformedPDU(f"The A-ASSOCIATE-RQ is empty or larger than {ASSOCIATE_PDU} bytes.")
        return HEADER + length


class Listener:
    """Accepts connections on one listening socket.

    Args:
        listening: bound and listening already.
        tls: returns the server's current context, None for plain TCP; a renewed certificate counts
            from the next connection on.
        requested: takes over a connection with a whole A-ASSOCIATE-RQ: the socket, the peer's
            address, the bytes received so far, and the request.
        refused: called with address and reason when a connection is ended that requested nothing,
            or something invalid.
        delay: where other processes accept on the same socket: seconds to wait before accepting.
    """

    def __init__(
        self,
        listening: socket.socket,
        tls: Callable[[], ssl.SSLContext | None],
        requested: Requested,
        refused: Callable[[str, str], None],
        delay: Callable[[], float] | None = None,
    ) -> None:
        self._refused = refused
        self._delay = delay
        self._listening = listening
        self._tls = tls
        self._requested = requested
        self._selector = selectors.DefaultSelector()
        self._half_open: dict[socket.socket, _HalfOpen] = {}
        self._checked = 0.0
        self._wake_up = WakeUp()
        self._work: deque[Callable[[], None]] = deque()
        self._loop = Loop("DICOM port", self._step)

    def start(self) -> None:
        """Begin to accept connections."""
        self._listening.setblocking(False)
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._wake_up, selectors.EVENT_READ)
        self._loop.start()

    def stop(self) -> None:
        """Accept no more, and close the connections that have not requested an association."""
        self._loop.ask_to_stop()
        self._wake_up.wake()
        self._loop.stop(5)
        self._do_work()
        for half_open in list(self._half_open.values()):
            self._close(half_open)
        self._selector.close()
        self._wake_up.close()

    def run_later(self, work: Callable[[], None]) -> None:
        """Have a function called by the listener's thread soon. Safe for many threads."""
        self._work.append(work)
        self._wake_up.wake()

    def _do_work(self) -> None:
        """Call the functions that `run_later` was given."""
        self._wake_up.clear()
        while self._work:
            work = self._work.popleft()
            try:
                work()
            except Exception as error:  # noqa: BLE001  it costs this association, not the port
                log.error(
                    "a requested association failed because of an error in the node (reference "
                    "%s): %s",
                    error_reference(error),
                    traced(error),
                )

    def _step(self) -> float:
        for key, _ in self._selector.select(_CHECK_SECONDS):
            if key.fileobj is self._listening:
                self._accept()
            elif key.fileobj is self._wake_up:
                self._do_work()
            elif isinstance(key.data, _HalfOpen) and not key.data.closed:
                self._advance(key.data)
        now = time.monotonic()
        if now - self._checked > _CHECK_SECONDS:
            self._checked = now
            self._close_overdue(now)
        return 0.0

    def _accept(self) -> None:
        at_once = _ACCEPTED_AT_ONCE
        if self._delay is not None:
            at_once = 1
            time.sleep(self._delay())
        for _ in range(at_once):
            try:
                connection, address = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                log.warning("a connection could not be accepted: %s", error.strerror)
                self._make_room()
                time.sleep(_PAUSE_SECONDS)
                return
            self._take(connection, address)

    def _take(self, connection: socket.socket, address: Address) -> None:
        connection.setblocking(False)
        tls = self._tls()
        if tls is not None:
            try:
                connection = tls.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
            except OSError:
                connection.close()
                return
        if len(self._half_open) >= HALF_OPEN:
            self._make_room()
        half_open = _HalfOpen(connection, address)
        self._half_open[connection] = half_open
        self._selector.register(connection, selectors.EVENT_READ, half_open)
        self._advance(half_open)

    def _advance(self, half_open: _HalfOpen) -> None:
        connection = half_open.connection
        try:
            request = half_open.advance()
        except (BlockingIOError, ssl.SSLWantReadError):
            self._selector.modify(connection, selectors.EVENT_READ, half_open)
            return
        except ssl.SSLWantWriteError:
            self._selector.modify(connection, selectors.EVENT_WRITE, half_open)
            return
        except MalformedPDU as error:
            self._refuse(half_open, str(error))
            return
        except OSError as error:
            if half_open.in_handshake:
                self._refused(half_open.address[0], f"TLS failed: {explained(error)}")
            self._close(half_open)
            return
        except Exception as error:  # noqa: BLE001  it costs this connection, not the port
            self._give_up(half_open, error)
            return
        self._selector.unregister(connection)
        del self._half_open[connection]
        try:
            self._requested(connection, half_open.address, bytes(half_open.received), request)
        except Exception as error:  # noqa: BLE001  it costs this association, not the port
            self._give_up(half_open, error)

    def _give_up(self, half_open: _HalfOpen, error: Exception) -> None:
        """End a connection because of an error in the node."""
        address = half_open.address[0]
        log.error(
            "a connection from %s failed because of an error in the node (reference %s): %s",
            address,
            error_reference(error),
            traced(error),
        )
        self._refused(address, "an error in the node; the log says where it happened")
        self._close(half_open)

    def _refuse(self, half_open: _HalfOpen, sentence: str) -> None:
        """Answer with an A-ABORT, unless the peer sent one (PS3.8 9.2, Sta2)."""
        first = half_open.received[0]
        if first != ABORT:
            self._refused(half_open.address[0], sentence)
            with suppress(OSError):
                half_open.connection.send(abort(_abort_reason(first)))
        self._close(half_open)

    def _close_overdue(self, now: float) -> None:
        for half_open in list(self._half_open.values()):
            if now - half_open.since > ARTIM_SECONDS:
                self._close(half_open)

    def _make_room(self) -> None:
        """Close the connection that was accepted first."""
        oldest = next(iter(self._half_open.values()), None)
        if oldest is not None:
            self._close(oldest)

    def _close(self, half_open: _HalfOpen) -> None:
        connection = half_open.connection
        half_open.closed = True
        self._half_open.pop(connection, None)
        with suppress(KeyError, ValueError):
            self._selector.unregister(connection)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


def _abort_reason(kind: int) -> AbortReason:
    if kind == ASSOCIATE_RQ:
        return AbortReason.INVALID_PARAMETER
    known = 0 < kind < ABORT
    return AbortReason.UNEXPECTED_PDU if known else AbortReason.UNRECOGNIZED_PDU
