"""The DICOM port: connections from the front, associations on pynetdicom, and their end."""

from __future__ import annotations

import logging
import resource
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from pynetdicom import AE
from pynetdicom.events import EventHandlerType
from pynetdicom.transport import AssociationServer

from node.core import metrics
from node.core.settings.model import Dicom
from node.dimse.scp.audit import Audit
from node.dimse.upper_layer.acceptor import Acceptor, FastPathOf
from node.dimse.upper_layer.access.admission import Admission
from node.dimse.upper_layer.access.certificates import Certificate, shown
from node.dimse.upper_layer.access.identification import Identification
from node.dimse.upper_layer.access.name_resolution import Names
from node.dimse.upper_layer.associate_request import AssociateRequest, Rejection, reject
from node.dimse.upper_layer.association_pool import Stock
from node.dimse.upper_layer.connection import PeerConnection
from node.dimse.upper_layer.limits import BACKLOG
from node.dimse.upper_layer.listener import Address, Listener
from node.dimse.upper_layer.request_repair import plain, unacceptable

log = logging.getLogger(__name__)

_DESCRIPTORS = 8192  # as many as the system lets us have; associations take four each
_HESITATION_SECONDS = 0.001
_CUT_SECONDS = 2.0  # what a stopped association has to end in


@dataclass(frozen=True, slots=True)
class Shared:
    """A port that several processes serve.

    Attributes:
        listening: the socket that all of them accept on.
        elsewhere: how many associations the others have open.
        counted: told how many this process has.
    """

    listening: socket.socket
    elsewhere: Callable[[], int]
    counted: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Asking:
    """A connection that has asked for an association.

    Attributes:
        first: the A-ASSOCIATE-RQ, and what came after it.
        certificate: what the peer has shown; None without TLS or certificate.
    """

    connection: socket.socket
    address: Address
    first: bytes
    request: AssociateRequest
    certificate: Certificate | None

    @property
    def host(self) -> str:
        """The address without its port."""
        return str(self.address[0])


class _Listener(AssociationServer):  # type: ignore[misc]
    """pynetdicom's server, of which only what it knows is used: not its way to accept."""

    request_queue_size = BACKLOG
    socket: Any

    def __init__(self, *args: Any, listening: socket.socket | None, **options: Any) -> None:
        self._listening = listening
        super().__init__(*args, **options)

    def server_bind(self) -> None:
        if self._listening is None:
            super().server_bind()
            return
        self.socket.close()
        self.socket = self._listening
        self.server_address = self.socket.getsockname()


class Port:
    """Listens and serves.

    Args:
        settings: the current ones.
        fast_path_of: for the C-STORE requests of an association.
        tls: the server's context at the moment, None for plain TCP.

    Raises:
        OSError: the address is taken or may not be used.
    """

    def __init__(
        self,
        ae: AE,
        settings: Callable[[], Dicom],
        handlers: Sequence[EventHandlerType],
        fast_path_of: FastPathOf,
        audit: Audit,
        tls: Callable[[], ssl.SSLContext | None] = lambda: None,
        shared: Shared | None = None,
    ) -> None:
        now = settings()
        self._audit = audit
        self._shared = shared
        self._admission = Admission(settings, Names(), shared.elsewhere if shared else lambda: 0)
        _raise_descriptors()
        self._server = ae.make_server(
            (now.host, now.port),
            evt_handlers=list(handlers),
            server_class=partial(_Listener, listening=shared.listening if shared else None),
        )
        self._stock = Stock(partial(Acceptor, self._server, fast_path_of, self._ended))
        self._front = Listener(
            self._server.socket,
            tls,
            self._welcome,
            audit.hung_up,
            self._stock.add,
            self._hesitation if shared and now.processes > 1 else None,
        )
        self._identification = Identification(self._front.later)
        self._front.start()

    @property
    def number(self) -> int:
        """The port's number."""
        return int(self._server.server_address[1])

    def close(self, timeout: float) -> None:
        """Stop accepting, let what is under way be answered, then end what is still open."""
        self._identification.stop()
        self._front.stop()
        if self._shared is None:
            self._server.server_close()
        else:
            self._shared.listening.close()  # a shutdown would end it for the others too
        guests = [guest for guest in self._admission.guests() if isinstance(guest, Acceptor)]
        for guest in guests:
            guest.leave()
        _join(guests, timeout)
        for guest in guests:
            guest.cut()
        _join(guests, _CUT_SECONDS)

    def _welcome(
        self, connection: socket.socket, address: Address, first: bytes, request: AssociateRequest
    ) -> None:
        """Take a connection over; the port's thread calls it, and nothing here may keep it."""
        asking = _Asking(connection, address, first, request, shown(connection))
        rejection = unacceptable(first)
        if rejection is None:
            rejection = self._admission.refusal(request, asking.host, asking.certificate)
        if rejection is not None:
            self._turn_away(asking, rejection)
            return
        identity = self._admission.identity(request, asking.host)
        if identity is None:
            self._admit(asking)
            return
        decided = partial(self._identified, asking)
        self._identification.check(identity, request.identity, asking.host, decided)

    def _turn_away(self, asking: _Asking, rejection: Rejection) -> None:
        self._audit.turned_away(asking.request, asking.host, rejection.sentence)
        metrics.rejected()
        _say_goodbye(asking.connection, reject(rejection))

    def _identified(self, asking: _Asking, rejection: Rejection | None) -> None:
        """It is known whether the user is one of ours; the peer may have gone meanwhile."""
        try:
            if rejection is not None:
                self._turn_away(asking, rejection)
            else:
                self._admit(asking)
        except BaseException:
            asking.connection.close()
            raise

    def _admit(self, asking: _Asking) -> None:
        rejection = self._admission.crowded(asking.request, asking.host)
        if rejection is not None:
            self._turn_away(asking, rejection)
            return
        connection, address = asking.connection, asking.address
        caller, doubt = self._admission.caller(asking.request, asking.host, asking.certificate)
        association = self._stock.take()
        try:
            association.meet(PeerConnection(connection, plain(asking.first)), address)
            association.caller = caller
        except OSError as error:  # no descriptor is left
            log.error("an association from %s cannot be served: %s", asking.host, error.strerror)
            connection.close()
            return
        self._admission.enter(association, asking.host)
        self._count()
        self._audit.opened(association, asking.request, asking.host, asking.certificate, doubt)
        try:
            association.start()
        except RuntimeError:  # the system gives us no thread
            log.error("an association from %s cannot be served: out of threads", asking.host)
            self._ended(association)

    def _ended(self, association: Acceptor) -> None:
        self._admission.leave(association)
        self._count()
        self._audit.ended(association)
        association.cut()

    def _count(self) -> None:
        if self._shared is not None:
            self._shared.counted(len(self._admission.guests()))

    def _hesitation(self) -> float:
        """Seconds to wait before accepting: the process with fewer associations goes first."""
        return _HESITATION_SECONDS * min(8, len(self._admission.guests()))


def _join(associations: Sequence[Acceptor], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    for association in associations:
        association.join(max(0.0, deadline - time.monotonic()))


def _say_goodbye(connection: socket.socket, last: bytes) -> None:
    with suppress(OSError):
        connection.send(last)
        connection.shutdown(socket.SHUT_WR)
    connection.close()


def _raise_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
