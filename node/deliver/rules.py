"""From news to deliveries, by the settings. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from node.core.events import NewDelivery, SeriesEvent
from node.core.settings.deliver import TargetSettings
from node.deliver.payload import payload


class Rules:
    """Chooses the targets of news.

    Args:
        targets: the entries of `deliver:`.
        output: the output folder.
    """

    def __init__(self, targets: Sequence[TargetSettings], output: Path) -> None:
        self._targets = tuple(targets)
        self._output = output

    def __call__(self, news: SeriesEvent) -> list[NewDelivery]:
        """What is to be delivered of the news."""
        return [
            NewDelivery(
                key=news.key(target.name),
                target=target.name,
                event=str(news.event_type),
                revision=news.revision,
                payload=payload(news, news.key(target.name), str(self._output)),
            )
            for target in self._targets
            if not target.conditions.refusal(news)
        ]

    def tried(self, news: SeriesEvent) -> dict[str, str]:
        """By target, why the news is not for it; empty where it is."""
        return {target.name: target.conditions.refusal(news) for target in self._targets}
