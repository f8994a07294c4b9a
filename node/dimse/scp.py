"""The node's application entity: what it offers, who may come, and its start and stop."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from pynetdicom import AE, evt
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.sop_class import Verification
from pynetdicom.transport import ThreadedAssociationServer

from node.archive import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.config import Dicom
from node.dimse import transport
from node.dimse.associations import Associations, printable
from node.dimse.contexts import NATIVE
from node.dimse.store import store_handler
from node.errors import ConfigError
from node.receive import Receiver

log = logging.getLogger(__name__)

MAXIMUM_PDU = 131072  # bytes; fewer, larger PDUs cost less than many small ones
ARTIM_SECONDS = 30  # PS3.8 9.1.5
IDLE_SECONDS = 6 * 3600  # scanners keep one association open for a whole session


class StorageSCP:
    """Listens on the DICOM port.

    Args:
        services: SOP classes other than storage that it offers, with their transfer syntaxes.
        handlers: pynetdicom event handlers of those services.
    """

    def __init__(
        self,
        settings: Dicom,
        receiver: Receiver,
        associations: Associations,
        *,
        services: Sequence[tuple[str, Sequence[str]]] = (),
        handlers: Sequence[EventHandlerType] = (),
    ) -> None:
        transport.prepare()
        self._settings = settings
        self._associations = associations
        self._server: ThreadedAssociationServer | None = None
        self._handlers: list[EventHandlerType] = [
            (evt.EVT_CONN_OPEN, transport.tune_socket),
            (evt.EVT_C_ECHO, lambda _event: 0x0000),
            (evt.EVT_C_STORE, store_handler(receiver, associations)),
            (evt.EVT_RELEASED, associations.released),
            (evt.EVT_ABORTED, associations.aborted),
            (evt.EVT_CONN_CLOSE, associations.connection_closed),
            (evt.EVT_REJECTED, _log_rejected),
            *handlers,
        ]
        self._ae = _application_entity(settings)
        self._ae.add_supported_context(Verification, list(NATIVE))
        for sop_class, syntaxes in services:
            self._ae.add_supported_context(sop_class, list(syntaxes))

    @property
    def port(self) -> int:
        """The port that it listens on, once started."""
        if self._server is None:
            return self._settings.port
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to listen.

        Raises:
            ConfigError: the address is taken or may not be used.
        """
        address = (self._settings.host, self._settings.port)
        try:
            server = self._ae.start_server(address, block=False, evt_handlers=self._handlers)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {address[0]}:{address[1]}: {error.strerror}; "
                "is another program there, or is the port below 1024 (dicom.port)?"
            ) from error
        self._server = server

    def allow(self, settings: Dicom) -> None:
        """Take over changed peers and access rules; open associations stay as they are."""
        self._settings = settings
        _set_access(self._ae, settings)

    def stop(self, timeout: float) -> None:
        """Stop accepting, let open C-STOREs be answered, then end what is still open."""
        if self._server is None:
            return
        server, self._server = self._server, None
        open_ones = [a for a in self._ae.active_associations if a.is_acceptor]
        server.shutdown()
        deadline = time.monotonic() + timeout
        for association in open_ones:
            while self._associations.is_busy(association) and time.monotonic() < deadline:
                time.sleep(0.01)
            if association.is_established:
                association.abort()
        for association in open_ones:
            association.join(max(0.1, deadline - time.monotonic()))


def _application_entity(settings: Dicom) -> AE:
    ae = AE(ae_title=settings.ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_pdu_size = MAXIMUM_PDU
    ae.maximum_associations = settings.max_associations
    ae.acse_timeout = ARTIM_SECONDS
    ae.dimse_timeout = ARTIM_SECONDS
    ae.network_timeout = IDLE_SECONDS
    _set_access(ae, settings)
    return ae


def _set_access(ae: AE, settings: Dicom) -> None:
    ae.require_called_aet = settings.check_called_ae
    known = settings.accept == "known"
    ae.require_calling_aet = [peer.ae_title for peer in settings.peers] if known else []


def _log_rejected(event: Event) -> None:
    log.warning(
        "rejected an association of %r from %s",
        printable(event.assoc.requestor.ae_title),
        event.assoc.requestor.address,
    )
