"""storage.retention: what goes, and above all what stays."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, select, update

from node.completion.facts import Source, Statement
from node.core.errors import Reason
from node.core.events import NewDelivery
from node.core.records import SeriesState
from node.storage.archive import Archive
from node.storage.index.engine import Index
from node.storage.index.peers.outbox import Outbox
from node.storage.index.peers.statements import Statements
from node.storage.index.schema import (
    Base,
    ConflictRow,
    InstanceRow,
    NamesakeRow,
    PatientRow,
    SeriesRow,
    StudyModalityRow,
    StudyRow,
)
from node.storage.index.series.damages import Damages
from node.storage.index.series.verification import Inventory
from node.storage.index.series.work import Work
from node.storage.index.store import Store
from node.storage.ingest.retention import YOUNGEST_SECONDS, RetentionJob
from tests.databases import migrated_sqlite
from tests.unit.storage.index.test_work import record

DAY = 86400.0
DELIVERY = NewDelivery(key="k", target="t", event="ready", revision=1, payload={})


class House:
    """An archive with series 1 (old) and 2 (young), two instances each, both ready."""

    def __init__(self, root: Path) -> None:
        self.archive = Archive(root)
        self.archive.prepare()
        self.index = Index(migrated_sqlite(root / "index.db"))
        self.now = 100 * DAY
        for series, at in ((1, 10 * DAY), (2, 90 * DAY)):
            for number in (1, 2):
                self.add(number, series, at)
        self.state(1, SeriesState.READY)
        self.state(2, SeriesState.READY)

    def add(self, number: int, series: int, at: float, sha256: str = "a") -> None:
        one = record(series * 100 + number, series=series, sha256=sha256, at=at)
        one = msgspec.structs.replace(one, path=f"aa/1.9/{series}/{number}-{sha256}.dcm")
        path = self.archive.path(one.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * one.size)
        Store(self.index).add([(one, None)])

    def state(self, series: int, state: SeriesState) -> None:
        with self.index.writing() as connection:
            uids = connection.scalars(select(SeriesRow.uid).order_by(SeriesRow.last_arrival)).all()
            connection.execute(
                update(SeriesRow)
                .where(SeriesRow.uid == uids[series - 1])
                .values(state=state, state_since=SeriesRow.last_arrival + 1)
            )

    def settle(self, at: float) -> None:
        """What came last at a time is ready."""
        with self.index.writing() as connection:
            connection.execute(
                update(SeriesRow)
                .where(SeriesRow.last_arrival == at)
                .values(state=SeriesState.READY, state_since=at + 1)
            )

    def retire(self, days: float | None = None, max_size: int | None = None) -> int:
        made = RetentionJob(
            self.archive, self.index, days=days, max_size=max_size, clock=lambda: self.now
        )
        return made.step()

    def count(self, table: type[Base]) -> int:
        with self.index.reading() as connection:
            return connection.scalar(select(func.count()).select_from(table)) or 0

    def files(self) -> int:
        return len(list(self.archive.files()))


@pytest.fixture
def house(tmp_path: Path):
    made = House(tmp_path)
    yield made
    made.index.close()


def test_a_series_that_is_old_enough_goes_with_its_rows_and_files(house: House) -> None:
    assert (house.count(InstanceRow), house.files()) == (4, 4)
    assert house.retire(days=30) == 1
    assert (house.count(SeriesRow), house.count(InstanceRow), house.files()) == (1, 2, 2)
    with house.index.reading() as connection:
        studies = connection.execute(select(StudyRow.series, StudyRow.instances)).all()
        patients = connection.execute(select(PatientRow.series, PatientRow.instances)).all()
    assert studies == [(1, 2)]
    assert patients == [(1, 2)]


def test_the_last_series_takes_study_and_patient_with_it(house: House) -> None:
    assert house.retire(days=1) == 2
    for table in (SeriesRow, InstanceRow, StudyRow, PatientRow, StudyModalityRow):
        assert house.count(table) == 0
    assert house.files() == 0
    house.add(1, 1, house.now)
    assert house.count(InstanceRow) == 1


def test_too_large_an_archive_loses_its_oldest_series_and_no_more(house: House) -> None:
    with house.index.reading() as connection:
        whole = connection.scalar(select(func.sum(InstanceRow.size))) or 0
    assert house.retire(max_size=whole) == 0
    assert house.retire(max_size=whole - 1) == 1
    with house.index.reading() as connection:
        assert connection.scalar(select(SeriesRow.last_arrival)) == 90 * DAY


@pytest.mark.parametrize(
    "state", [state for state in SeriesState if state is not SeriesState.READY]
)
def test_what_is_not_a_volume_yet_stays(house: House, state: SeriesState) -> None:
    house.state(1, state)
    house.state(2, state)
    assert house.retire(days=1, max_size=0) == 0
    assert house.files() == 4


def test_what_goes_on_in_a_study_keeps_its_other_series(house: House) -> None:
    house.state(2, SeriesState.HELD)
    assert house.retire(days=1) == 0


def test_what_is_not_delivered_stays_whether_it_waits_or_was_given_up(house: House) -> None:
    outbox = Outbox(house.index)
    with house.index.reading() as connection:
        (first, _) = connection.scalars(select(SeriesRow.id).order_by(SeriesRow.last_arrival))
    outbox.add(first, [DELIVERY], 0.0)
    assert house.retire(days=30) == 0
    (delivery,) = outbox.due(1.0, "t")
    outbox.bury(delivery, 1.0, "no")
    assert house.retire(days=30) == 0
    outbox.delivered(delivery, 2.0)
    assert house.retire(days=30) == 1


def test_a_conflict_is_for_a_person_to_look_at(house: House) -> None:
    house.add(1, 1, 10 * DAY, sha256="b")
    assert house.count(ConflictRow) == 1
    house.state(1, SeriesState.READY)
    assert house.retire(days=30) == 0


def test_what_changed_within_the_hour_stays_however_full_it_is(house: House) -> None:
    house.now = 90 * DAY + YOUNGEST_SECONDS - 1
    assert house.retire(days=0.001, max_size=0) == 1
    assert house.count(SeriesRow) == 1


def test_what_changes_between_decision_and_deed_stays(house: House) -> None:
    retirement = RetentionJob(house.archive, house.index, days=30, max_size=None, clock=lambda: 1e9)
    due = retirement._due(100 * DAY)
    house.add(3, 1, 99 * DAY)
    assert [retirement._remove(one) for one in due] == [False]
    assert house.files() == 5


def test_a_copy_stays_when_the_original_goes_and_the_other_way_round(house: House) -> None:
    statements, work = Statements(house.index), Work(house.index)
    said = Statement(Source.MPPS, "CT1", 1.0, uids=frozenset({"1.2"}))
    uid = "1.8.1"
    statements.add(uid, said, "1.7")
    first = work.series(uid)
    assert first is not None
    copies = []
    for number in (1, 2):
        one = record(100 + number, series=1, sha256="copy", at=80 * DAY)
        path = f"aa/1.9/1/{number}-copy.dcm"
        house.archive.path(path).write_bytes(b"x" * one.size)
        attributes = {**one.attributes, "PatientID": "another"}
        copies.append((msgspec.structs.replace(one, path=path, attributes=attributes), None))
    Store(house.index).add(copies)
    house.settle(80 * DAY)
    assert [one.address for one in work.in_state() if one.uid == uid] == [uid, f"{uid}~1"]

    assert house.retire(days=30) == 1
    left = work.series(uid)
    assert left is not None
    assert (left.address, left.instances) == (f"{uid}~1", 2)
    assert all(house.archive.path(one.path).exists() for one in work.instances(left.pk))
    assert (house.count(NamesakeRow), statements.of(uid)) == (0, (said,))
    # a new one takes no number that is in use
    Store(house.index).add([(record(101, series=1, sha256="back", at=99 * DAY), None)])
    assert [one.part for one in work.in_state() if one.uid == uid] == [1, 2]

    house.now += 15 * DAY
    assert house.retire(days=30) == 1
    assert [one.address for one in work.in_state() if one.uid == uid] == [f"{uid}~2"]


def test_what_is_known_to_be_damaged_goes_with_its_series(house: House) -> None:
    inventory, damages = Inventory(house.index), Damages(house.index)
    for _, one in inventory.instances(0):
        assert damages.note_instance(one, Reason.INSTANCE_DAMAGED, "", 1.0)
    assert house.retire(days=30) == 1
    assert damages.count() == {Reason.INSTANCE_DAMAGED: 2}
