"""Word of what happened to a series, as deliveries by the rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from node.core.events import EventType, NewDelivery, SeriesEvent
from node.core.records import SeriesRecord, SeriesState, Verdict
from node.storage.index.series.work import Work

Rules = Callable[[SeriesEvent], Sequence[NewDelivery]]


class EventPublisher:
    """Makes deliveries of news.

    Args:
        rules: what is to be delivered of which news, to whom.
    """

    def __init__(self, work: Work, rules: Rules) -> None:
        self._work = work
        self._rules = rules

    def word(
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
        """What is to be delivered.

        Args:
            state: what the series becomes.
            revision: the series' revision afterwards; None: what it is.
            about: the revision that the news is about, if it is about one.
            files: of that revision, relative to the output folder.
            replaced: files that were visible until now.
        """
        senders = [arrival.calling_ae for arrival in self._work.arrivals(series.pk)]
        news = SeriesEvent(
            event_type=event_type,
            series_uid=series.uid,
            study_uid=series.study_uid,
            part=series.part,
            occasion=f"change {series.change}" if about is None else f"revision {about}",
            revision=series.revision if revision is None else revision,
            at=now,
            state=state,
            verdict=Verdict(verdict.get("verdict", Verdict.UNKNOWN)),
            reasons=(*verdict.get("reasons", ()), *verdict.get("refusals", ())),
            files=files,
            replaced=replaced,
            attributes=self._work.attributes(series.pk),
            senders=tuple(dict.fromkeys(senders)),
        )
        return list(self._rules(news))
