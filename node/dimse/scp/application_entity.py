"""The node's application entity: the services that it offers, its start and its stop."""

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
from node.core.statuses import SUCCESS
from node.core.system.listening import refusal
from node.dimse.scp.associations import Associations
from node.dimse.scp.presentation_contexts import NATIVE, negotiate
from node.dimse.scp.store.storage_service import StorageService
from node.dimse.upper_layer import limits, pynetdicom_internals
from node.dimse.upper_layer.access.audit import Audit
from node.dimse.upper_layer.access.permissions import Peers
from node.dimse.upper_layer.access.tls import server_context
from node.dimse.upper_layer.association_server import AssociationServer, Shared
from node.storage.archive import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.storage.receive.instance_receiver import InstanceReceiver

log = logging.getLogger(__name__)


class StorageSCP:
    """Accepts associations on the DICOM port, and serves C-ECHO and C-STORE on them.

    Args:
        settings: of the port.
        receiver: makes instances durable, or refuses them.
        associations: notes which associations brought instances, and how they ended.
        services: SOP classes other than storage that it offers, with their transfer syntaxes.
        handlers: of those services, for pynetdicom's events.
        shared: the port, if several processes serve it; None: it opens its own.

    Raises:
        ConfigError: the installed pynetdicom has another version than the node needs.
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
        pynetdicom_internals.prepare(negotiate)
        self._settings = settings
        self._audit = Audit()
        self._storage = StorageService(
            receiver, associations, Peers(lambda: self._settings), self._audit
        )
        self._server: AssociationServer | None = None
        self._tls: ssl.SSLContext | None = None
        self._handlers: list[EventHandlerType] = [
            (evt.EVT_C_ECHO, lambda _event: SUCCESS),
            (evt.EVT_C_STORE, self._storage.handler()),
            (evt.EVT_ACSE_RECV, associations.release_requested),
            (evt.EVT_RELEASED, associations.released),
            (evt.EVT_ABORTED, associations.aborted),
            (evt.EVT_CONN_CLOSE, associations.connection_closed),
            *(_after_settling(bound, receiver) for bound in handlers),
        ]
        self._ae = _application_entity(settings)
        self._ae.add_supported_context(Verification, list(NATIVE))
        for sop_class, syntaxes in services:
            self._ae.add_supported_context(sop_class, list(syntaxes))

    @property
    def port(self) -> int:
        """The port that it listens on, once started."""
        return self._settings.port if self._server is None else self._server.number

    def start(self) -> None:
        """Begin to listen.

        Raises:
            ConfigError: the address is taken or may not be used.
        """
        host, port = self._settings.host, self._settings.port
        self._storage.start()
        try:
            self._server = self._opened()
        except OSError as error:
            raise ConfigError(refusal("DICOM", host, port, "dicom.port", error)) from error

    def _opened(self) -> AssociationServer:
        tls = self._settings.tls
        self._tls = None if tls is None else server_context(tls)
        return AssociationServer(
            self._ae,
            lambda: self._settings,
            self._handlers,
            self._storage.fast_path,
            self._audit,
            lambda: self._tls,
            self._shared,
        )

    def allow(self, settings: Dicom) -> None:
        """Use changed settings and renewed certificates for new associations.

        Open associations go on; what their callers may do changes at once.
        """
        self._settings = settings
        if self._tls is not None and settings.tls is not None:
            try:
                self._tls = server_context(settings.tls)
            except ConfigError as error:
                log.error("the changed certificates cannot be used, the old ones stay: %s", error)

    def stop(self, timeout: float) -> None:
        """Accept no more associations, and end those that are open.

        Args:
            timeout: seconds in which requests under way may be answered.
        """
        if self._server is not None:
            self._server.close(timeout)
            self._server = None
        self._storage.stop()


_READING: Final = (evt.EVT_C_FIND, evt.EVT_C_GET, evt.EVT_C_MOVE, evt.EVT_N_ACTION)
"""Events whose handlers read what the node holds."""


def _after_settling(bound: EventHandlerType, receiver: InstanceReceiver) -> EventHandlerType:
    """A handler that finds every instance that was answered 0x0000 before its request."""
    event, handler, *arguments = bound
    if event not in _READING:
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
