"""The one place that touches what pynetdicom does not promise to keep.

pynetdicom keeps associations, negotiation and every service. What changes: its two threads an
association wait for events instead of polling every millisecond, PDUs are read with bounds, and
C-STORE requests take the fast path. Made for one version of pynetdicom; with any other, its own
server takes over, slower and less choosy, and the log says so (see `usable`).
"""

from __future__ import annotations

import logging
import queue
import select
import socket
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pynetdicom
from pynetdicom import _config, acse, evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.transport import AddressInformation, AssociationServer, AssociationSocket

from node.dimse.scp.associations import printable
from node.dimse.scp.contexts import negotiate
from node.dimse.scp.store.fast_path import FastPath, Turn
from node.dimse.upper_layer import limits
from node.dimse.upper_layer.access.permissions import Caller
from node.dimse.upper_layer.associate_request import Abort, abort
from node.dimse.upper_layer.connection import ConnectionLost, PeerConnection

log = logging.getLogger(__name__)

MADE_FOR: Final = ("3.0.4",)
_LOOK_SECONDS: Final = 1.0  # how often timers are looked at while nothing happens
_LARGEST_PDU: Final = {
    0x01: limits.ASSOCIATE_PDU,
    0x04: limits.MAXIMUM_PDU + limits.PDU_SLACK,
    **dict.fromkeys((0x02, 0x03, 0x05, 0x06, 0x07), limits.SHORT_PDU),
}

FastPathOf = Callable[["Acceptor", PeerConnection, Mapping[int, str]], FastPath[Any]]


def usable() -> bool:
    """Whether this pynetdicom is one that the classes below were made for."""
    return pynetdicom.__version__ in MADE_FOR


def prepare() -> None:
    """Set pynetdicom up for a node that takes everything. Once a process, before the AE starts."""
    _config.LOG_HANDLER_LEVEL = "none"  # its standard handlers log identifiers of patients
    _config.UNRESTRICTED_STORAGE_SERVICE = True  # serve C-STORE of any SOP class
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    if usable():
        acse.negotiate_unrestricted = negotiate
    else:
        log.warning(
            "pynetdicom %s is not one of %s: it serves its own way, slower and with fewer limits",
            pynetdicom.__version__,
            ", ".join(MADE_FOR),
        )


def tune_socket(event: evt.Event) -> None:
    """pynetdicom's EVT_CONN_OPEN, where its own server serves: answer at once."""
    connection = event.assoc.dul.socket
    raw = connection.socket if connection else None
    if raw is not None:
        with suppress(OSError):  # the peer may be gone already
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Bell:
    """Wakes a thread that waits for a socket."""

    def __init__(self) -> None:
        self._ear, self._button = socket.socketpair()
        self._ear.setblocking(False)
        self._button.setblocking(False)

    def fileno(self) -> int:
        return self._ear.fileno()

    def ring(self) -> None:
        with suppress(OSError):  # full: it rings already; closed: nobody waits any more
            self._button.send(b"\0")

    def quiet(self) -> None:
        with suppress(OSError):
            self._ear.recv(4096)

    def close(self) -> None:
        self._ear.close()
        self._button.close()


class _Announced(queue.Queue[Any]):
    """A queue that says when something was put into it."""

    def __init__(self, announce: Callable[[], None]) -> None:
        super().__init__()
        self._announce = announce

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self._announce()


class _Connection(AssociationSocket):  # type: ignore[misc]
    """pynetdicom's view of a connection that is read through a `PeerConnection`."""

    def __init__(self, association: Acceptor, wire: PeerConnection) -> None:
        super().__init__(association, client_socket=wire.socket)
        self.wire = wire

    @property
    def ready(self) -> bool:
        return self.socket is not None and (self.wire.pending or _readable(self.socket))

    def recv(self, nr_bytes: int) -> bytearray:
        return self.wire.take(nr_bytes)

    def _shutdown_socket(self) -> None:
        """Upstream's leaves it open if the peer has hung up already."""
        if self.socket is not None:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            self.socket.close()

    def send(self, bytestream: bytes) -> None:
        try:
            self.wire.send(bytestream)
        except ConnectionLost:
            self.event_queue.put("Evt17")


