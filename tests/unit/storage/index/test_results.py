"""Revisions, deliveries, statements and habits in the index, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError

from node.completion.facts import Source, Statement
from node.completion.silences import Gap, Moment, Percentiles
from node.core.events import DeliveryState, NewDelivery
from node.core.records import AssociationEnd, SeriesRecord, SeriesState
from node.storage.index.engine import Index
from node.storage.index.peers.outbox import Outbox
from node.storage.index.peers.statements import Statements
from node.storage.index.schema import OutputRow, SeriesRow
from node.storage.index.series.publications import Publications, Stage
from node.storage.index.series.recorded_arrivals import Recordings
from node.storage.index.series.work import Work
from node.storage.index.store import Store
from tests.unit.storage.index.test_work import record


@pytest.fixture
def series(index: Index) -> SeriesRecord:
    """A series that is being assembled."""
    Store(index).add([(record(1), None)])
    work = Work(index)
    found = work.series("1.8.1")
    assert found is not None
    taken = work.move(found, SeriesState.ASSEMBLING, now=2.0, actor="a")
    assert taken is not None
    return taken


VERDICT = {"verdict": "complete", "reasons": [], "at": 1.0}


def told(key: str) -> NewDelivery:
    return NewDelivery(key, "hook", "ready", 1, {"key": key})


def begin(index: Index, series: SeriesRecord, revision: int, fingerprint: str = "a") -> bool:
    return Publications(index).begin(series, revision, fingerprint, ["f"], VERDICT, 3.0)


def finish(index: Index, series: SeriesRecord, revision: int) -> SeriesState:
    return Publications(index).finish(
        series,
        revision,
        SeriesState.READY,
        now=4.0,
        actor="a",
        detail={},
        deliveries=[told(f"k{revision}")],
    )


def test_a_revision_is_reserved_then_visible_and_told_of(
    series: SeriesRecord, index: Index
) -> None:
    publications = Publications(index)
    assert publications.next_revision(series.pk) == 1
    assert begin(index, series, 1)
    assert publications.visible(series.pk) is None
    assert publications.next_revision(series.pk) == 1
    assert finish(index, series, 1) is SeriesState.READY
    now = Work(index).series("1.8.1")
    assert now is not None
    assert (now.state, now.revision, now.outputs) == (SeriesState.READY, 1, ("f",))
    assert now.verdict == VERDICT
    assert [item.key for item in Outbox(index).of_series(series.pk)] == ["k1"]
    assert publications.next_revision(series.pk) == 2
    assert publications.next_revision(series.pk, floor=7) == 8


def test_a_series_that_changed_cannot_be_published(series: SeriesRecord, index: Index) -> None:
    Store(index).add([(record(2), None)])
    assert not begin(index, series, 1)
    assert Publications(index).all(series.pk) == []


def test_a_revision_that_was_overtaken_counts_all_the_same(
    series: SeriesRecord, index: Index
) -> None:
    assert begin(index, series, 1)
    Store(index).add([(record(2), None)])
    assert finish(index, series, 1) is SeriesState.RECEIVING
    now = Work(index).series("1.8.1")
    assert now is not None
    assert (now.state, now.revision, now.outputs) == (SeriesState.RECEIVING, 1, ("f",))
    assert len(Outbox(index).of_series(series.pk)) == 1
    assert Work(index).history(series.pk)[-1]["revision"] == 1


def test_the_same_again_finishes_a_number_and_something_else_burns_it(
    series: SeriesRecord, index: Index
) -> None:
    assert begin(index, series, 1, "a")
    assert begin(index, series, 1, "a")
    assert not begin(index, series, 1, "b")
    publications = Publications(index)
    assert [item.stage for item in publications.all(series.pk)] == [Stage.ABANDONED]
    assert publications.next_revision(series.pk) == 2
    assert begin(index, series, 2, "b")
    finish(index, series, 2)
    visible, latest = publications.visible(series.pk), publications.latest(series.pk)
    assert visible == latest
    assert visible is not None
    assert visible.revision == 2


def test_a_key_is_told_once(series: SeriesRecord, index: Index) -> None:
    outbox = Outbox(index)
    outbox.add(series.pk, [told("a"), told("a"), told("b")], 1.0)
    outbox.add(series.pk, [told("a")], 2.0)
    assert [item.key for item in outbox.of_series(series.pk)] == ["a", "b"]


def test_of_each_series_the_oldest_comes_first(series: SeriesRecord, index: Index) -> None:
    Store(index).add([(record(1, series=2), None)])
    other = Work(index).series("1.8.2")
    assert other is not None
    outbox = Outbox(index)
    outbox.add(series.pk, [told("a"), told("b")], 1.0)
    outbox.add(other.pk, [told("c")], 1.0)
    assert [item.key for item in outbox.due(1.0, "hook")] == ["a", "c"]
    assert outbox.due(0.5, "hook") == []
    assert outbox.due(1.0, "another") == []
    first = outbox.due(1.0, "hook")[0]
    outbox.failed(first, 9.0, "no")
    assert [item.key for item in outbox.due(1.0, "hook")] == ["c"]
    assert outbox.next_due("hook") == 1.0
    outbox.delivered(outbox.due(1.0, "hook")[0], 2.0)
    assert outbox.next_due("hook") == 9.0
    outbox.hasten("hook", 3.0)
    outbox.delivered(outbox.due(3.0, "hook")[0], 3.0)
    assert [item.key for item in outbox.due(3.0, "hook")] == ["b"]
    assert outbox.counts() == {"delivered": 2, "pending": 1}
    assert outbox.targets() == ["hook"]
    outbox.postpone(outbox.due(3.0, "hook")[0], 50.0, "down")
    assert outbox.next_due("hook") == 50.0
    assert outbox.in_state(DeliveryState.PENDING)[0].attempts == 1


def test_a_statement_replaces_its_earlier_one_and_wakes_the_series(index: Index) -> None:
    statements, work = Statements(index), Work(index)
    early = Statement(Source.MPPS, "MR", 1.0, final=False)
    statements.add("1.8.1", early, "1.7")
    assert statements.of("1.8.1") == (early,)
    Store(index).add([(record(1), None)])
    found = work.series("1.8.1")
    assert found is not None
    work.look_again(found, None)
    late = Statement(Source.MPPS, "MR", 9.0, uids=frozenset({"1.2.3", "1.2.4"}))
    statements.add("1.8.1", late, "1.7")
    statements.add("1.8.1", Statement(Source.SENDER_COUNT, "P", 9.5, count=2), "P")
    assert [said.count for said in statements.of("1.8.1")] == [None, 2]
    assert statements.of("1.8.1")[0] == late
    assert [one.due for one in work.due(10.0)] == [9.5]


@pytest.mark.parametrize("state", [SeriesState.SETTLED, SeriesState.ASSEMBLING])
def test_a_statement_during_assembly_is_heard_after_it(index: Index, state: SeriesState) -> None:
    work = Work(index)
    Store(index).add([(record(1), None)])
    found = work.series("1.8.1")
    assert found is not None
    busy = work.move(found, state, now=2.0, actor="a", due=60.0, verdict=VERDICT)
    assert busy is not None
    Statements(index).add("1.8.1", Statement(Source.MPPS, "MR", 5.0), "1.7")
    assert work.next_due() == 60.0
    ready = work.move(busy, SeriesState.READY, now=6.0, actor="a")
    assert ready is not None
    assert ready.due == 6.0


def test_how_a_series_came_is_remembered(index: Index) -> None:
    store, recordings = Store(index), Recordings(index)
    first = store.open_association("CT1", "N", "", 1.0, "p")
    store.add([(record(1, at=1.0), first), (record(2, at=2.0), first)])
    store.end_association(first, AssociationEnd.RELEASED, 3.0)
    second = store.open_association("CT2", "N", "", 8.0, "p")
    store.add([(record(3, at=9.0), second)])
    assert recordings.senders() == ["CT1", "CT2"]
    (pk,) = recordings.series("CT2")
    trace = recordings.trace(pk)
    assert trace.moments == (Moment(1.0, first), Moment(2.0, first), Moment(9.0, second))
    assert trace.arrivals[first].ended_at == 3.0
    assert trace.arrivals[second].ended_at is None
    assert recordings.series("CT3") == []
    assert recordings.series(since=10.0) == []


def test_what_was_learned_is_replaced(index: Index) -> None:
    recordings = Recordings(index)
    recordings.learn("CT1", Gap.RELEASED, Percentiles(20, 1, 2, 3, 4), 1.0)
    recordings.learn("CT1", Gap.RELEASED, Percentiles(30, 1, 2, 3, 5), 2.0)
    recordings.learn("CT1", Gap.OPEN, Percentiles(30, 0, 0, 0, 0), 2.0)
    assert recordings.learned()["CT1", Gap.RELEASED] == Percentiles(30, 1, 2, 3, 5)
    assert len(recordings.learned()) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("d/T1", "d/t1"),
        ("d/T1", "D/T1"),
        ("d/Sch\u00e4del", "d/SCHA\u0308DEL"),
        ("d/T1", "d/T1.manifest"),
        ("d/T1", "d/t1.Manifest.r12"),
        ("d/T1", "d/T1.json/x"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_no_file_of_two_series_has_one_name(
    series: SeriesRecord, index: Index, first: str, second: str, turned: bool
) -> None:
    work = Work(index)
    Store(index).add([(record(1, series=2), None)])
    other = work.series("1.8.2")
    assert other is not None
    names = (second, first) if turned else (first, second)
    assert work.claim_stem(series.pk, names[0])
    assert not work.claim_stem(other.pk, names[1])
    assert work.claim_stem(other.pk, "d/T1_ab")
    assert work.claim_stem(series.pk, names[1])  # its own volumes have names of their own


def test_of_names_from_before_the_first_series_keeps_its(
    series: SeriesRecord, index: Index
) -> None:
    work = Work(index)
    Store(index).add([(record(1, series=2), None)])
    other = work.series("1.8.2")
    assert other is not None
    with index.writing() as connection:
        for owner, stem in ((series, "d/T1"), (other, "d/T1.manifest")):
            claim = {"stem": stem, "folded": stem.lower(), "series_pk": owner.pk}
            connection.execute(insert(OutputRow).values(**claim))
            connection.execute(
                update(SeriesRow)
                .where(SeriesRow.id == owner.pk)
                .values(outputs=[f"{stem}.manifest.json"])
            )
    assert work.claim_stem(series.pk, "d/T1")
    assert not work.claim_stem(other.pk, "d/T1.manifest")
    assert work.files_beside(other.pk) == {"d/T1.manifest.json"}


def test_a_name_belongs_to_one_series(series: SeriesRecord, index: Index) -> None:
    work = Work(index)
    Store(index).add([(record(1, series=2), None)])
    other = work.series("1.8.2")
    assert other is not None
    assert work.claim_stem(series.pk, "a/b")
    assert work.claim_stem(series.pk, "a/b")
    assert not work.claim_stem(other.pk, "a/b")
    assert work.stems(series.pk) == ["a/b"]
    with pytest.raises(IntegrityError), index.writing() as connection:
        connection.execute(insert(OutputRow).values(stem="a/b", folded="a/b", series_pk=other.pk))
