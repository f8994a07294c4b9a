"""A connection while it is in the hall, and why it has left."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Generic, TypeVar

from node.dimse.scp.store.message_reader import Arrival
from node.dimse.upper_layer.connection import PeerConnection

Guest = TypeVar("Guest")


class ReturnReason(Enum):
    """Why a connection has left the hall."""

    RECALLED = auto()  # its thread wants it back
    OTHER = auto()  # what comes next is no C-STORE request
    SELF = auto()  # the request that is there is for its own thread
    ANSWERED = auto()  # as was asked, but the peer does not take the answer at once
    BROKEN = auto()  # see `LentConnection.error`


class LentConnection(Generic[Guest]):
    """A connection while it is in the hall.

    Args:
        guest: what the service knows the association by.
        ring: wakes its thread.

    Attributes:
        left: why it has left; None while it is in.
        error: what went wrong, if it is BROKEN.
        unsent: the rest of an answer that the peer did not take at once.
        served: requests that were answered here.
        wanted: it is to leave before the next request.
        whole: there is a request that waits for its answer.
    """

    __slots__ = (
        "arrival",
        "error",
        "guest",
        "left",
        "number",
        "pdus",
        "ring",
        "served",
        "since",
        "unsent",
        "wanted",
        "whole",
        "wire",
    )

    def __init__(
        self, wire: PeerConnection, arrival: Arrival, guest: Guest, ring: Callable[[], None]
    ) -> None:
        self.wire = wire
        self.arrival = arrival
        self.guest = guest
        self.ring = ring
        self.number = wire.socket.fileno()
        self.left: ReturnReason | None = None
        self.error: Exception | None = None
        self.unsent = b""
        self.served = 0
        self.wanted = False
        self.whole = False
        self.pdus = -1
        self.since = 0.0