class _Provider(DULServiceProvider):  # type: ignore[misc]
    """The Upper Layer's thread (PS3.8 9.2), waiting for the socket and for its user."""

    def __init__(self, association: Acceptor) -> None:
        super().__init__(association)
        self.bell: _Bell
        self.to_provider_queue = _Announced(self.ring)
        self.to_user_queue = _Announced(association.news.set)
        self.daemon = True
        self._held = 0
        self._poll = select.poll()
        self._watched = -1
        self._lent = select.poll()

    def open(self) -> None:
        """Before anything is asked of it: what takes descriptors."""
        self.bell = _Bell()
        self._poll.register(self.bell, select.POLLIN)
        self._lent.register(self.bell, select.POLLIN)

    def kill_dul(self) -> None:
        super().kill_dul()
        self.bell.ring()

    def stop_dul(self) -> bool:
        self.bell.ring()
        return bool(super().stop_dul())

    def read_request(self) -> None:
        """Take the A-ASSOCIATE-RQ, which has come as a whole, before the thread is started."""
        self._step()  # the connection is open (Evt5)
        self._step()  # the request is read (Evt6)

    def send_answer(self) -> None:
        """Send what was answered to it."""
        while not self.to_provider_queue.empty():
            self._step()

    def run_reactor(self) -> None:
        """Upstream's loop with its order of steps, but waiting instead of sleeping."""
        self._idle_timer.start()
        self.assoc._dul_ready.set()
        try:
            while not self._kill_thread:
                self._step()
        except Exception as error:  # noqa: BLE001  whatever it is, the association must not linger
            log.error("the upper layer of an association failed: %s", said(error))
            self.assoc.is_aborted, self.assoc.is_established = True, False
            self.assoc._kill = True
        finally:
            self.socket._shutdown_socket()
            self.bell.close()
            self.to_user_queue.put(None)  # nothing more will come: whoever waits need not

    def _step(self) -> None:
        if self.artim_timer.expired:
            self.event_queue.put("Evt18")
        if not self._process_recv_primitive() and self.event_queue.empty():
            self._listen()
        with suppress(queue.Empty):
            self.state_machine.do_action(self.event_queue.get(block=False))

    def _listen(self) -> None:
        state, connection = self.state_machine.current_state, self.socket
        if connection.socket is None:
            self._kill_thread = True
        elif state == "Sta13":
            # The last PDU is out. What has come meanwhile is read, or the peer would lose it to a
            # reset; pynetdicom does not wait for more, and nor do we.
            connection.wire.drain(limits.DRAINED)
            connection.close()
        elif state == "Sta6" and self.assoc.overdue:
            self.assoc.abort(block=False)
        elif connection.wire.pending or self._wait(connection.socket):
            self._idle_timer.restart()
            self._receive(state)

    def _wait(self, connection: socket.socket) -> bool:
        """Until there is something to read; False if there is something else to do."""
        try:
            number = connection.fileno()
            if number != self._watched:
                self._poll.register(number, select.POLLIN)
                self._watched = number
            ready = self._poll.poll(_LOOK_SECONDS * 1000)
        except (OSError, ValueError):  # closed by somebody else
            self.event_queue.put("Evt17")
            return False
        numbers = [found for found, _ in ready]
        if numbers and numbers != [number]:
            self.bell.quiet()
        return number in numbers

    def _receive(self, state: str) -> None:
        if state == "Sta6" and not self.assoc.serving and not self.assoc.waiting:
            turn = self.assoc.fast_path.run(self)
            if turn is not Turn.ORDINARY:
                self._after(turn)
                return
        self._read_pdu_data()

    def _after(self, turn: Turn) -> None:
        self.assoc.used = True
        if turn is Turn.INVALID:
            self.event_queue.put("Evt19")
        elif turn is Turn.LOST:
            self.event_queue.put("Evt17")

    def undisturbed(self) -> bool:
        return self.to_provider_queue.empty() and not self._kill_thread and not self.assoc.leaving

    def linger(self) -> bool:
        """Wait for the next request where the last one was served: the way back is long."""
        self.assoc.used = True
        self._idle_timer.restart()
        return self.undisturbed() and self._wait(self.socket.socket)

    def stand_by(self, *, served: bool) -> None:
        """Wait for the bell while the connection is lent."""
        self.assoc.used = True
        if served:
            self._idle_timer.restart()
        if self._lent.poll(_LOOK_SECONDS * 1000):
            self.bell.quiet()

    def ring(self) -> None:
        self.bell.ring()

    def _read_pdu_data(self) -> None:
        """One PDU, if it is one that may come and is no larger than it may be."""
        try:
            wire = self.socket.wire
            head = wire.peek(6)
            kind, length = head[0], int.from_bytes(head[2:6], "big")
            if length > _LARGEST_PDU.get(kind, -1) or not self._fits(kind, length):
                self.event_queue.put("Evt19")
                return
            pdu, event = self._decode_pdu(wire.take(6 + length))
        except ConnectionLost:
            self.event_queue.put("Evt17")
        except Exception as error:  # noqa: BLE001  its decoders raise whatever they like
            log.warning(
                "%s sent a PDU that cannot be read, and is aborted (%s)",
                self.assoc.peer_name,
                type(error).__name__,
            )
            self.event_queue.put("Evt19")
        else:
            self.event_queue.put(event)
            self._recv_pdu.put(pdu)

    def _fits(self, kind: int, length: int) -> bool:
        if kind != 0x04:
            return True
        dimse = self.assoc.dimse
        self._held = length + (self._held if dimse.message is not None else 0)
        return self._held <= limits.MESSAGE and dimse.msg_queue.qsize() < limits.WAITING_MESSAGES


