"""The node's application entity: what it offers, who may come, and its start and stop."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Sequence
from typing import Any, Final

from pynetdicom import AE, evt
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.sop_class import Verification

from node.core.errors import ConfigError
from node.core.settings.model import Dicom
from node.core.system.cpu_latency import CpuLatency
from node.core.system.listening import refusal
from node.dimse.scp.associations import Associations
from node.dimse.scp.audit import Audit
from node.dimse.scp.contexts import NATIVE
from node.dimse.scp.store.store import StoreService
from node.dimse.upper_layer import acceptor, limits
from node.dimse.upper_layer.access.permissions import Peers
from node.dimse.upper_layer.access.tls import server_context
from node.dimse.upper_layer.plain_port import PlainPort
from node.dimse.upper_layer.port import Port, Shared
from node.storage.archive import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.storage.receive.instance_receiver import InstanceReceiver

log = logging.getLogger(__name__)


class StorageSCP:
    """Listens on the DICOM port.

    Args:
        services: SOP classes other than storage that it offers, with their transfer syntaxes.
        handlers: pynetdicom event handlers of those services.
        shared: if several processes serve the port.
    """

    def __init__(
        self,
        settings: Dicom,
        receiver: InstanceReceiver,
        associations: Associations,
        *,
        services: Sequence[tuple[str, Sequence[str]]] = (),
        handlers: Sequence[EventHandlerType] = (),
        shared: Shared | None = None,
    ) -> None:
        self._shared = shared
        acceptor.prepare()
        self._settings = settings
        self._audit = Audit()
        self._store = StoreService(
            receiver,
            associations,
            Peers(lambda: self._settings),
            self._audit,
            CpuLatency(settings.keep_awake),
        )
        self._port: Port | PlainPort | None = None
        self._tls: ssl.SSLContext | None = None
        self._handlers: list[EventHandlerType] = [
            (evt.EVT_C_ECHO, lambda _event: 0x0000),
            (evt.EVT_C_STORE, self._store.handler()),
            (evt.EVT_ACSE_RECV, associations.release_asked),
            (evt.EVT_RELEASED, associations.released),
            (evt.EVT_ABORTED, associations.aborted),
            (evt.EVT_CONN_CLOSE, associations.connection_closed),
            *(_settled(bound, receiver) for bound in handlers),
        ]
        self._ae = _application_entity(settings)
        self._ae.add_supported_context(Verification, list(NATIVE))
        for sop_class, syntaxes in services:
            self._ae.add_supported_context(sop_class, list(syntaxes))

    @property
    def port(self) -> int:
        """The port that it listens on, once started."""
        return self._settings.port if self._port is None else self._port.number

    def start(self) -> None:
        """Begin to listen.

        Raises:
            ConfigError: the address is taken or may not be used.
        """
        host, port = self._settings.host, self._settings.port
        self._store.start()
        try:
            self._port = self._opened()
        except OSError as error:
            raise ConfigError(refusal("DICOM", host, port, "dicom.port", error)) from error

    def _opened(self) -> Port | PlainPort:
        if not acceptor.usable():
            settings = self._settings
            if settings.tls or settings.identity or self._shared is not None:
                raise ConfigError(
                    "dicom.tls, dicom.identity and dicom.processes need a version of pynetdicom "
                    "that is known here"
                )
            return PlainPort(self._ae, self._settings, self._handlers)
        tls = self._settings.tls
        self._tls = None if tls is None else server_context(tls)
        return Port(
            self._ae,
            lambda: self._settings,
            self._handlers,
            self._store.fast_path,
            self._audit,
            lambda: self._tls,
            self._shared,
        )

    def allow(self, settings: Dicom) -> None:
        """Take over changed peers and rules, and renewed certificates; what is open stays open."""
        self._settings = settings
        if isinstance(self._port, PlainPort):
            self._port.allow(settings)
        if self._tls is not None and settings.tls is not None:
            try:
                self._tls = server_context(settings.tls)
            except ConfigError as error:
                log.error("the certificates were not taken over: %s", error)

    def stop(self, timeout: float) -> None:
        """Stop accepting, let open C-STOREs be answered, then end what is still open."""
        if self._port is not None:
            self._port.close(timeout)
            self._port = None
        self._store.stop()


_SEEING: Final = (evt.EVT_C_FIND, evt.EVT_C_GET, evt.EVT_C_MOVE, evt.EVT_N_ACTION)
"""Events whose handlers look at what the node holds."""


def _settled(bound: EventHandlerType, receiver: InstanceReceiver) -> EventHandlerType:
    """Whatever was answered 0x0000 before a request is found by it."""
    event, handler, *arguments = bound
    if event not in _SEEING:
        return bound

    def handle(request: Event, *args: Any) -> Any:
        receiver.settle()
        return handler(request, *args)

    return (event, handle, *arguments)


def _application_entity(settings: Dicom) -> AE:
    ae = AE(ae_title=settings.ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_pdu_size = limits.MAXIMUM_PDU
    ae.maximum_associations = settings.max_associations
    ae.acse_timeout = limits.ARTIM_SECONDS
    ae.dimse_timeout = limits.ARTIM_SECONDS
    ae.network_timeout = limits.IDLE_SECONDS
    return ae
