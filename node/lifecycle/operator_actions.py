"""What people do to series: assemble again, assemble as it stands, hold, and let go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from node.completion.evidence import gather
from node.completion.facts import Evidence, Source
from node.completion.policy import Event, NotNow, follow
from node.core.errors import Permanent
from node.core.records import SeriesRecord, SeriesState, Verdict
from node.lifecycle.evidence_loader import EvidenceLoader
from node.lifecycle.watcher import verdict_record
from node.storage.index.peers.outbox import Outbox
from node.storage.index.series.work import Work

_TRIES = 5  # of a compare-and-swap against a series that keeps changing


class NoSuchSeries(Permanent):
    """The index has no series of this UID."""


class OperatorActions:
    """Carries out what a person wants, beside a running daemon or without one.

    Args:
        person: who it is, for the history.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        work: Work,
        outbox: Outbox,
        observer: EvidenceLoader,
        *,
        person: str,
        clock: Callable[[], float],
    ) -> None:
        self._work = work
        self._outbox = outbox
        self._observer = observer
        self._person = person
        self._clock = clock

    def retry(self, uid: str) -> str:
        """Assemble again, or judge anew what is held; dead deliveries are taken up again.

        Returns:
            what happens now, for the person.

        Raises:
            NoSuchSeries, NotNow: nothing was done.
        """
        series = self._series(uid)
        revived = self._outbox.revive(self._clock(), series.pk)
        also = f"; {revived} dead deliveries are tried again" if revived else ""
        held = series.state is SeriesState.HELD
        try:
            self._do(uid, Event.RETRY, {"why": "tried again"})
        except NotNow:
            if not revived:
                raise
            return f"{revived} dead deliveries are tried again"
        return ("it is judged anew" if held else "it is assembled again") + also

    def force(self, uid: str) -> str:
        """Assemble a series as it stands, whatever is missing.

        Raises:
            NoSuchSeries, NotNow: nothing was done.
        """
        series = self._series(uid)
        finding = gather(
            self._observer.facts(series.pk, series.uid), self._work.arrivals(series.pk)
        )
        why = f"assembled as it stands, as {self._person} wanted"
        verdict = verdict_record(finding, why, self._clock())
        said = Evidence(Source.PERSON, Verdict.UNKNOWN, why)
        verdict["reasons"] = [*verdict["reasons"], said.as_dict()]
        self._do(uid, Event.FORCE, {"why": why, "verdict": verdict["verdict"]}, verdict=verdict)
        return "it is assembled as it stands"

    def hold(self, uid: str) -> str:
        """Keep a series from being assembled until it is let go.

        Raises:
            NoSuchSeries, NotNow: nothing was done.
        """
        self._do(uid, Event.HOLD, {"why": f"held by {self._person}"}, held_by=self._person)
        return "it is held until `rasnode hold --release`, `retry` or `force`"

    def release(self, uid: str) -> str:
        """Let a held series go: the evidence decides again.

        Raises:
            NoSuchSeries, NotNow: nothing was done.
        """
        self._do(uid, Event.RELEASE, {"why": f"let go by {self._person}"})
        return "it is judged anew"

    def _do(self, uid: str, event: Event, detail: dict[str, Any], **values: Any) -> None:
        for _ in range(_TRIES):
            series, now = self._series(uid), self._clock()
            moved = self._work.move(
                series,
                follow(series.state, event),
                now=now,
                actor=self._person,
                detail=detail,
                due=None if event is Event.HOLD else now,
                **{"held_by": "", "owner": "", **values},
            )
            if moved is not None:
                return
        raise NotNow("the series keeps changing; try again when nothing more comes")

    def _series(self, uid: str) -> SeriesRecord:
        series = self._work.series(uid)
        if series is None:
            raise NoSuchSeries(f"there is no series {uid}; `rasnode status` lists those there are")
        return series