class Acceptor(Association):  # type: ignore[misc]
    """An association that a peer opens, or will.

    It can be made before anybody has come (see `Stock`); it is started after `meet`.

    Args:
        fast_path_of: makes the way that its C-STORE requests take.
        ended: called when it is over.

    Attributes:
        news: set when there is something for the thread that serves requests.
        serving: a request is being served by that thread.
        used: it has asked for something.
        caller: who opened it; None before anybody has.
        leaving: it is to end as soon as nothing is under way.
    """

    is_established: bool
    is_released: bool
    is_aborted: bool
    caller: Caller | None = None

    def __init__(
        self,
        server: AssociationServer,
        fast_path_of: FastPathOf,
        ended: Callable[[Acceptor], None],
    ) -> None:
        ae = server.ae
        self.news = threading.Event()
        super().__init__(ae, MODE_ACCEPTOR)
        self.dul = _Provider(self)
        self.dimse.msg_queue = _Announced(self.news.set)
        self.acse_timeout = ae.acse_timeout
        self.network_timeout = ae.network_timeout
        self.serving = self.used = self.leaving = False
        self._fast_path_of = fast_path_of
        self._ended = ended
        self._server = server
        self.acceptor.maximum_length = ae.maximum_pdu_size
        self.acceptor.ae_title = server.ae_title
        self.acceptor.address_info = AddressInformation.from_tuple(server.server_address)
        self.acceptor.implementation_class_uid = ae.implementation_class_uid
        self.acceptor.implementation_version_name = ae.implementation_version_name
        self.acceptor.supported_contexts = server.contexts
        for event, bound in server._handlers.items():
            for one in [bound] if event.is_intervention else bound:
                self.bind(event, *one)

    def meet(self, wire: PeerConnection, address: tuple[Any, ...]) -> None:
        """Its peer has come. With the constructor, what pynetdicom's RequestHandler does."""
        self.name = f"AcceptorThread@{address[0]}:{address[1]}"
        self.since = time.monotonic()
        self.requestor.address_info = AddressInformation.from_tuple(address)
        self._wire = wire
        self._address = str(address[0])
        self.dul.open()
        self.set_socket(_Connection(self, wire))
        evt.trigger(self, evt.EVT_CONN_OPEN, {"address": address})

    @property
    def peer_name(self) -> str:
        """Who is at the other end, for the log."""
        return f"{printable(self.caller.title if self.caller else '')!r} at {self._address}"

    @cached_property
    def fast_path(self) -> FastPath[Any]:
        """For the C-STORE requests that may come from now on: contexts have been negotiated."""
        contexts = {
            int(context.context_id): str(context.transfer_syntax[0])
            for context in self.accepted_contexts
            if context.as_scp
        }
        return self._fast_path_of(self, self._wire, contexts)

    @property
    def waiting(self) -> bool:
        """A message has begun to come, or has come and waits to be served."""
        return self.dimse.message is not None or not self.dimse.msg_queue.empty()

    @property
    def busy(self) -> bool:
        """A message is being received or served: not the moment to hang up."""
        fast = self.__dict__.get("fast_path")
        return self.serving or self.waiting or (fast is not None and fast.busy)

    @property
    def idle_seconds(self) -> float:
        """How long the association has been open without asking for anything; 0 if it has."""
        return 0.0 if self.used or self.busy else time.monotonic() - self.since

    @property
    def overdue(self) -> bool:
        """Whether it is time to end it."""
        return not self.busy and (self.leaving or self.idle_seconds > limits.UNUSED_SECONDS)

    def leave(self) -> None:
        """Abort as soon as nothing is under way; returns at once."""
        self.leaving = True
        self.dul.bell.ring()

    def cut(self) -> None:
        """Break the connection, whatever is under way."""
        with suppress(OSError):
            self._wire.socket.shutdown(socket.SHUT_RDWR)

    def kill(self) -> None:
        self.news.set()
        self._start_provider()
        super().kill()

    def run_reactor(self) -> None:
        """Upstream's, but the provider's thread is not started, and waited for, at every turn
        before the request has been answered."""
        try:
            self._started_dul = True
            self.dul.read_request()
            if self.dul.to_user_queue.empty():
                self._start_provider()
            super().run_reactor()
        except Exception as error:  # noqa: BLE001  whatever it is, the association must not linger
            log.error(
                "an association of %s failed, and is aborted: %s", self.peer_name, said(error)
            )
            self.dul.kill_dul()
            if self.dul.ident is None:  # nobody else writes: the peer hears that it is over
                with suppress(ConnectionLost):
                    self._wire.send(abort(Abort.NOT_SPECIFIED))
        finally:
            with suppress(RuntimeError):  # the system gives us no thread
                self._start_provider()  # it closes what is open
            self._ended(self)

    def _start_provider(self) -> None:
        if self.dul.ident is None:
            self.dul.start()

    def _serve_request(self, msg: Any, context_id: int) -> None:
        self.serving = self.used = True
        try:
            super()._serve_request(msg, context_id)
        finally:
            self.serving = False
            self.dul.bell.ring()

    def _run_reactor(self) -> None:
        """Upstream's loop with its order of steps, but waiting instead of sleeping."""
        self.dul.send_answer()
        self._start_provider()
        self._is_paused = False
        while not self._kill:
            self._is_paused = True
            self.news.wait(_LOOK_SECONDS)
            self._reactor_checkpoint.wait()
            self._is_paused = False
            self.news.clear()
            if not self._turn():
                self.kill()

    def _turn(self) -> bool:
        """Serve what waits; False if the association has ended."""
        while not self._kill:
            context_id, message = self.dimse.get_msg(block=False)
            if message is None:
                break
            self._serve_request(message, context_id)
        if self.is_established and self.acse.is_release_requested():
            self.acse.send_release(is_response=True)
            self.is_released = True
            self.is_established = False
            evt.trigger(self, evt.EVT_RELEASED, {})
            return False
        if self.acse.is_aborted():
            self.dul.receive_pdu(wait=False)
            self.is_aborted = True
            self.is_established = False
            evt.trigger(self, evt.EVT_ABORTED, {})
            return False
        if self.dul.idle_timer_expired():
            self.abort()
            return False
        return bool(self.dul.is_alive())


def said(error: BaseException) -> str:
    """An error for the log: where and of which kind, not its text, which may quote a data set."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {frame.name} ({Path(frame.filename).name}:{frame.lineno})"


def _readable(connection: socket.socket) -> bool:
    poll = select.poll()
    with suppress(OSError, ValueError):
        poll.register(connection, select.POLLIN)
        return bool(poll.poll(0))
    return False
