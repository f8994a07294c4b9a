"""What operators do to series: assemble again, assemble as it is, hold, release."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from node.completion.facts import Evidence, Source
from node.completion.states import Event, NotNow, follow
from node.completion.verdict import gather
from node.core.errors import Permanent
from node.core.events import DeliveryState, EventType
from node.core.records import SeriesRecord, SeriesState, Verdict
from node.deliver.targets.results import EVENT as RESULT
from node.deliver.targets.results import peer_of
from node.lifecycle.completion_watcher import verdict_record
from node.lifecycle.evidence_loader import EvidenceLoader
from node.storage.index.peers.outbox import Outbox
from node.storage.index.series.work import Work

_DELIVERED: Final = {
    SeriesState.READY: EventType.READY,
    SeriesState.NOT_A_VOLUME: EventType.NOT_A_VOLUME,
    SeriesState.FAILED: EventType.FAILED,
    SeriesState.HELD: EventType.HELD,
}
"""The event that tells of a series in a state."""
_TRIES = 5  # of a compare-and-swap against a series that keeps changing


class NoSuchSeries(Permanent):
    """The index has no series of this UID."""


class NoSuchDelivery(Permanent):
    """The outbox has no delivery of this number."""


class OperatorActions:
    """Does to series what an operator wants, with or without a running daemon.

    Args:
        work: the series in the index.
        outbox: their deliveries.
        evidence_loader: reads the facts of a series.
        person: the operator, for the history.
        clock: returns seconds since 1970.
    """

    def __init__(
        self,
        work: Work,
        outbox: Outbox,
        evidence_loader: EvidenceLoader,
        *,
        person: str,
        clock: Callable[[], float],
    ) -> None:
        self._work = work
        self._outbox = outbox
        self._evidence_loader = evidence_loader
        self._person = person
        self._clock = clock

    def retry(self, uid: str) -> str:
        """Assemble a series again, or judge it again if it is held; retry its dead deliveries.

        Returns:
            what happens now, for the operator.

        Raises:
            NoSuchSeries, NotNow: nothing was done.
        """
        series = self._series(uid)
        revived = self._outbox.revive(self._clock(), series.pk)
        also = f"; {_dead(revived)} tried again" if revived else ""
        held = series.state is SeriesState.HELD
        try:
            self._do(uid, Event.RETRY, {"why": f"retried by {self._person}"})
        except NotNow:
            if not revived:
                raise
            return f"{_dead(revived)} tried again"
        return ("the node judges it again" if held else "the node assembles it again") + also

    def force(self, uid: str) -> str:
        """Assemble a series as it is, even if instances are missing.

        Raises:
            NoSuchSeries, NotNow: nothing was done.
        """
        series = self._series(uid)
        finding = gather(
            self._evidence_loader.facts(series.pk, series.uid), self._work.arrivals(series.pk)
        )
        why = f"assembled as it is, by order of {self._person}"
        verdict = verdict_record(finding, why, self._clock())
        evidence = Evidence(Source.PERSON, Verdict.UNKNOWN, why)
        verdict["reasons"] = [*verdict["reasons"], evidence.as_dict()]
        self._do(uid, Event.FORCE, {"why": why, "verdict": verdict["verdict"]}, verdict=verdict)
        return "the node assembles it as it is"

    def hold(self, uid: str) -> str:
        """Keep a series from being assembled until it is released.

        Raises:
            NoSuchSeries, NotNow: nothing was done.
        """
        self._do(uid, Event.HOLD, {"why": f"held by {self._person}"}, held_by=self._person)
        return "it is held until `rasnode hold --release`, `rasnode retry` or `rasnode force`"

    def release(self, uid: str) -> str:
        """Release a held series: the evidence decides again.

        Raises:
            NoSuchSeries, NotNow: nothing was done.
        """
        self._do(uid, Event.RELEASE, {"why": f"released by {self._person}"})
        return "the node judges it again"

    def deliver(self, uid: str) -> str:
        """Deliver the present revision of a series again, to every target that had it.

        Raises:
            NoSuchSeries, NotNow: nothing was done.
        """
        series, now = self._series(uid), self._clock()
        count = self._outbox.again(now, series.pk, _DELIVERED.get(series.state, ""))
        count += self._outbox.revive(now, series.pk)
        if not count:
            raise NotNow(
                f"the series is {series.state}, and nothing of that has been delivered yet; "
                "`rasnode rules` shows which deliveries apply to it"
            )
        self._work.note(
            series.pk, now=now, actor=self._person, why=f"delivered again by {self._person}"
        )
        return f"{count} {'delivery is' if count == 1 else 'deliveries are'} made again"

    def deliver_one(self, number: int) -> str:
        """Make one delivery again, under the same key.

        Raises:
            NoSuchDelivery, NotNow: nothing was done.
        """
        found = self._outbox.one(number)
        if found is None:
            raise NoSuchDelivery(f"there is no delivery {number}")
        if found.state is DeliveryState.PENDING:
            raise NotNow("it is pending: the node makes it by itself")
        if found.event == RESULT and found.state is DeliveryState.DELIVERED:
            raise NotNow("the peer has this result, and its files are gone; send the result again")
        newest = found.event != RESULT  # each result has something else to bring
        if not self._outbox.again_alone(found, self._clock(), newest=newest):
            raise NotNow(
                "the target has had a newer delivery of this kind for the series; deliver that one "
                "again"
            )
        name = peer_of(found.target) or found.target
        why = f"delivered to {name} again by {self._person}"
        self._work.note(found.series_pk, now=self._clock(), actor=self._person, why=why)
        return "it is made again"

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
        raise NotNow("the series keeps changing; try again when no more instances arrive")

    def _series(self, uid: str) -> SeriesRecord:
        series = self._work.series(uid)
        if series is None:
            raise NoSuchSeries(f"there is no series {uid}; `rasnode status` lists all series")
        return self._work.standing(series)


def _dead(count: int) -> str:
    return "1 dead delivery is" if count == 1 else f"{count} dead deliveries are"
