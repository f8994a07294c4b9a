"""The port: accepts, and holds connections until a whole A-ASSOCIATE-RQ has come.

One thread for all of them, so that a connection that says nothing, or says it slowly, costs a
descriptor and a few bytes, and not for longer than ARTIM (PS3.8 9.1.5). TLS handshakes are made
here too, a step at a time: a silent connection never holds up another one's handshake.
"""

from __future__ import annotations

import logging
import selectors
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from node.core.errors import error_reference, traced
from node.core.supervision import Loop
from node.dimse.upper_layer.access.certificates import explained
from node.dimse.upper_layer.associate_request import Abort, AssociateRequest, abort, read_associate
from node.dimse.upper_layer.limits import ARTIM_SECONDS, ASSOCIATE_PDU, HALF_OPEN
from node.dimse.upper_layer.pdus import ABORT, ASSOCIATE_RQ, MalformedPDU

log = logging.getLogger(__name__)

_HEADER: Final = 6
_LOOK_SECONDS: Final = 1.0
QUIET_SECONDS: Final = 0.25  # without a newcomer, until there is time for other things
_BREATHER_SECONDS: Final = 0.2  # when the process has no descriptor left
_ACCEPTED_AT_ONCE: Final = 64

Address = tuple[Any, ...]
Welcome = Callable[[socket.socket, Address, bytes, AssociateRequest], None]


class _HalfOpen:
    """A connection that has not said yet what it wants."""

    def __init__(self, connection: socket.socket, address: Address) -> None:
        self.connection = connection
        self.address = address
        self.since = time.monotonic()
        self.received = bytearray()
        self.shaking = isinstance(connection, ssl.SSLSocket)
        self.gone = False

    def advance(self) -> AssociateRequest:
        """Read what has come; returns once that is a whole request.

        Raises:
            ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError: more has to come first.
            MalformedPDU: this is no A-ASSOCIATE-RQ.
            OSError: the connection is gone.
        """
        if self.shaking and isinstance(self.connection, ssl.SSLSocket):
            self.connection.do_handshake()
            self.shaking = False
        while True:
            whole = self._length()
            if len(self.received) >= whole > _HEADER:
                return read_associate(memoryview(self.received)[_HEADER:whole])
            data = self.connection.recv(65536)
            if not data:
                raise ConnectionError("closed before it had asked for anything")
            self.received += data

    def _length(self) -> int:
        """Bytes of the PDU, header included; as long as that is not known, of the header."""
        if not self.received:
            return _HEADER
        if self.received[0] != ASSOCIATE_RQ:
            raise MalformedPDU("The first PDU is no A-ASSOCIATE-RQ.")
        if len(self.received) < _HEADER:
            return _HEADER
        (length,) = struct.unpack_from(">L", self.received, 2)
        if not 0 < length <= ASSOCIATE_PDU:
            raise MalformedPDU("The A-ASSOCIATE-RQ says that it is too large.")
        return _HEADER + int(length)


