"""The DICOM port: accepts or rejects associations, and ends them when the node stops."""

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
from typing import Final

from pynetdicom import AE
from pynetdicom.events import EventHandlerType

from node.core import metrics
from node.core.settings.model import Dicom
from node.core.system.listening import bound
from node.dimse.upper_layer.accepted_association import (
    AcceptedAssociation,
    Acceptor,
    ServiceOf,
)
from node.dimse.upper_layer.access.admission import Admission
from node.dimse.upper_layer.access.audit import Audit
from node.dimse.upper_layer.access.certificates import Certificate, shown
from node.dimse.upper_layer.access.identification import Identification
from node.dimse.upper_layer.access.name_resolution import Names
from node.dimse.upper_layer.associate_request import AssociateRequest, Rejection, reject
from node.dimse.upper_layer.connection import Address, PeerConnection
from node.dimse.upper_layer.limits import BACKLOG
from node.dimse.upper_layer.listener import Listener
from node.dimse.upper_layer.request_repair import repaired, unacceptable

log = logging.getLogger(__name__)

_DESCRIPTORS: Final = 8192  # that we ask the system for; an association takes four
_DELAY_SECONDS: Final = 0.001  # before accepting, for each association that this process has
_LONGEST_DELAY: Final = 8  # associations that count for it
_CUT_SECONDS: Final = 2.0  # for an association to end after its connection was broken


@dataclass(frozen=True, slots=True)
class Shared:
    """A port that several processes serve.

    Attributes:
        listening: the socket on which all of them accept connections.
        elsewhere: how many associations the other processes have.
        counted: called with the number of associations that this process has.
    """

    listening: socket.socket
    elsewhere: Callable[[], int]
    counted: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Requestor:
    """A peer that has requested an association.

    Attributes:
        received: its A-ASSOCIATE-RQ, and any bytes after it.
        request: the same, read.
        certificate: that it has shown; None without TLS or certificate.
    """

    connection: socket.socket
    address: Address
    received: bytes
    request: AssociateRequest
    certificate: Certificate | None

    @property
    def host(self) -> str:
        """The address without its port."""
        return str(self.address[0])


class AssociationServer:
    """Accepts associations on the DICOM port.

    Args:
        ae: pynetdicom's application entity, with the contexts of every service but storage.
        settings: returns the current settings; SIGHUP may change them.
        handlers: of pynetdicom's events.
        service_of: makes what serves the C-STORE requests of an association.
        audit: gets a line for each association.
        tls: returns the server's current context; None for plain TCP.
        shared: if several processes serve the port; None: it opens its own.

    Raises:
        OSError: the address is taken or may not be used.
    """

    def __init__(
        self,
        ae: AE,
        settings: Callable[[], Dicom],
        handlers: Sequence[EventHandlerType],
        service_of: ServiceOf,
        audit: Audit,
        tls: Callable[[], ssl.SSLContext | None] = lambda: None,
        shared: Shared | None = None,
    ) -> None:
        now = settings()
        self._audit = audit
        self._shared = shared
        self._admission: Admission[AcceptedAssociation] = Admission(
            settings, Names(), shared.elsewhere if shared else lambda: 0
        )
        _raise_descriptor_limit()
        self._listening = shared.listening if shared else _listening(now)
        address = self._listening.getsockname()
        self._acceptor = Acceptor(ae, address, handlers, service_of, self._ended)
        self._listener = Listener(
            self._listening,
            tls,
            self._requested,
            audit.refused_connection,
            self._delay if shared and now.processes > 1 else None,
        )
        self._identification = Identification(self._listener.run_later)
        self._listener.start()

    @property
    def number(self) -> int:
        """The number of the port."""
        return int(self._listening.getsockname()[1])

    def close(self, timeout: float) -> None:
        """Accept no more associations, and end those that are open.

        Args:
            timeout: seconds in which requests under way may be answered; then connections are
                broken.
        """
        self._identification.stop()
        self._listener.stop()
        if self._shared is None:  # a shutdown would end the port for the other processes, too
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        associations = self._admission.admitted()
        for association in associations:
            association.leave()
        _join(associations, timeout)
        for association in associations:
            association.cut()
        _join(associations, _CUT_SECONDS)

    def _requested(
        self,
        connection: socket.socket,
        address: Address,
        received: bytes,
        request: AssociateRequest,
    ) -> None:
        """Take over the connection of a peer that requests an association. The listener's thread
        calls it, so it may wait for nothing."""
        requestor = _Requestor(connection, address, received, request, shown(connection))
        rejection = unacceptable(received)
        if rejection is None:
            rejection = self._admission.refusal(request, requestor.host, requestor.certificate)
        if rejection is not None:
            self._reject(requestor, rejection)
            return
        identity = self._admission.identity(request, requestor.host)
        if identity is None:
            self._accept(requestor)
            return
        decided = partial(self._identified, requestor)
        self._identification.check(identity, request.identity, requestor.host, decided)

    def _reject(self, requestor: _Requestor, rejection: Rejection) -> None:
        self._audit.rejected(requestor.request, requestor.host, rejection.sentence)
        metrics.rejected()
        _send_and_close(requestor.connection, reject(rejection))

    def _identified(self, requestor: _Requestor, rejection: Rejection | None) -> None:
        """Go on, now that the user has been checked; the peer may have closed the connection."""
        try:
            if rejection is not None:
                self._reject(requestor, rejection)
            else:
                self._accept(requestor)
        except BaseException:
            requestor.connection.close()
            raise

    def _accept(self, requestor: _Requestor) -> None:
        request, host = requestor.request, requestor.host
        rejection = self._admission.crowded(request, host)
        if rejection is not None:
            self._reject(requestor, rejection)
            return
        caller, doubt = self._admission.caller(request, host, requestor.certificate)
        connection = PeerConnection(requestor.connection, repaired(requestor.received))
        try:
            association = AcceptedAssociation(self._acceptor, connection, requestor.address, caller)
        except OSError as error:
            log.error(
                "an association from %s cannot be served: no file descriptor is left (%s); raise "
                "LimitNOFILE or lower dicom.max_associations",
                host,
                error.strerror,
            )
            requestor.connection.close()
            return
        self._admission.enter(association, host)
        self._count()
        self._audit.opened(association, request, host, requestor.certificate, doubt)
        try:
            association.start()
        except RuntimeError:
            log.error(
                "an association from %s cannot be served: the system gives the node no more "
                "threads; raise TasksMax or lower dicom.max_associations",
                host,
            )
            association.dul.finished()
            self._ended(association)

    def _ended(self, association: AcceptedAssociation) -> None:
        self._admission.leave(association)
        self._count()
        self._audit.ended(association)
        association.cut()

    def _count(self) -> None:
        if self._shared is not None:
            self._shared.counted(len(self._admission.admitted()))

    def _delay(self) -> float:
        """Seconds to wait before accepting: the process with the fewest associations accepts."""
        return _DELAY_SECONDS * min(_LONGEST_DELAY, len(self._admission.admitted()))


def _listening(settings: Dicom) -> socket.socket:
    listening = bound(settings.host, settings.port)
    listening.listen(BACKLOG)
    return listening


def _join(associations: Sequence[AcceptedAssociation], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    for association in associations:
        association.join(max(0.0, deadline - time.monotonic()))


def _send_and_close(connection: socket.socket, last: bytes) -> None:
    with suppress(OSError):
        connection.send(last)
        connection.shutdown(socket.SHUT_WR)
    connection.close()


def _raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
