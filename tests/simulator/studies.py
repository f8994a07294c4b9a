"""Random worlds of studies: interleaved series, announcements, aborts, restarts, late series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from node.completion.facts import InstanceFacts, Source
from node.completion.study_decision import StudyStatement
from node.core.events import EventType, NewDelivery, StudyEvent
from node.core.records import AT_REST, AssociationEnd, StudyState
from node.core.settings.deliver import TargetSettings
from node.deliver.rules import Rules
from tests.simulator.bench import Bench
from tests.unit.completion.builders import stack

QUIET = 60.0
HOURS = 3600.0
TARGET = TargetSettings.model_validate(
    {
        "name": "t",
        "events": ["study-ready", "superseded"],
        "webhook": {"url": "http://127.0.0.1:9/"},
    }
)


@dataclass
class PlannedStudy:
    """What is going to be sent of a study.

    Attributes:
        uid: Study Instance UID.
        series: Series Instance UID -> its instances, of those that come at first.
        late: the series that come hours later, in their order.
        never: series that are announced and never sent.
    """

    uid: str
    series: dict[str, list[InstanceFacts]] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)
    never: set[str] = field(default_factory=set)


class StudyWorld:
    """One world: what is planned, and what the node makes of it.

    Args:
        seed: the world's number.
        folder: for its index.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        self.rng = Random(seed)
        self._rules = Rules([TARGET], folder).of_study
        self.bench = Bench(folder, study_rules=self._told)
        self.wrong: list[str] = []
        self.studies = [self._plan(f"1.4.{seed}.{n}") for n in range(self.rng.choice((1, 1, 2)))]
        self._announced: dict[str, set[str]] = {study.uid: set() for study in self.studies}
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def live(self) -> list[str]:
        """Let everything happen; returns what is wrong."""
        for study in self.studies:
            self._send_at_first(study)
            self._announce(study)
        self._restarts()
        self._play()
        self.bench.run(2 * HOURS)
        self._check_rest()
        for study in self.studies:
            for number, uid in enumerate(study.late):
                self._one_late(study, uid, number)
        for study in self.studies:
            self._again(study)
            self._check_outbox(study)
        self.bench.index.close()
        return self.wrong

    def _plan(self, uid: str) -> PlannedStudy:
        study = PlannedStudy(uid)
        for number in range(self.rng.randint(1, 5)):
            series, size = f"{uid}.{number}", self.rng.choice((1, 2, 3, 8))
            study.series[series] = _instances(series, size)
        study.late = [f"{uid}.9{number}" for number in range(self.rng.choice((0, 0, 1, 2)))]
        if self.rng.random() < 0.1:
            study.never = {f"{uid}.99"}
        return study

    def _at(self, at: float, event: Callable[[], None]) -> None:
        self._events.append((at, len(self._events), event))

    def _send_at_first(self, study: PlannedStudy) -> None:
        """Each series at its own pace, so that they are interleaved, or all in one association."""
        rng, bench = self.rng, self.bench
        shared: list[int] | None = [] if rng.random() < 0.4 else None
        last = 0.0
        for uid, instances in study.series.items():
            at = bench.now + rng.choice((0.0, 5.0, 30.0, 200.0)) * rng.random()
            pace = rng.choice((0.01, 0.5, 3.0, 20.0))
            cut = rng.randrange(len(instances)) if rng.random() < 0.2 else len(instances)
            for part in (instances[:cut], instances[cut:]):
                if part:
                    aborted = cut < len(instances) and part is not instances[cut:]
                    at = self._stream(study, uid, part, at, pace, shared, aborted=aborted)
                    at += rng.choice((0.1, 20.0, 90.0))
            last = max(last, at)
        if shared is not None:
            how = rng.choice((AssociationEnd.RELEASED, AssociationEnd.ABORTED))
            self._at(
                last + rng.choice((0.0, 50.0)), lambda: [bench.end(one, how) for one in shared]
            )

    def _stream(
        self,
        study: PlannedStudy,
        uid: str,
        instances: list[InstanceFacts],
        at: float,
        pace: float,
        shared: list[int] | None,
        *,
        aborted: bool,
    ) -> float:
        own: list[int] = [] if shared is None else shared

        def send(item: InstanceFacts) -> None:
            if not own:
                own.append(self.bench.open())
            self.bench.send(own[0], [item], uid, StudyInstanceUID=study.uid, SeriesDescription=uid)

        for item in instances:
            self._at(at, lambda item=item: send(item))  # type: ignore[misc]
            at += self.rng.expovariate(1 / pace)
        if shared is None:
            how = AssociationEnd.ABORTED if aborted else AssociationEnd.RELEASED
            self._at(at, lambda: self.bench.end(own[0], how))
        return at

    def _announce(self, study: PlannedStudy) -> None:
        everything = set(study.series) | study.never
        for source in self.rng.sample(list(_SOURCES), self.rng.choice((0, 0, 1, 2))):
            named = {one for one in everything if self.rng.random() < _SOURCES[source]}
            at = self.bench.now + self.rng.uniform(0, 300)
            if source is Source.MPPS and self.rng.random() < 0.5:
                early = StudyStatement(source, "CT1", at, final=False)
                self._at(at, lambda said=early: self._say(study, said))  # type: ignore[misc]
                at += self.rng.uniform(1, 900)
            whole = source is not Source.PULL or named == everything
            said = StudyStatement(source, "CT1", at, whole=whole, series=frozenset(named))
            self._at(at, lambda said=said: self._say(study, said))  # type: ignore[misc]

    def _say(self, study: PlannedStudy, said: StudyStatement) -> None:
        self._announced[study.uid] |= said.series
        self.bench.study_statements.add(study.uid, said, str(said.source))

    def _restarts(self) -> None:
        for _ in range(self.rng.choice((0, 0, 1, 3))):
            self._at(self.bench.now + self.rng.uniform(0, 600), self.bench.restart)

    def _play(self) -> None:
        for at, _, event in sorted(self._events, key=lambda one: one[:2]):
            if at > self.bench.now + 1:
                self.bench.run(at - self.bench.now)
            self.bench.now = max(self.bench.now, at)
            event()
            if self.rng.random() < 0.3:
                self.bench.watcher.step()
        self._events.clear()

    def _told(self, event: StudyEvent) -> Sequence[NewDelivery]:
        """Whenever a study is told of, every series of it that anybody knows is at rest."""
        if event.event_type is EventType.STUDY_READY:
            (study,) = self.bench.studies.with_uid(event.study_uid)
            held = {one.uid: one for one in study.situation.series}
            self.wrong += [
                f"{event.study_uid} was told of while {uid} was {one.state}"
                for uid, one in held.items()
                if one.state not in AT_REST
            ]
            if missing := self._announced[event.study_uid] - set(held):
                self.wrong.append(f"{event.study_uid} was told of without {sorted(missing)}")
        return self._rules(event)

    def _revision(self, planned: PlannedStudy) -> int:
        (study,) = self.bench.studies.with_uid(planned.uid)
        return study.revision

    def _check_rest(self) -> None:
        """After hours of silence a study is told of, unless an announced series has not come."""
        for planned in self.studies:
            (study,) = self.bench.studies.with_uid(planned.uid)
            lacks = self._announced[planned.uid] - set(planned.series)
            expected = StudyState.WAITING if lacks else StudyState.READY
            if study.state is not expected:
                self.wrong.append(f"{planned.uid} is {study.state}, not {expected}")
            if not lacks and {one["address"] for one in (study.told or {})["series"]} != set(
                planned.series
            ):
                self.wrong.append(f"{planned.uid} was told of without all of its series")

    def _one_late(self, planned: PlannedStudy, uid: str, number: int) -> None:
        """A series that comes hours later supersedes once; one that a list lacks waits longer."""
        before = self._revision(planned)
        lacks = self._announced[planned.uid] - set(planned.series)
        instances = _instances(uid, self.rng.choice((1, 4)))
        self._stream(planned, uid, instances, self.bench.now, 1.0, None, aborted=False)
        self._play()
        self.bench.run(self.rng.choice((2, 30)) * HOURS)
        expected = before if lacks else before + 1
        if self._revision(planned) != expected:
            self.wrong.append(
                f"{planned.uid}: revision {self._revision(planned)} after late series "
                f"{number}, not {expected}"
            )

    def _again(self, planned: PlannedStudy) -> None:
        """The same once more changes nothing, and nothing is told of."""
        before = self._revision(planned)
        uid = self.rng.choice(list(planned.series))
        again = planned.series[uid]
        self._stream(planned, uid, again, self.bench.now, 0.1, None, aborted=False)
        self._play()
        self.bench.run(2 * HOURS)
        if self._revision(planned) != before:
            self.wrong.append(f"{planned.uid} was told of again although nothing changed")

    def _check_outbox(self, planned: PlannedStudy) -> None:
        """Each revision is told of once, and each but the last is superseded once, in order."""
        told = [one for one in self._deliveries() if one["study_instance_uid"] == planned.uid]
        found = [(one["event"], one["revision"]) for one in told]
        last = self._revision(planned)
        expected: list[tuple[str, int]] = []
        for revision in range(1, last + 1):
            if revision > 1:
                expected.append(("superseded", revision - 1))
            expected.append(("study-ready", revision))
        if found != expected:
            self.wrong.append(f"{planned.uid}: told {found}, not {expected}")
        contents = [
            [
                (one["address"], one["state"], one["revision"], one["instances"])
                for one in it["series"]
            ]
            for it in told
            if it["event"] == "study-ready"
        ]
        if any(one == other for one, other in pairwise(contents)):
            self.wrong.append(f"{planned.uid} was told of twice in a row with the same content")

    def _deliveries(self) -> list[dict[str, Any]]:
        rows = [row for study in self.studies for row in self._rows(study.uid)]
        found = [one for row in sorted(set(rows)) for one in self.bench.outbox.of_series(row)]
        return [one.payload for one in sorted(found, key=lambda one: one.id)]

    def _rows(self, uid: str) -> tuple[int, ...]:
        return tuple(row for one in self.bench.studies.with_uid(uid) for row in one.rows)


_SOURCES = {
    Source.MPPS: 1.0,
    Source.INSTANCE_AVAILABILITY: 0.7,
    Source.PULL: 0.8,
    Source.SENDER_COUNT: 1.0,
}
"""How much of a study each source names, as a probability of each series."""


def _instances(series: str, size: int) -> list[InstanceFacts]:
    return [item._replace(uid=f"{series}.{item.number}") for item in stack(size)]
