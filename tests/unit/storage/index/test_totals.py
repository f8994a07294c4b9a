"""What is counted beside the rows is what counting them gives, whatever is done in which order."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace
from sqlalchemy import func, select
from sqlalchemy.exc import StatementError

from node.completion.facts import Source, Statement
from node.core.events import NewDelivery
from node.core.records import AssociationEnd, InstanceRecord, SeriesState
from node.storage.index.engine import Index
from node.storage.index.peers.announced import Announced, StepState
from node.storage.index.peers.outbox import Outbox
from node.storage.index.peers.statements import Statements
from node.storage.index.schema import (
    ArrivalRow,
    AssociationRow,
    ConflictRow,
    DeliveryRow,
    InstanceRow,
    PatientRow,
    ProcedureStepRow,
    SeriesRow,
    StatementRow,
    StudyRow,
    TotalRow,
)
from node.storage.index.search.listing import Listing
from node.storage.index.series.expiry import Expiry
from node.storage.index.series.obsolete_evidence import ObsoleteEvidence
from node.storage.index.series.work import Work
from node.storage.index.store import Store
from node.storage.index.totals import LISTED
from tests.unit.storage.index.test_work import record

OPERATIONS = 60
SERIES = 6


def counted(index: Index) -> dict[str, int]:
    """Everything that has a total, counted row by row."""
    tables = {
        "patients": PatientRow,
        "studies": StudyRow,
        "series": SeriesRow,
        "instances": InstanceRow,
        "conflicts": ConflictRow,
    }
    with index.reading() as connection:
        found = {
            name: connection.scalar(select(func.count()).select_from(row)) or 0
            for name, row in tables.items()
        }
        found["bytes"] = int(connection.scalar(select(func.sum(InstanceRow.size))) or 0)
        for name, row in (("series", SeriesRow), ("deliveries", DeliveryRow)):
            query = select(row.state, func.count()).group_by(row.state)
            found |= {f"{name}_{state}": many for state, many in connection.execute(query)}
    return {name: many for name, many in found.items() if many}


def kept(index: Index) -> dict[str, int]:
    with index.reading() as connection:
        rows = connection.execute(select(TotalRow.name, TotalRow.value)).all()
    return {name: value for name, value in rows if value and name != LISTED}


class World:
    """Does at random what receivers, the watcher, couriers and retention do."""

    def __init__(self, index: Index, seed: int) -> None:
        self.random = random.Random(seed)
        self.store, self.work, self.outbox = Store(index), Work(index), Outbox(index)
        self.expiry = Expiry(index)
        self.now = 10.0
        self.keys = self.gone = 0
        self.seed = seed

    def step(self) -> None:
        self.now += 1.0
        self.random.choice((self.arrive, self.arrive, self.move, self.tell, self.answer, self.go))()

    def arrive(self) -> None:
        batch = [self._record() for _ in range(self.random.randrange(1, 5))]
        self.store.add([(one, None) for one in batch])

    def _record(self) -> InstanceRecord:
        """Two series a study."""
        series = self.random.randrange(SERIES)
        return replace(
            record(
                self.random.randrange(5),
                series=series,
                sha256=self.random.choice("aaaaaaab"),
                at=self.now,
            ),
            study_instance_uid=f"1.9.{series // 2}",
        )

    def move(self) -> None:
        series = self.work.series(f"1.8.{self.random.randrange(SERIES)}")
        if series is not None:
            state = self.random.choice((*[SeriesState.READY] * 9, *SeriesState))
            self.work.move(series, state, now=self.now, actor="a", deliveries=self._deliveries())

    def tell(self) -> None:
        series = self.work.series(f"1.8.{self.random.randrange(SERIES)}")
        if series is not None:
            with_series_gone = self._deliveries()
            self.outbox.add(series.pk, with_series_gone, self.now)

    def answer(self) -> None:
        for delivery in self.outbox.due(self.now, "hook", 3):
            self.random.choice(
                (
                    lambda one: self.outbox.delivered(one, self.now),
                    lambda one: self.outbox.delivered(one, self.now),
                    lambda one: self.outbox.bury(one, self.now, "no"),
                    lambda one: self.outbox.failed(one, self.now, "no"),
                )
            )(delivery)
        if self.random.random() < 0.3:
            self.outbox.revive(self.now)

    def go(self) -> None:
        self._bring_to_rest(self.random.randrange(SERIES) // 2)
        found, _ = self.expiry.expendable(self.now + 1.0, 1)
        self.gone += sum(bool(self.expiry.remove(one)) for one in found)

    def _bring_to_rest(self, study: int) -> None:
        for number in (2 * study, 2 * study + 1):
            series = self.work.series(f"1.8.{number}")
            if series is not None:
                self.work.move(series, SeriesState.READY, now=self.now, actor="a")
                for delivery in self.outbox.of_series(series.pk):
                    self.outbox.delivered(delivery, self.now)

    def _deliveries(self) -> list[NewDelivery]:
        self.keys += self.random.randrange(2)  # sometimes one that is known
        return [NewDelivery(f"{self.seed}-{self.keys}", "hook", "ready", 1, {})]


@pytest.mark.parametrize("seed", range(2))
def test_totals_are_what_counting_gives(index: Index, seed: int) -> None:
    world = World(index, seed)
    seen: set[str] = set()
    for number in range(OPERATIONS):
        world.step()
        if number % 10 == 9:
            assert kept(index) == counted(index), number
            seen |= kept(index).keys()
    assert {"conflicts", "bytes", "series_ready", "deliveries_delivered"} <= seen
    assert world.gone
    assert Listing(index).totals()["instances"] == counted(index).get("instances", 0)


def test_and_with_several_writers_at_once(index: Index) -> None:
    def write(seed: int) -> None:
        world = World(index, 100 + seed)
        for _ in range(15):
            world.random.choice((world.arrive, world.move, world.go))()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert kept(index) == counted(index)


def test_a_transaction_that_fails_counts_nothing(index: Index) -> None:
    Store(index).add([(record(1), None)])
    before = kept(index)
    series = Work(index).series("1.8.1")
    assert series is not None
    with pytest.raises((TypeError, StatementError)):
        Work(index).move(
            series,
            SeriesState.READY,
            now=2.0,
            actor="a",
            deliveries=[NewDelivery("k", "hook", "ready", 1, {"no": object()})],
        )
    assert kept(index) == before == counted(index)


def gone(index: Index, series_uid: str) -> None:
    """Retention takes a series."""
    work = Work(index)
    series = work.series(series_uid)
    assert series is not None
    assert work.move(series, SeriesState.READY, now=50.0, actor="a")
    (one,) = Expiry(index).expendable(100.0, 5)[0]
    assert Expiry(index).remove(one)


def rows(index: Index, row: type) -> int:
    with index.reading() as connection:
        return connection.scalar(select(func.count()).select_from(row)) or 0


def test_what_is_known_of_a_series_only_goes_with_it(index: Index) -> None:
    store, announced = Store(index), Announced(index)
    both = store.open_association("CT1", "N", "", 1.0, "p")
    store.add([(record(1), both), (record(1, series=2), both)])
    own = store.open_association("CT1", "N", "", 2.0, "p")
    store.add([(record(2), own)])
    still_open = store.open_association("CT1", "N", "", 2.0, "p")
    store.add([(record(3), still_open)])
    for association in (both, own):
        store.end_association(association, AssociationEnd.RELEASED, 3.0)
    announced.create_step("1.6.1", "CT1", StepState.COMPLETED, {"1.8.1": ["1.2.1.1"]}, 1.0)
    announced.create_step(
        "1.6.2", "CT1", StepState.COMPLETED, {"1.8.1": ["1.2.1.1"], "1.8.2": ["1.2.2.1"]}, 1.0
    )
    announced.create_step("1.6.3", "CT1", StepState.IN_PROGRESS, {"1.8.1": []}, 1.0)
    two = Work(index).series("1.8.2")
    assert two is not None
    Work(index).move(two, SeriesState.NOT_A_VOLUME, now=4.0, actor="a")

    gone(index, "1.8.1")
    assert rows(index, ArrivalRow) == 1
    with index.reading() as connection:
        assert connection.scalars(select(AssociationRow.id).order_by(AssociationRow.id)).all() == [
            both,
            still_open,
        ]
    assert announced.step("1.6.1") is None
    assert announced.step("1.6.2") is not None
    assert announced.step("1.6.3") is not None  # who makes it still speaks of it
    assert rows(index, StatementRow) == 1


@pytest.mark.parametrize(
    ("before", "associations", "steps", "statements"), [(100.0, 2, 1, 1), (1.5, 4, 3, 3)]
)
def test_what_belongs_to_no_series_goes_once_it_is_old(
    index: Index, before: float, associations: int, steps: int, statements: int
) -> None:
    store, announced = Store(index), Announced(index)
    brought = store.open_association("CT1", "N", "", 2.0, "p")
    store.add([(record(1), brought)])
    nothing_new = store.open_association("CT1", "N", "", 3.0, "p")
    still_open = store.open_association("CT1", "N", "", 4.0, "p")
    ends_later = store.open_association("CT1", "N", "", 5.0, "p")
    for association, at in ((brought, 5.0), (nothing_new, 5.0), (ends_later, 200.0)):
        store.end_association(association, AssociationEnd.RELEASED, at)
    del still_open
    announced.create_step("1.6.1", "CT1", StepState.COMPLETED, {"1.8.1": []}, 2.0)
    announced.create_step("1.6.2", "CT1", StepState.COMPLETED, {"1.8.7": []}, 2.0)
    announced.create_step("1.6.3", "CT1", StepState.IN_PROGRESS, {}, 2.0)
    Statements(index).add("1.8.8", Statement(Source.MPPS, "MR", 2.0), "1.7")

    more = ObsoleteEvidence(index).sweep(before)
    assert not more
    expected = {
        AssociationRow: 3 if before == 100.0 else associations,
        ProcedureStepRow: steps,
        StatementRow: statements,
    }
    assert {row: rows(index, row) for row in expected} == expected


def test_many_leftovers_are_swept_in_parts(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.storage.index.series.obsolete_evidence.AT_ONCE", 4)
    store, leftovers = Store(index), ObsoleteEvidence(index)
    for number in range(10):
        association = store.open_association("CT1", "N", "", 1.0, "p")
        if number == 3:
            store.add([(record(1), association)])
        store.end_association(association, AssociationEnd.RELEASED, 2.0)
    left = []
    while leftovers.sweep(9.0):
        left.append(rows(index, AssociationRow))
    assert left == [7, 3]
    assert rows(index, AssociationRow) == 1
