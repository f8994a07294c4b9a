"""A connection while it is lent to the store loop, and why it was returned."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Generic, TypeVar

from node.dimse.scp.store.message_reader import MessageReader
from node.dimse.upper_layer.connection import PeerConnection

AssociationT = TypeVar("AssociationT")
"""What the storage service knows an association by."""


class ReturnReason(Enum):
    """Why the store loop has returned a connection."""

    RECALLED = auto()  # its own thread asked for it
    OTHER_MESSAGE = auto()  # the next message is no C-STORE request
    OWN_THREAD = auto()  # its own thread has to serve the request that has been read
    ANSWER_UNSENT = auto()  # it was served, but the peer does not take the whole response at once
    BROKEN = auto()  # see `LentConnection.error`


class LentConnection(Generic[AssociationT]):
    """A connection while it is lent to the store loop.

    Args:
        connection: to the peer.
        reader: of its C-STORE requests.
        association: what the storage service knows the association by.
        wake_owner: wakes the thread that lends it.

    Attributes:
        returned: why it was returned; None while it is lent.
        error: what went wrong, if it was returned as BROKEN.
        unsent: the rest of a response that the peer did not take at once.
        served: number of requests that were answered while it was lent.
        recalled: it is to be returned before the next request.
        complete: a request has been read and waits for its response.
        descriptor: of its socket.
        pdus, since: how many PDUs had begun when progress was last seen, and when that was (s,
            monotonic).
    """

    __slots__ = (
        "association",
        "complete",
        "connection",
        "descriptor",
        "error",
        "pdus",
        "reader",
        "recalled",
        "returned",
        "served",
        "since",
        "unsent",
        "wake_owner",
    )

    def __init__(
        self,
        connection: PeerConnection,
        reader: MessageReader,
        association: AssociationT,
        wake_owner: Callable[[], None],
    ) -> None:
        self.connection = connection
        self.reader = reader
        self.association = association
        self.wake_owner = wake_owner
        self.descriptor = connection.socket.fileno()
        self.returned: ReturnReason | None = None
        self.error: Exception | None = None
        self.unsent = b""
        self.served = 0
        self.recalled = False
        self.complete = False
        self.pdus = -1
        self.since = 0.0
