"""What the node uses of pynetdicom beyond its documented interface, all in this file.

pynetdicom keeps associations, negotiation and services. Its two threads for each association poll
every millisecond; here they wait for events instead. This is written for pynetdicom 3.0.4, and the
node refuses to start with another version (`check_version`): to move to one, go through this table,
compare each name with the new source, and run the tests that it lists.

| name in pynetdicom | why the node needs it | what fails when it changes |
| --- | --- | --- |
| `acse.negotiate_unrestricted`, replaced | retired and private storage SOP classes, and the transfer syntax that the sender prefers | tests/integration/test_callers.py |
| `PresentationContext._as_scp`, `._as_scu`, set | roles of the accepted contexts: C-GET needs both | tests/integration/test_retrieve.py |
| `association.uid_to_service_class`, replaced | C-FIND, C-GET and C-MOVE stream their responses | tests/integration/test_find.py |
| `Association._run_reactor`, overridden | waits for work instead of polling | tests/unit/dimse/test_pynetdicom_internals.py |
| `Association._serve_request`, called | serves a message that the Upper Layer has read | tests/integration/test_find.py |
| `Association._started_dul`, set | starts the Upper Layer's thread without waiting for its first turn | tests/unit/dimse/test_pynetdicom_internals.py |
| `DULServiceProvider._process_recv_primitive`, called | turns what is to be sent into an event of the state machine | tests/unit/dimse/test_pynetdicom_internals.py |
| `DULServiceProvider._decode_pdu`, called | reads a PDU whose type and length have been checked | tests/unit/dimse/test_pynetdicom_internals.py |
| `DULServiceProvider._recv_pdu`, put into | hands that PDU to the state machine | tests/unit/dimse/test_pynetdicom_internals.py |
"""  # noqa: E501  rows of a table

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import pynetdicom
from pynetdicom import AE, _config, acse, evt
from pynetdicom import association as pynetdicom_association
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.events import EventHandlerType
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import ServiceClass
from pynetdicom.sop_class import uid_to_service_class
from pynetdicom.transport import AddressInformation, AssociationSocket

from node.core.errors import ConfigError
from node.dimse.upper_layer.connection import Address, ConnectionLost, PeerConnection

VERSION: Final = "3.0.4"

ARTIM_EXPIRED: Final = "Evt18"  # events of PS3.8 Table 9-10
CONNECTION_CLOSED: Final = "Evt17"
INVALID_PDU: Final = "Evt19"
IDLE: Final = "Sta1"  # states of PS3.8 Tables 9-1 to 9-5
AWAITING_ANSWER: Final = "Sta3"
ESTABLISHED: Final = "Sta6"
AWAITING_CLOSE: Final = "Sta13"

CHECK_SECONDS: Final = 1.0  # how often timers are checked while nothing happens
_STOP_SECONDS: Final = 5.0


def check_version() -> None:
    """See that the installed pynetdicom is the one that this file was written for.

    Raises:
        ConfigError: it is another one.
    """
    if pynetdicom.__version__ != VERSION:
        raise ConfigError(
            f"pynetdicom {pynetdicom.__version__} is installed, but the node needs {VERSION}: "
            "install the pinned requirements again (requirements/run.txt)"
        )


def prepare(negotiate: Callable[..., Any]) -> None:
    """Set pynetdicom up for the node. Once a process, before associations are accepted.

    Args:
        negotiate: answers presentation contexts; called as pynetdicom's `negotiate_unrestricted`.

    Raises:
        ConfigError: pynetdicom has another version than VERSION.
    """
    check_version()
    _config.LOG_HANDLER_LEVEL = "none"  # its standard handlers log identifiers of patients
    _config.UNRESTRICTED_STORAGE_SERVICE = True  # serve C-STORE of any SOP class
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    acse.negotiate_unrestricted = negotiate


def set_roles(context: PresentationContext, *, scp: bool, scu: bool) -> None:
    """Set the roles of the node in an accepted presentation context (PS3.7 D.3.3.4).

    Args:
        context: of the answer to an A-ASSOCIATE-RQ.
        scp: the peer may send requests to us.
        scu: we may send requests to the peer.
    """
    context._as_scp = scp
    context._as_scu = scu


def serve_with(service_class: type[ServiceClass], sop_classes: frozenset[str]) -> None:
    """Have the requests of some SOP classes served by a service class. Once a process.

    Args:
        service_class: its method SCP is called with each request.
        sop_classes: UIDs.
    """

    def choose(uid: str) -> type[ServiceClass]:
        return service_class if str(uid) in sop_classes else uid_to_service_class(uid)

    pynetdicom_association.uid_to_service_class = choose


