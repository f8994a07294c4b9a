"""From the settings to targets that deliveries can be brought to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from node.core.records import StoredInstance
from node.core.settings.deliver import PayloadSettings, TargetSettings
from node.deliver.bounded import Bounded
from node.deliver.command import Answers, Command
from node.deliver.dispatcher import Route
from node.deliver.folder import Folder, Published
from node.deliver.forward import Forward, Sender
from node.deliver.payload import Instances, with_links, with_paths
from node.deliver.target import Target

_MARGIN_SECONDS: Final = 15.0
"""What a target may need beyond its time-out: to end a command's children, to abort an association;
an attempt that has not ended then hangs."""
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
    answers: Callable[[TargetSettings], Answers] | None = None,
) -> dict[str, Route]:
    """A route for every entry of `deliver:`.

    Args:
        instances: of a series, by its row.
        attributes: what the index keeps of a series, its study and its patient, by its row.
        sender: brings instances to a DICOM peer.
        published: what the files of a series have to be.
        clock: seconds since 1970.
        archive: the folder that the instances' paths are relative to.
        page: the URL of the node's page, for payloads with links.
        answers: returns who takes the images that the command of an entry leaves.

    Raises:
        ConfigError: a secret's file cannot be read.
    """

    def told(payload: PayloadSettings) -> Instances:
        return with_links(instances, page) if payload.links else with_paths(instances, archive)

    def made(settings: TargetSettings) -> Target:
        if settings.webhook:
            from node.deliver.webhook import Webhook  # noqa: PLC0415  loads an HTTP client

            return Webhook(settings.webhook, clock, told(settings.webhook.payload))
        if settings.command:
            command = settings.command
            answering = answers(settings) if answers and command.results else None
            return Command(command, attributes, told(command.payload), answering)
        if settings.folder:
            return Folder(settings.folder, published)
        assert settings.forward is not None  # noqa: S101  the settings have exactly one
        return Forward(settings.forward, instances, sender)

    def route(settings: TargetSettings) -> Route:
        longest = settings.timeout_seconds + _MARGIN_SECONDS
        if settings.command is not None and settings.command.results is not None:
            longest += _RESULTS_SECONDS
        target = Bounded(made(settings), longest)
        return Route(settings.name, target, settings.give_up_after_hours * 3600, longest)

    return {settings.name: route(settings) for settings in targets}
