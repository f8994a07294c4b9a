"""Results to a DICOM peer: objects that the node made, kept on disk until they are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from node.core.errors import Permanent, Retryable
from node.core.events import Delivery
from node.core.records import StoredInstance
from node.core.system.disk import file_sha256
from node.deliver.targets.forward import Sender
from node.deliver.targets.target import DeliveryRefused, TargetUnavailable

EVENT: Final = "result"
"""The event of a delivery whose payload names a result's objects."""
_PREFIX: Final = "result:"
"""Of the name of a result's target; the names of entries of `deliver:` have no colon."""
SECONDS: Final = 3600.0
"""For the whole of one attempt, as for the instances of a series."""
GIVE_UP_SECONDS: Final = 72 * 3600.0


def target_of(peer: str) -> str:
    """Return the outbox's name of a peer that results go to."""
    return _PREFIX + peer


def peer_of(target: str) -> str | None:
    """Return the peer of a target of results; None: it is another kind of target."""
    return target.removeprefix(_PREFIX) if target.startswith(_PREFIX) else None


class ResultTarget:
    """A peer that gets results.

    Args:
        peer: its name in the settings.
        folder: of the results' files.
        sender: brings instances to a peer.
    """

    def __init__(self, peer: str, folder: Path, sender: Sender) -> None:
        self._peer = peer
        self._folder = folder
        self._sender = sender

    def deliver(self, delivery: Delivery) -> None:
        """Send the objects of one result, as the bytes that were written when it was made.

        Raises:
            TargetUnavailable: it can be tried again.
            DeliveryRefused: the peer does not store such objects, or a file is gone or damaged.
        """
        instances = [self._stored(one) for one in delivery.payload["instances"]]
        try:
            self._sender(self._peer, instances, SECONDS)
        except Retryable as error:
            raise TargetUnavailable(str(error)) from error
        except Permanent as error:  # or it would keep the later results of the series waiting
            raise DeliveryRefused(str(error)) from error

    def _stored(self, one: dict[str, Any]) -> StoredInstance:
        path = self._folder / one["path"]
        try:
            damaged = file_sha256(path) != one["file_sha256"]
        except OSError as error:
            raise DeliveryRefused(
                f"the result's file {path.name} cannot be read: {error.strerror}; make the "
                "result again"
            ) from error
        if damaged:
            raise DeliveryRefused(
                f"the result's file {path.name} is damaged; make the result again"
            )
        return StoredInstance(
            sop_instance_uid=one["sop_instance_uid"],
            sop_class_uid=one["sop_class_uid"],
            transfer_syntax_uid=one["transfer_syntax_uid"],
            path=str(path.absolute()),
            size=one["size"],
            sha256=one["sha256"],
            data_set_offset=one["offset"],
            pixel_offset=None,
            pixel_length=None,
            received_at=0.0,
            header=b"",
        )