def is_open(association: Association) -> bool:
    """Whether an association is established, and the peer has not aborted it."""
    return bool(association.is_established) and not association.acse.is_aborted()


def socket_of(association: Association) -> Any:
    """The socket of an association; None once it is closed."""
    connection = association.dul.socket
    return connection.socket if connection else None


def next_message(association: Association) -> Any:
    """Wait for the next DIMSE message; None if none came in time or the association has ended."""
    return association.dimse.get_msg(block=True)[1]


def queued(association: Association) -> int:
    """How many PDUs wait to be sent by the association's Upper Layer thread."""
    return int(association.dul.to_provider_queue.qsize())


def queue_pdus(association: Association, pdus: bytes) -> None:
    """Have P-DATA-TF PDUs sent by the association's Upper Layer thread.

    Args:
        association: established.
        pdus: encoded, each with one presentation data value.
    """
    for context_id, value in _values(pdus):
        primitive = P_DATA()
        primitive.presentation_data_value_list = [[context_id, value]]
        association.dul.to_provider_queue.put(primitive)


def _values(pdus: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset < len(pdus):
        length = int.from_bytes(pdus[offset + 6 : offset + 10], "big")
        yield pdus[offset + 10], pdus[offset + 11 : offset + 10 + length]
        offset += 10 + length


class _NotifyingQueue(queue.Queue[Any]):
    """A queue that calls a function when something has been put into it."""

    def __init__(self, notify: Callable[[], None]) -> None:
        super().__init__()
        self._notify = notify

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self._notify()


class ConnectionSocket(AssociationSocket):  # type: ignore[misc]
    """A `PeerConnection` as pynetdicom's state machine sees it.

    Args:
        association: that the connection is of.
        connection: open.
    """

    socket: Any

    def __init__(self, association: EventDrivenAssociation, connection: PeerConnection) -> None:
        super().__init__(association, client_socket=connection.socket)
        self.connection = connection

    def send(self, bytestream: bytes) -> None:
        try:
            self.connection.send(bytestream)
        except ConnectionLost:
            self.event_queue.put(CONNECTION_CLOSED)

    def close(self) -> None:
        """Close the connection, also where the peer has closed it already."""
        if self.socket is not None:
            self.connection.close()
            self.socket = None
            self.event_queue.put(CONNECTION_CLOSED)


class UpperLayerThread(DULServiceProvider):  # type: ignore[misc]
    """The Upper Layer of an association (PS3.8 9.2), which waits for events instead of polling.

    Subclasses say how to wait for the peer.

    Attributes:
        stopping: it is to end.
    """

    def __init__(self, association: EventDrivenAssociation) -> None:
        super().__init__(association)
        self.to_provider_queue = _NotifyingQueue(self.wake)
        self.to_user_queue = _NotifyingQueue(association.work_available.set)
        self.daemon = True
        self.stopping = False
        self._active_at = time.monotonic()

    def wake(self) -> None:
        """Wake the thread where it waits. Safe for many threads."""
        raise NotImplementedError

    def receive(self) -> None:
        """Wait for the peer or for `wake`, and put what happened into `event_queue`."""
        raise NotImplementedError

    def failed(self, error: Exception) -> None:
        """Report an error that ends the association."""
        raise NotImplementedError

    def finished(self) -> None:
        """Close the connection, and whatever else the thread has open."""
        raise NotImplementedError

    def note_activity(self) -> None:
        """Restart the time after which an idle association ends."""
        self._active_at = time.monotonic()

    def idle_timer_expired(self) -> bool:
        timeout = self.network_timeout
        return timeout is not None and time.monotonic() - self._active_at > timeout

    def kill_dul(self) -> None:
        self.stopping = True
        self.wake()

    def stop_dul(self) -> bool:
        if self.state_machine.current_state != IDLE:
            self.wake()
            return False
        self.kill_dul()
        self.join(_STOP_SECONDS)
        return True

    def run_reactor(self) -> None:
        """pynetdicom's loop with its order of steps."""
        self.note_activity()
        try:
            while not self.stopping:
                self.step()
        except Exception as error:  # noqa: BLE001  whatever it is, the association has to end
            self.failed(error)
            self.assoc.is_aborted, self.assoc.is_established = True, False
        finally:
            self.stopping = True
            self.finished()
            self.to_user_queue.put(None)  # wakes the thread that waits for this one

    def step(self) -> None:
        """Take one event: what is to be sent first, then the peer."""
        if self.artim_timer.expired:
            self.event_queue.put(ARTIM_EXPIRED)
        if not self._process_recv_primitive() and self.event_queue.empty():
            self.receive()
        with suppress(queue.Empty):
            self.state_machine.do_action(self.event_queue.get(block=False))

    def take_pdu(self, encoded: bytearray) -> None:
        """Hand a received PDU to the state machine.

        Raises:
            Exception: of any kind, where pynetdicom cannot decode it.
        """
        pdu, event = self._decode_pdu(encoded)
        self.event_queue.put(event)
        self._recv_pdu.put(pdu)


class EventDrivenAssociation(Association):  # type: ignore[misc]
    """An association that a peer opens, whose thread waits for work instead of polling.

    It is started after `connect`.

    Args:
        ae: the node's application entity.
        address: of the node's port.
        handlers: of pynetdicom's events.
        upper_layer: makes the thread that reads and writes the connection.

    Attributes:
        work_available: set when the thread of the association has something to do.
    """

    is_established: bool
    is_released: bool
    is_aborted: bool

    def __init__(
        self,
        ae: AE,
        address: Address,
        handlers: Sequence[EventHandlerType],
        upper_layer: Callable[[Any], UpperLayerThread],
    ) -> None:
        self.work_available = threading.Event()
        super().__init__(ae, "acceptor")
        self.dul = upper_layer(self)
        self.dimse.msg_queue = _NotifyingQueue(self.work_available.set)
        self.acse_timeout = ae.acse_timeout
        self.network_timeout = ae.network_timeout
        self.acceptor.maximum_length = ae.maximum_pdu_size
        self.acceptor.ae_title = ae.ae_title
        self.acceptor.address_info = AddressInformation.from_tuple(address)
        self.acceptor.implementation_class_uid = ae.implementation_class_uid
        self.acceptor.implementation_version_name = ae.implementation_version_name
        self.acceptor.supported_contexts = ae.supported_contexts
        for event, handler, *arguments in handlers:
            self.bind(event, handler, *arguments)
        self._ending = False

    def connect(self, connection: PeerConnection, address: Address) -> None:
        """Give it the connection of a peer, with the whole A-ASSOCIATE-RQ to be read.

        Args:
            connection: whose first bytes are the request.
            address: of the peer.
        """
        self.name = f"AcceptorThread@{address[0]}:{address[1]}"
        self.requestor.address_info = AddressInformation.from_tuple(address)
        self.set_socket(ConnectionSocket(self, connection))
        evt.trigger(self, evt.EVT_CONN_OPEN, {"address": address})

    def kill(self) -> None:
        """End the association's thread, and the Upper Layer's."""
        self._ending = True
        self.work_available.set()
        super().kill()

    def run_reactor(self) -> None:
        """Answer the A-ASSOCIATE-RQ, then serve the association until it ends."""
        try:
            self._started_dul = True
            self.dul.start()
            super().run_reactor()
        except Exception as error:  # noqa: BLE001  whatever it is, the association has to end
            self.failed(error)
            self.dul.kill_dul()
            if self.dul.ident is not None:  # its last PDU goes out before `finished`
                self.dul.join(_STOP_SECONDS)
        finally:
            if self.dul.ident is None:  # the system gave us no thread for it
                self.dul.finished()
            self.finished()

    def failed(self, error: Exception) -> None:
        """Report an error that ends the association."""
        raise NotImplementedError

    def finished(self) -> None:
        """The association has ended."""
        raise NotImplementedError

    def serve(self, message: Any, context_id: int) -> None:
        """Serve one DIMSE message.

        Args:
            message: pynetdicom's primitive.
            context_id: of its presentation context.
        """
        self._serve_request(message, context_id)

    def _run_reactor(self) -> None:
        """pynetdicom's loop with its order of steps."""
        while not self._ending:
            self.work_available.wait(CHECK_SECONDS)
            self.work_available.clear()
            if not self._serve_work():
                self.kill()

    def _serve_work(self) -> bool:
        """Serve what has arrived; False if the association has ended."""
        stopping = self.dul.stopping  # read first: what the thread did before it stopped is seen
        while not self._ending:
            context_id, message = self.dimse.get_msg(block=False)
            if message is None:
                break
            self.serve(message, context_id)
        if self.is_established and self.acse.is_release_requested():
            self.acse.send_release(is_response=True)
            self._end(evt.EVT_RELEASED, released=True)
            return False
        if self.acse.is_aborted():
            self.dul.receive_pdu(wait=False)  # triggers EVT_ACSE_RECV
            self._end(evt.EVT_ABORTED, released=False)
            return False
        if self.dul.idle_timer_expired():
            self.abort()
            return False
        return not stopping

    def _end(self, event: Any, *, released: bool) -> None:
        self.is_released, self.is_aborted = released, not released
        self.is_established = False
        evt.trigger(self, event, {})
