"""Makes the targets that the settings describe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from node.core.records import StoredInstance
from node.core.settings.deliver import PayloadSettings, TargetSettings
from node.deliver.outbox_dispatcher import Route
from node.deliver.payload import AddInstances, with_links, with_paths
from node.deliver.targets.command import Command, ResultImages
from node.deliver.targets.folder import Folder, Published
from node.deliver.targets.forward import Forward, Sender
from node.deliver.targets.target import Target
from node.deliver.targets.time_limited import TimeLimited

_MARGIN_SECONDS: Final = 15.0
"""What a target may need beyond its time-out, to end a command's children or to abort an
association. An attempt that has not ended then hangs."""
_RESULTS_SECONDS: Final = 600.0
"""What it may take to make DICOM objects of the images that a command left."""


def make_routes(
    targets: Sequence[TargetSettings],
    *,
    instances: Callable[[int], Sequence[StoredInstance]],
    attributes: Callable[[int], Mapping[str, Any]],
    sender: Sender,
    published: Published,
    clock: Callable[[], float],
    archive: Path,
    page: str = "",
    result_images: Callable[[TargetSettings], ResultImages] | None = None,
) -> dict[str, Route]:
    """Make a route for every entry of `deliver:`.

    Args:
        targets: the entries.
        instances: returns the instances of a series, by the series' row.
        attributes: returns what the index holds of a series, its study and its patient, by the
            series' row.
        sender: stores instances at a DICOM peer.
        published: returns what the files of a series have to be.
        clock: returns seconds since 1970.
        archive: the folder that the instances' paths are relative to.
        page: the URL of the node's page, for payloads with links.
        result_images: returns what takes the images that the command of an entry leaves.

    Returns:
        the routes, by the names of the entries.

    Raises:
        ConfigError: a secret's file cannot be read.
    """

    def told(payload: PayloadSettings) -> AddInstances:
        return with_links(instances, page) if payload.links else with_paths(instances, archive)

    def made(settings: TargetSettings) -> Target:
        if settings.webhook:
            from node.deliver.targets.webhook import Webhook  # noqa: PLC0415  loads an HTTP client

            return Webhook(settings.webhook, clock, told(settings.webhook.payload))
        if settings.command:
            command = settings.command
            taking = result_images(settings) if result_images and command.results else None
            return Command(command, attributes, told(command.payload), taking)
        if settings.folder:
            return Folder(settings.folder, published)
        assert settings.forward is not None  # noqa: S101  the settings have exactly one
        return Forward(settings.forward, instances, sender)

    def route(settings: TargetSettings) -> Route:
        longest = settings.timeout_seconds + _MARGIN_SECONDS
        if settings.command is not None and settings.command.results is not None:
            longest += _RESULTS_SECONDS
        target = TimeLimited(made(settings), longest)
        return Route(settings.name, target, settings.give_up_after_hours * 3600, longest)

    return {settings.name: route(settings) for settings in targets}
