"""Which targets an event is delivered to, by the settings. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from node.core.events import NewDelivery, SeriesEvent
from node.core.settings.deliver import TargetSettings
from node.deliver.payload import payload


class Rules:
    """Chooses the targets of events.

    Args:
        targets: the entries of `deliver:`.
        output: the output folder.
    """

    def __init__(self, targets: Sequence[TargetSettings], output: Path) -> None:
        self._targets = tuple(targets)
        self._output = output

    def __call__(self, event: SeriesEvent) -> list[NewDelivery]:
        """The deliveries of an event: one for each target whose conditions it meets."""
        return [
            NewDelivery(
                key=event.key(target.name),
                target=target.name,
                event=str(event.event_type),
                revision=event.revision,
                payload=payload(event, event.key(target.name), str(self._output)),
            )
            for target in self._targets
            if not target.refusal(event)
        ]

    def refusals(self, event: SeriesEvent) -> dict[str, str]:
        """For each target, why the event is not delivered to it; empty if it is."""
        return {target.name: target.refusal(event) for target in self._targets}
