"""From the settings to targets that deliveries can be brought to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from node.deliver.command import Command
from node.deliver.courier import Route
from node.deliver.folder import Folder
from node.deliver.forward import Forward, Sender
from node.deliver.target import Target
from node.deliver_settings import TargetSettings
from node.records import StoredInstance


def make_routes(
    targets: Sequence[TargetSettings],
    *,
    instances: Callable[[str], Sequence[StoredInstance]],
    sender: Sender,
    clock: Callable[[], float],
) -> dict[str, Route]:
    """A route for every entry of `deliver:`.

    Args:
        instances: of a series, by its UID.
        sender: brings instances to a DICOM peer.
        clock: seconds since 1970.

    Raises:
        ConfigError: a secret's file cannot be read.
    """

    def made(settings: TargetSettings) -> Target:
        if settings.webhook:
            from node.deliver.webhook import Webhook  # noqa: PLC0415  loads an HTTP client

            return Webhook(settings.webhook, clock)
        if settings.command:
            return Command(settings.command)
        if settings.folder:
            return Folder(settings.folder)
        assert settings.forward is not None  # noqa: S101  the settings have exactly one
        return Forward(settings.forward, instances, sender)

    return {
        target.name: Route(target.name, made(target), target.give_up_after_hours * 3600)
        for target in targets
    }
