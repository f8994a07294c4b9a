"""Makes deliveries of what happened to a series, by the rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from node.core.events import EventType, NewDelivery, SeriesEvent
from node.core.records import SeriesRecord, SeriesState, Verdict
from node.lifecycle.series_origins import SeriesOrigins

Rules = Callable[[SeriesEvent], Sequence[NewDelivery]]


class EventPublisher:
    """Makes the deliveries of events.

    Args:
        origins: what conditions are compared with, from the index.
        rules: returns the deliveries of an event.
        has_targets: whether there is any target; if not, no event is described.
    """

    def __init__(
        self, origins: SeriesOrigins, rules: Rules, has_targets: Callable[[], bool] = lambda: True
    ) -> None:
        self._origins = origins
        self._rules = rules
        self._has_targets = has_targets

    def deliveries_for(
        self,
        series: SeriesRecord,
        event_type: EventType,
        state: SeriesState,
        verdict: dict[str, Any],
        now: float,
        *,
        revision: int | None = None,
        about: int | None = None,
        files: tuple[str, ...] = (),
        replaced: tuple[str, ...] = (),
    ) -> list[NewDelivery]:
        """Make the deliveries of an event.

        Args:
            series: the series before the event.
            event_type: what happens to it.
            state: its state after the event.
            verdict: its verdict with the reasons.
            now: seconds since 1970.
            revision: its revision after the event; None: unchanged.
            about: the revision that the event is about, if it is about one.
            files: the files of that revision, relative to the output folder.
            replaced: the files that were visible until now.

        Returns:
            the deliveries, which the caller adds to the outbox.
        """
        if not self._has_targets():
            return []
        found = Verdict(verdict.get("verdict", Verdict.UNKNOWN))
        values = self._origins.values(series, found)
        event = SeriesEvent(
            event_type=event_type,
            series_uid=series.uid,
            study_uid=series.study_uid,
            part=series.part,
            occasion=f"change {series.change}" if about is None else f"revision {about}",
            revision=series.revision if revision is None else revision,
            at=now,
            state=state,
            verdict=found,
            reasons=(*verdict.get("reasons", ()), *verdict.get("refusals", ())),
            files=files,
            replaced=replaced,
            attributes=dict(values.attributes),
            senders=values.calling,
            called=values.called,
            peers=values.peers,
            pull_jobs=values.pull_jobs,
            quality=verdict.get("quality") or {},
            drift=tuple(verdict.get("drift") or ()),
        )
        return list(self._rules(event))
