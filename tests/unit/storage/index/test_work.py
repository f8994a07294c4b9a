"""Series states: every transition is a compare-and-swap, and history tells who did what."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from node.core.records import AssociationEnd, InstanceRecord, SeriesRecord, SeriesState, Stored
from node.storage.index.engine import Index
from node.storage.index.series.work import Work
from node.storage.index.store import Store


def record(number: int, *, series: int = 1, sha256: str = "a", at: float = 1.0) -> InstanceRecord:
    return InstanceRecord(
        sop_instance_uid=f"1.2.{series}.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
        series_instance_uid=f"1.8.{series}",
        study_instance_uid="1.9",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=f"{series}/{number}/{sha256}",
        size=10,
        sha256=sha256,
        data_set_offset=300,
        pixel_offset=100,
        pixel_length=8,
        attributes={"PatientID": "P", "PatientName": "Ä^B", "Modality": "MR"},
        header=b"header",
        received_at=at,
    )


@pytest.fixture
def series(index: Index) -> SeriesRecord:
    Store(index).add([(record(1), None)])
    found = Work(index).series("1.8.1")
    assert found is not None
    return found


def test_a_new_series_is_receiving_and_due_at_once(series: SeriesRecord, index: Index) -> None:
    assert series.state is SeriesState.RECEIVING
    assert [one.uid for one in Work(index).due(now=1.0)] == ["1.8.1"]
    assert Work(index).due(now=0.9) == []


def test_a_move_counts_only_from_what_was_seen(series: SeriesRecord, index: Index) -> None:
    work = Work(index)
    settled = work.move(series, SeriesState.SETTLED, now=2.0, actor="watcher")
    assert settled is not None
    assert settled.state is SeriesState.SETTLED
    assert work.move(series, SeriesState.SETTLED, now=3.0, actor="another") is None
    assert [event["actor"] for event in work.history(series.pk)] == ["watcher"]


def test_of_many_who_reach_for_a_series_one_gets_it(series: SeriesRecord, index: Index) -> None:
    work = Work(index)
    with ThreadPoolExecutor(8) as pool:
        got = list(
            pool.map(
                lambda n: work.move(
                    series, SeriesState.ASSEMBLING, now=2.0, actor="w", owner=str(n)
                ),
                range(8),
            )
        )
    assert len([one for one in got if one is not None]) == 1


def test_a_late_instance_takes_a_series_back(series: SeriesRecord, index: Index) -> None:
    work = Work(index)
    ready = work.move(series, SeriesState.READY, now=2.0, actor="w", revision=1)
    assert ready is not None
    Store(index).add([(record(2, at=9.0), None)])
    again = work.series("1.8.1")
    assert again is not None
    assert (again.state, again.due, again.revision) == (SeriesState.RECEIVING, 9.0, 1)
    assert work.history(series.pk)[-1]["to_state"] == "receiving"


def test_the_same_instance_again_changes_nothing(series: SeriesRecord, index: Index) -> None:
    assert Store(index).add([(record(1, at=50.0), None)]) == [Stored.SAME]
    assert Work(index).series("1.8.1") == series


def test_a_conflict_is_kept_beside_and_counted_once(series: SeriesRecord, index: Index) -> None:
    store = Store(index)
    assert store.add([(record(1, sha256="b"), None)]) == [Stored.CONFLICT]
    assert store.add([(record(1, sha256="b"), None)]) == [Stored.SAME]
    found = Work(index).instances(series.pk)
    assert [(one.sha256, one.conflict) for one in found] == [("a", False), ("b", True)]


def test_the_end_of_an_association_wakes_its_series(index: Index) -> None:
    store, work = Store(index), Work(index)
    row = store.open_association("SCANNER", "RASNODE", "10.0.0.1", 1.0, "run-1")
    store.add([(record(1), row), (record(2), row), (record(1, series=2), None)])
    first, other = work.series("1.8.1"), work.series("1.8.2")
    assert first is not None
    assert other is not None
    assert work.look_again(first, None)
    assert work.look_again(other, None)
    store.end_association(row, AssociationEnd.RELEASED, 7.0)
    assert [one.uid for one in work.due(now=7.0)] == ["1.8.1"]
    (arrival,) = work.arrivals(first.pk)
    assert (arrival.end, arrival.ended_at, arrival.instances) == ("released", 7.0, 2)


def test_an_aborted_association_is_repeated_once_all_that_it_brought_came_again(
    index: Index,
) -> None:
    store, work = Store(index), Work(index)

    def brought(association: int, *numbers: int, at: float) -> list[Stored]:
        return store.add([(record(number, at=at), association) for number in numbers])

    def repeated() -> list[bool]:
        return [arrival.repeated for arrival in work.arrivals(pk)]

    cut = store.open_association("SCANNER", "RASNODE", "10.0.0.1", 1.0, "run-1")
    assert brought(cut, 1, 2, at=2.0) == [Stored.NEW, Stored.NEW]
    pk = work.series("1.8.1").pk  # type: ignore[union-attr]
    store.end_association(cut, AssociationEnd.ABORTED, 3.0)
    assert repeated() == [False]
    again = store.open_association("SCANNER", "RASNODE", "10.0.0.1", 4.0, "run-1")
    before = work.series("1.8.1")
    assert brought(again, 1, 1, at=5.0) == [Stored.SAME, Stored.SAME]
    assert repeated() == [False, False]
    assert brought(again, 2, at=6.0) == [Stored.SAME]
    assert brought(cut, 1, 2, at=2.0) == [Stored.SAME, Stored.SAME]  # ingested again after a crash
    assert work.series("1.8.1") == before
    first, second = work.arrivals(pk)
    assert (first.repeated, first.last_at, first.instances) == (True, 2.0, 2)
    assert (second.repeated, second.last_at, second.instances) == (False, 5.0, 0)
    assert work.look_again(before, None)  # type: ignore[arg-type]
    store.end_association(again, AssociationEnd.RELEASED, 7.0)
    assert [one.uid for one in work.due(now=7.0)] == ["1.8.1"]


def test_what_comes_again_to_a_series_at_rest_leaves_no_trace(index: Index) -> None:
    store, work = Store(index), Work(index)
    cut = store.open_association("SCANNER", "RASNODE", "10.0.0.1", 1.0, "run-1")
    store.add([(record(1), cut)])
    store.end_association(cut, AssociationEnd.ABORTED, 3.0)
    series = work.series("1.8.1")
    assert series is not None
    assert work.move(series, SeriesState.SETTLED, now=9.0, actor="watcher")
    again = store.open_association("SCANNER", "RASNODE", "10.0.0.1", 4.0, "run-1")
    assert store.add([(record(1), again)]) == [Stored.SAME]
    assert [one.repeated for one in work.arrivals(series.pk)] == [False]


def test_what_an_earlier_run_left_open_is_lost(index: Index) -> None:
    store, work = Store(index), Work(index)
    old = store.open_association("A", "B", "1", 1.0, "run-1")
    new = store.open_association("A", "B", "1", 1.0, "run-2")
    store.add([(record(1), old), (record(2), new)])
    assert store.end_lost_associations("run-2", 5.0) == 1
    found = work.series("1.8.1")
    assert found is not None
    assert sorted(arrival.end for arrival in work.arrivals(found.pk)) == ["lost", "open"]


def test_an_output_name_belongs_to_one_series(index: Index) -> None:
    store, work = Store(index), Work(index)
    store.add([(record(1), None), (record(1, series=2), None)])
    one, two = work.series("1.8.1"), work.series("1.8.2")
    assert one is not None
    assert two is not None
    assert work.claim_stem(one.pk, "x/0001_MR")
    assert not work.claim_stem(two.pk, "x/0001_MR")
    assert work.claim_stem(one.pk, "x/0001_MR")
