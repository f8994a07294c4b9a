"""The one place that touches what pynetdicom does not promise to keep.

Each change is made only for a version of pynetdicom that it was made for; with any other, the
plain path with pynetdicom's own switches serves, slower and less choosy, and the log says so.
"""

from __future__ import annotations

import logging
import socket
from contextlib import suppress

import pynetdicom
from pynetdicom import _config, acse
from pynetdicom.association import Association
from pynetdicom.events import Event

from node.dimse.contexts import negotiate

log = logging.getLogger(__name__)

_MADE_FOR = ("3.0.4",)


def prepare() -> None:
    """Set pynetdicom up for a node that takes everything. Once a process, before the AE starts."""
    _config.LOG_HANDLER_LEVEL = "none"  # its standard handlers log identifiers of patients
    _config.UNRESTRICTED_STORAGE_SERVICE = True  # serve C-STORE of any SOP class
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    if pynetdicom.__version__ in _MADE_FOR:
        acse.negotiate_unrestricted = negotiate
    else:
        log.warning(
            "pynetdicom %s is not one of %s: presentation contexts are negotiated its own way",
            pynetdicom.__version__,
            ", ".join(_MADE_FOR),
        )


def tune_socket(event: Event) -> None:
    """Answer at once: a sender with Nagle waits for our ACK before it sends the rest."""
    connection = event.assoc.dul.socket
    raw = connection.socket if connection else None
    if raw is None:
        return
    with suppress(OSError):  # the peer may be gone already
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def is_receiving(association: Association) -> bool:
    """Whether part of a message has come, or a whole one that nobody has looked at yet."""
    dimse = association.dimse
    return dimse.message is not None or not dimse.msg_queue.empty()
