"""Which targets an event is delivered to, by the settings. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from node.core.events import EventType, NewDelivery, SeriesEvent, StudyEvent, StudySeriesTold
from node.core.settings.deliver import TargetSettings
from node.deliver.payload import drift_for, payload, study_payload


class Rules:
    """Chooses the targets of events.

    Args:
        targets: the entries of `deliver:`.
        output: the output folder.
    """

    def __init__(self, targets: Sequence[TargetSettings], output: Path) -> None:
        self._targets = tuple(targets)
        self._output = output

    @property
    def has_targets(self) -> bool:
        """Whether anything can be delivered."""
        return bool(self._targets)

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

    def of_study(self, event: StudyEvent) -> list[NewDelivery]:
        """The deliveries of an event of a study.

        A target is told of those series only that meet its conditions, so that a project learns
        nothing of another one's series; it is told nothing if there are none.
        """
        deliveries = []
        for target in self._targets:
            if not target.is_told_of_studies(event.event_type):
                continue
            series = _chosen(target, event)
            if event.event_type is EventType.PROTOCOL_DRIFT and not drift_for(event, series):
                continue
            if series:
                key = event.key(target.name)
                content = study_payload(event, series, key, str(self._output))
                kind = str(event.event_type)
                deliveries.append(NewDelivery(key, target.name, kind, event.revision, content))
        return deliveries

    def refusals_of_study(self, event: StudyEvent) -> dict[str, str]:
        """For each target, why `study-ready` is not delivered to it; empty if it is."""
        found = {}
        for target in self._targets:
            if EventType.STUDY_READY not in target.events:
                found[target.name] = f"its events are {', '.join(target.events)}, not study-ready"
            elif _chosen(target, event):
                found[target.name] = ""
            else:
                whys = [target.conditions.refusal(one.values) for one in event.series]
                found[target.name] = f"no series of the study is for it: {'; '.join(whys)}"
        return found

    def refusals(self, event: SeriesEvent) -> dict[str, str]:
        """For each target, why the event is not delivered to it; empty if it is."""
        return {target.name: target.refusal(event) for target in self._targets}


def _chosen(target: TargetSettings, event: StudyEvent) -> list[StudySeriesTold]:
    """Those series of a study that meet the conditions of a target."""
    return [one for one in event.series if not target.conditions.refusal(one.values)]