class Listener:
    """Accepts connections on one listening socket.

    Args:
        listening: bound and listening already.
        tls: the server's context at the moment, None for plain TCP; renewed certificates are for
            whoever comes next.
        welcome: takes over a connection that has asked for an association.
        hung_up: told the address and why, when a connection is ended that asked for nothing right.
        quiet: called while nobody comes; returns whether it should be called again soon.
        hesitation: where others accept on the same socket: how long to let them go first.
    """

    def __init__(
        self,
        listening: socket.socket,
        tls: Callable[[], ssl.SSLContext | None],
        welcome: Welcome,
        hung_up: Callable[[str, str], None],
        quiet: Callable[[], bool],
        hesitation: Callable[[], float] | None = None,
    ) -> None:
        self._hung_up = hung_up
        self._quiet = quiet
        self._hesitation = hesitation
        self._listening = listening
        self._tls = tls
        self._welcome = welcome
        self._selector = selectors.DefaultSelector()
        self._half_open: dict[socket.socket, _HalfOpen] = {}
        self._looked = 0.0
        self._patience = QUIET_SECONDS
        self._ear, self._button = socket.socketpair()
        for end in (self._ear, self._button):
            end.setblocking(False)
        self._later: deque[Callable[[], None]] = deque()
        self._loop = Loop("DICOM port", self._turn)

    def start(self) -> None:
        """Begin to accept."""
        self._listening.setblocking(False)
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._loop.start()

    def stop(self) -> None:
        """Accept no more, and forget who has not asked for anything yet."""
        self._loop.ask_to_stop()
        self._wake()
        self._loop.stop(5)
        self._catch_up()
        for half_open in list(self._half_open.values()):
            self._forget(half_open)
        self._selector.close()
        self._ear.close()
        self._button.close()

    def later(self, work: Callable[[], None]) -> None:
        """Have something done by the port's thread, as soon as it can. Safe for many threads."""
        self._later.append(work)
        self._wake()

    def _wake(self) -> None:
        with suppress(OSError):  # full: it is awake; closed: nobody is there any more
            self._button.send(b"\0")

    def _catch_up(self) -> None:
        """With what was left for later."""
        with suppress(OSError):
            self._ear.recv(4096)
        while self._later:
            work = self._later.popleft()
            try:
                work()
            except Exception as error:  # noqa: BLE001  it costs this association, not the port
                place = error_reference(error)
                log.error("an association failed (reference %s): %s", place, traced(error))

    def _turn(self) -> float:
        events = self._selector.select(self._patience)
        self._patience = QUIET_SECONDS if events or self._quiet() else _LOOK_SECONDS
        for key, _ in events:
            if key.fileobj is self._listening:
                self._accept()
            elif key.fileobj is self._ear:
                self._catch_up()
            elif isinstance(key.data, _HalfOpen) and not key.data.gone:
                self._advance(key.data)
        now = time.monotonic()
        if now - self._looked > _LOOK_SECONDS:
            self._looked = now
            self._reap(now)
        return 0.0

    def _accept(self) -> None:
        at_once = _ACCEPTED_AT_ONCE
        if self._hesitation is not None:
            at_once = 1
            time.sleep(self._hesitation())
        for _ in range(at_once):
            try:
                connection, address = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                log.warning("a connection could not be accepted: %s", error.strerror)
                self._make_room()
                time.sleep(_BREATHER_SECONDS)
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
            if half_open.shaking:
                self._hung_up(half_open.address[0], f"TLS failed: {explained(error)}")
            self._forget(half_open)
            return
        except Exception as error:  # noqa: BLE001  it costs this connection, not the port
            self._give_up(half_open, error)
            return
        self._selector.unregister(connection)
        del self._half_open[connection]
        try:
            self._welcome(connection, half_open.address, bytes(half_open.received), request)
        except Exception as error:  # noqa: BLE001  it costs this association, not the port
            self._give_up(half_open, error)

    def _give_up(self, half_open: _HalfOpen, error: Exception) -> None:
        """End a connection that met an error which nobody foresaw."""
        address = half_open.address[0]
        log.error(
            "a connection from %s failed (reference %s): %s",
            address,
            error_reference(error),
            traced(error),
        )
        self._hung_up(address, "an error in the node that nobody foresaw; the log has its place")
        self._forget(half_open)

    def _refuse(self, half_open: _HalfOpen, sentence: str) -> None:
        """PS3.8 9.2 in Sta2: A-ABORT, and nothing at all if that is what came."""
        first = half_open.received[0]
        if first != ABORT:
            self._hung_up(half_open.address[0], sentence)
            with suppress(OSError):
                half_open.connection.send(abort(_abort_reason(first)))
        self._forget(half_open)

    def _reap(self, now: float) -> None:
        for half_open in list(self._half_open.values()):
            if now - half_open.since > ARTIM_SECONDS:
                self._forget(half_open)

    def _make_room(self) -> None:
        """The one that has been silent for longest goes."""
        oldest = next(iter(self._half_open.values()), None)
        if oldest is not None:
            self._forget(oldest)

    def _forget(self, half_open: _HalfOpen) -> None:
        connection = half_open.connection
        half_open.gone = True
        self._half_open.pop(connection, None)
        with suppress(KeyError, ValueError):
            self._selector.unregister(connection)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


def _abort_reason(kind: int) -> Abort:
    if kind == ASSOCIATE_RQ:
        return Abort.INVALID_PARAMETER
    return Abort.UNEXPECTED_PDU if kind < ABORT and kind else Abort.UNRECOGNIZED_PDU
