"""Forwards the instances of a series to a DICOM peer, by a C-STORE SCU that is passed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from node.core.errors import Permanent, Retryable
from node.core.events import Delivery, EventType
from node.core.records import StoredInstance
from node.core.settings.deliver import ForwardSettings
from node.deliver.targets.target import DeliveryFailed, TargetUnavailable

Sender = Callable[[str, Sequence[StoredInstance], float], None]
"""Stores instances at a peer: the peer's name in the settings, the instances, and the seconds that
all of them may take together.

Raises Retryable if the peer is unavailable or refuses instances for now, Permanent if it will never
accept them.
"""


class Forward:
    """A DICOM peer that the instances of series are forwarded to.

    Args:
        settings: the entry of `deliver:`.
        instances: returns the instances of a series, by its row in the index.
        sender: stores instances at a peer.
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
        """Send every instance that the series has now; the peer ignores those that it has.

        Raises:
            TargetUnavailable: the peer is unavailable, or refuses instances for now.
            DeliveryFailed: the peer will not accept an instance.
        """
        if delivery.event == EventType.SUPERSEDED:
            return
        instances = [one for one in self._instances(delivery.series_pk) if not one.conflict]
        try:
            self._sender(self._peer, instances, self._seconds)
        except Retryable as error:
            raise TargetUnavailable(str(error)) from error
        except Permanent as error:
            raise DeliveryFailed(str(error)) from error
