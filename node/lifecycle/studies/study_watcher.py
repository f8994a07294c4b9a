"""Judges the studies that are due, and makes their events. A step of the completion watcher."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from node.completion.study_decision import StudyDecision, decide_study
from node.core import metrics
from node.core.errors import Retryable, error_reference, traced
from node.core.events import EventType, NewDelivery, StudyEvent, StudySeriesTold
from node.core.records import StudyState, Verdict
from node.lifecycle.series_origins import SeriesOrigins
from node.storage.index.series.work import Work
from node.storage.index.studies.studies import Studies, StudyRecord

log = logging.getLogger(__name__)

StudyRules = Callable[[StudyEvent], Sequence[NewDelivery]]

_MOST_PER_STEP: Final = 100
_AGAIN_SECONDS: Final = 60.0  # after a study could not be judged
_BROKEN: Final = "the study could not be judged; the node tries again"


class SeriesQuery(Protocol):
    """Asks senders which series a study has: `node.lifecycle.studies.sender_series_query`."""

    def consider(self, study: StudyRecord, now: float) -> None:
        """Ask a sender of the study, if that can help and was not done yet.

        Args:
            study: the study, whose series are at rest.
            now: seconds since 1970.
        """
        ...


class StudyWatcher:
    """Decides when studies are ready.

    Args:
        studies: in the index.
        work: the series in the index.
        origins: what conditions are compared with.
        rules: returns the deliveries of an event of a study.
        quiet: `completion.study_quiet_seconds`.
        missing_series: returns which series of the expected protocols a study lacks.
        series_query: asks senders for their series; None: no sender is asked.
        has_targets: whether `rules` may return any.
    """

    def __init__(
        self,
        studies: Studies,
        work: Work,
        origins: SeriesOrigins,
        rules: StudyRules,
        *,
        quiet: float,
        missing_series: Callable[[StudyRecord], list[dict[str, Any]]] = lambda _study: [],
        series_query: SeriesQuery | None = None,
        has_targets: Callable[[], bool] = lambda: True,
    ) -> None:
        self._studies = studies
        self._work = work
        self._origins = origins
        self._rules = rules
        self._quiet = quiet
        self._missing_series = missing_series
        self._series_query = series_query
        self._has_targets = has_targets

    def step(self, now: float) -> float | None:
        """Judge every study that is due.

        Args:
            now: seconds since 1970.

        Returns:
            when the next study is due, seconds since 1970; None: none waits.
        """
        due = self._studies.next_due()
        if due is None or due > now:  # as in most steps
            return due
        for pk in self._studies.due(now, _MOST_PER_STEP):
            study = self._studies.study(pk)
            if study is not None:
                self._judge_guarded(study, now)
        return self._studies.next_due()

    def _judge_guarded(self, study: StudyRecord, now: float) -> None:
        """Judge a study; one that cannot be judged must not stop the others."""
        try:
            self._judge(study, now)
        except Retryable:
            raise
        except Exception as error:  # noqa: BLE001  it costs this study, never the loop
            log.error(
                "study %s could not be judged because of an unexpected error (reference %s); the "
                "node tries again in %g s; please report it: %s",
                study.uid,
                error_reference(error),
                _AGAIN_SECONDS,
                traced(error),
                extra={"study": study.uid},
            )
            later = now + _AGAIN_SECONDS
            decision = StudyDecision(study.state, False, Verdict.UNKNOWN, (), _BROKEN, later)
            self._studies.decided(study, decision, study_verdict(decision, now), now)

    def _judge(self, study: StudyRecord, now: float) -> None:
        decision = decide_study(study.situation, now, self._quiet)
        verdict = study_verdict(decision, now)
        if decision.state is StudyState.READY:
            verdict["drift"] = self._missing_series(study)
        if not decision.publish:
            self._studies.decided(study, decision, verdict, now)
            if decision.state is StudyState.WAITING and self._series_query is not None:
                self._series_query.consider(study, now)
            return
        told = told_of(study, verdict)
        deliveries = self._deliveries(study, told, now) if self._has_targets() else []
        if self._studies.decided(study, decision, verdict, now, told=told, deliveries=deliveries):
            metrics.measured(None, [one["parameter"] for one in told["drift"]])
            log.info(
                "study %s is ready, revision %d (%s): %s",
                study.uid,
                study.revision + 1,
                verdict["verdict"],
                decision.why,
                extra={"study": study.uid},
            )

    def _deliveries(
        self, study: StudyRecord, told: dict[str, Any], now: float
    ) -> list[NewDelivery]:
        deliveries = list(self._rules(self.event(study, told, EventType.STUDY_READY, now)))
        if study.told is not None:
            earlier = self.event(study, study.told, EventType.SUPERSEDED, now)
            deliveries[:0] = self._rules(earlier)
        if told["drift"]:
            deliveries += self._rules(self.event(study, told, EventType.PROTOCOL_DRIFT, now))
        return deliveries

    def event(
        self, study: StudyRecord, told: dict[str, Any], event_type: EventType, now: float
    ) -> StudyEvent:
        """The event that tells of a study. Arguments as of `study_event`."""
        return study_event(self._work, self._origins, study, told, event_type, now)


def study_verdict(decision: StudyDecision, now: float) -> dict[str, Any]:
    """A decision on a study as it is stored in the index.

    Args:
        decision: the decision.
        now: when it was made, seconds since 1970.

    Returns:
        the record, of values that JSON knows.
    """
    ordered = sorted(decision.evidence, key=lambda item: item.says is not decision.verdict)
    return {
        "verdict": str(decision.verdict),
        "why": decision.why,
        "at": now,
        "reasons": [item.as_dict() for item in ordered],
    }


def told_of(study: StudyRecord, verdict: dict[str, Any]) -> dict[str, Any]:
    """What the next `study-ready` says, as it is kept to tell of its end.

    Args:
        study: the study.
        verdict: as `study_verdict` returns it.

    Returns:
        the record, of values that JSON knows.
    """
    return {
        **verdict,
        "revision": study.revision + 1,
        "series": [
            {
                "series_instance_uid": one.uid,
                "address": one.address,
                "state": str(one.state),
                "verdict": str(one.verdict),
                "revision": one.revision,
                "instances": one.instances,
                "outputs": list(one.outputs),
            }
            for one in study.situation.series
        ],
    }


def study_event(
    work: Work,
    origins: SeriesOrigins,
    study: StudyRecord,
    told: dict[str, Any],
    event_type: EventType,
    now: float,
) -> StudyEvent:
    """The event that tells of a study.

    Args:
        work: the series in the index.
        origins: what conditions are compared with.
        study: the study.
        told: what is told of it: see `told_of`.
        event_type: STUDY_READY or PROTOCOL_DRIFT; SUPERSEDED if `told` is what was told before.
        now: seconds since 1970.

    Returns:
        the event, with those of its series that the index still has.
    """
    known = {one.address for one in study.situation.series}
    series = [
        StudySeriesTold(told=one, values=origins.values(record, Verdict(told["verdict"])))
        for one in told["series"]
        if one["address"] in known and (record := work.series(one["address"])) is not None
    ]
    return StudyEvent(
        event_type=event_type,
        study_uid=study.uid,
        address=study.situation.series[0].address,
        revision=told["revision"],
        at=now,
        verdict=Verdict(told["verdict"]),
        reasons=tuple(told["reasons"]),
        series=tuple(series),
        drift=tuple(told.get("drift") or ()),
    )
