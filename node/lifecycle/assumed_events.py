"""Events that are only assumed, to see which deliveries would apply to a series."""

from __future__ import annotations

import time

from node.core.events import EventType, NewDelivery, SeriesEvent, StudyEvent
from node.core.records import SeriesRecord, SeriesState, Verdict
from node.deliver.rules import Rules
from node.lifecycle.event_publisher import EventPublisher
from node.lifecycle.operator_actions import NoSuchSeries
from node.lifecycle.series_origins import PeerNames, SeriesOrigins
from node.lifecycle.studies.study_watcher import study_event, told_of
from node.storage.index.engine import Index
from node.storage.index.series.work import Work
from node.storage.index.studies.studies import Studies

_OF_PUBLISHED = (EventType.SUPERSEDED, EventType.PROTOCOL_DRIFT)


class AssumedEvents:
    """Makes events as the node would publish them for series in their present state.

    Args:
        index: of the node.
        peer_names: names the peers of a sender.
    """

    def __init__(self, index: Index, peer_names: PeerNames) -> None:
        self._work = Work(index)
        self._studies = Studies(index)
        self._origins = SeriesOrigins(self._work, peer_names)

    def refusals(self, rules: Rules, series_uid: str, event: EventType) -> dict[str, str]:
        """Why each delivery would not apply to an event.

        Args:
            rules: of the deliveries.
            series_uid: of the series; for `study-ready` any one of the study.
            event: that is assumed.

        Returns:
            By the delivery's name; empty where it would apply.

        Raises:
            NoSuchSeries: the index has no series of this UID.
        """
        record = self._work.series(series_uid)
        if record is None:
            raise NoSuchSeries(
                f"there is no series {series_uid}; `rasnode status` lists the series"
            )
        if event is EventType.STUDY_READY:
            return rules.refusals_of_study(self._of_study(record))
        return rules.refusals(self._of_series(record, event))

    def _of_series(self, record: SeriesRecord, event: EventType) -> SeriesEvent:
        published: list[SeriesEvent] = []

        def publish(found: SeriesEvent) -> list[NewDelivery]:
            published.append(found)
            return []

        state = SeriesState.READY if event in _OF_PUBLISHED else SeriesState(str(event))
        EventPublisher(self._origins, publish).deliveries_for(
            record, event, state, record.verdict or {}, time.time()
        )
        return published[0]

    def _of_study(self, record: SeriesRecord) -> StudyEvent:
        study = next(
            one
            for one in self._studies.with_uid(record.study_uid)
            if record.address in {series.address for series in one.situation.series}
        )
        verdict = study.verdict or {"verdict": str(Verdict.UNKNOWN), "reasons": []}
        told = told_of(study, verdict)
        return study_event(
            self._work, self._origins, study, told, EventType.STUDY_READY, time.time()
        )
