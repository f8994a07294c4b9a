"""The DICOM port served by pynetdicom's own server: for versions of it that we do not know."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pynetdicom import AE, evt
from pynetdicom.events import Event, EventHandlerType

from node.core.settings.model import Dicom
from node.dimse.upper_layer import acceptor
from node.dimse.upper_layer.access.name_resolution import Names
from node.dimse.upper_layer.access.permissions import recognized


class PlainPort:
    """Listens, and serves with pynetdicom's public switches alone.

    Raises:
        OSError: the address is taken or may not be used.
    """

    def __init__(self, ae: AE, settings: Dicom, handlers: Sequence[EventHandlerType]) -> None:
        self._ae = ae
        self._names = Names()
        self.allow(settings)
        self._server = ae.start_server(
            (settings.host, settings.port),
            block=False,
            evt_handlers=[
                (evt.EVT_CONN_OPEN, acceptor.tune_socket),
                (evt.EVT_ACCEPTED, self._meet),
                *handlers,
            ],
        )

    @property
    def number(self) -> int:
        """The port's number."""
        return int(self._server.server_address[1])

    def _meet(self, event: Event) -> None:
        """pynetdicom's EVT_ACCEPTED, before anything is asked: who has come."""
        peer = event.assoc.requestor
        event.assoc.caller, _ = recognized(
            self._settings, self._names, str(peer.ae_title).strip(), str(peer.address), None
        )

    def allow(self, settings: Dicom) -> None:
        """Take over changed peers and access rules."""
        self._settings = settings
        self._ae.require_called_aet = settings.check_called_ae
        known = settings.accept == "known"
        self._ae.require_calling_aet = [peer.ae_title for peer in settings.peers] if known else []

    def close(self, timeout: float) -> None:
        """Stop accepting, give open associations some time, then end them."""
        associations = [a for a in self._ae.active_associations if a.is_acceptor]
        self._server.shutdown()
        deadline = time.monotonic() + timeout
        for association in associations:
            association.join(max(0.0, deadline - time.monotonic()))
            if association.is_established:
                association.abort()
