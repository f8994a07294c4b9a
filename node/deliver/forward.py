"""The series' instances to a DICOM peer. Who speaks DICOM is handed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from node.core.errors import Permanent, Retryable
from node.core.events import Delivery, EventType
from node.core.records import StoredInstance
from node.core.settings.deliver import ForwardSettings
from node.deliver.target import NotTaken, TargetDown

Sender = Callable[[str, Sequence[StoredInstance], float], None]
"""Stores instances at a peer, by the peer's name in the settings, as the bytes they came in; all of
them within so many seconds.

Raises Retryable if the peer is away or refuses some for now, Permanent if it never takes them.
"""


class Forward:
    """A peer that gets the instances of series.

    Args:
        instances: of a series, by its row.
        sender: brings them to a peer.
    """

    def __init__(
        self,
        settings: ForwardSettings,
        instances: Callable[[int], Sequence[StoredInstance]],
        sender: Sender,
    ) -> None:
        self._peer = settings.peer
        self._seconds = settings.timeout_seconds
        self._instances = instances
        self._sender = sender

    def deliver(self, delivery: Delivery) -> None:
        """Send every instance that the series has now; a peer knows what it has already."""
        if delivery.event == EventType.SUPERSEDED:
            return
        instances = [one for one in self._instances(delivery.series_pk) if not one.conflict]
        try:
            self._sender(self._peer, instances, self._seconds)
        except Retryable as error:
            raise TargetDown(str(error)) from error
        except Permanent as error:
            raise NotTaken(str(error)) from error
