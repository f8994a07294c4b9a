"""What is damaged is known until it is healed, withdrawn or made again; on both databases."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from node.core.errors import Reason
from node.core.records import InstanceRecord, SeriesRecord, SeriesState, Stored
from node.storage.index.engine import Index
from node.storage.index.schema import ConflictRow, InstanceRow
from node.storage.index.search.search import Sendable
from node.storage.index.series.conflicts import Conflicts
from node.storage.index.series.damages import Damages, archived, file_columns
from node.storage.index.series.publications import Publications
from node.storage.index.series.verification import Inventory, Progress, Stage
from node.storage.index.series.work import Work
from node.storage.index.store import Store
from tests.unit.storage.index.test_work import record

BAD = Reason.INSTANCE_DAMAGED


def added(index: Index, *records: InstanceRecord) -> SeriesRecord:
    Store(index).add([(one, None) for one in records])
    found = Work(index).series(records[0].series_instance_uid)
    assert found is not None
    return found


def sendable(index: Index, number: int = 0) -> Sendable:
    return [one for _, one in Inventory(index).instances(0)][number]


def test_damage_is_named_once_with_when_it_was_found(index: Index) -> None:
    series = added(index, record(1), record(2))
    damages, one = Damages(index), sendable(index)
    assert damages.note_instance(one, BAD, "its checksum differs", 5.0)
    assert damages.note_instance(one, BAD, "its file has 7 bytes", 6.0)
    (found,) = damages.all()
    assert (found.series_pk, found.series_uid, found.uid) == (
        series.pk, series.uid, one.sop_instance_uid,
    )  # fmt: skip
    assert (found.path, found.reason, found.found_at) == (archived(one.path), BAD, 5.0)
    assert "7 bytes" in str(found)
    assert "send it again" in str(found)
    assert damages.count() == {BAD: 1}
    assert damages.expected(found) == [one]
    assert damages.all(series=[series.pk + 1]) == []
    damages.forget(found.path)
    assert damages.count() == {}


def test_what_the_index_no_longer_says_is_not_damaged(index: Index) -> None:
    series = added(index, record(1))
    damages, one = Damages(index), sendable(index)
    for other in (
        replace(one, sop_instance_uid="1.2.3.4"),
        replace(one, path="elsewhere"),
        replace(one, data_set_offset=one.data_set_offset + 2),
        replace(one, sha256="b"),
    ):
        assert not damages.note_instance(other, BAD, "", 1.0)
    assert not damages.note_instance(one, BAD, "", 1.0, series.change - 1)
    assert damages.note_instance(one, BAD, "", 1.0, series.change)


def test_the_same_bytes_again_heal_what_was_damaged(index: Index) -> None:
    """Their file may lie elsewhere, and its meta information may be longer."""
    series = added(index, record(1))
    work, damages, one = Work(index), Damages(index), sendable(index)
    ready = work.move(series, SeriesState.SETTLED, now=2.0, actor="t")
    assert ready is not None
    again = msgspec.structs.replace(record(1), data_set_offset=310, size=one.size + 10)
    assert Store(index).add([(again, None)]) == [Stored.SAME]
    assert sendable(index).data_set_offset == 310
    assert work.series(series.uid) == ready  # the place alone is no reason to make it again
    damages.note_instance(sendable(index), BAD, "", 1.0)
    fresh = msgspec.structs.replace(again, fresh=True, path="1/1/beside")
    assert Store(index).add([(fresh, None)]) == [Stored.SAME]
    assert damages.count() == {}
    assert sendable(index).path == "1/1/beside"
    healed = work.series(series.uid)
    assert healed is not None
    assert (healed.state, healed.instances) == (SeriesState.RECEIVING, 1)
    assert work.history(series.pk)[-1]["detail"]["why"].startswith(
        "an instance whose file was damaged"
    )


def test_a_file_that_was_replaced_before_its_row_was_written(index: Index) -> None:
    """A crash between the two: ingested again, the bytes are there already."""
    series = added(index, record(1))
    Damages(index).note_instance(sendable(index), BAD, "", 1.0)
    assert Store(index).add([(record(1), None)]) == [Stored.SAME]
    assert Damages(index).count() == {}
    found = Work(index).series(series.uid)
    assert found is not None
    assert found.change == series.change + 1


def test_a_conflict_is_damaged_and_healed_by_itself(index: Index) -> None:
    other = record(1, sha256="b")
    added(index, record(1), other)
    damages = Damages(index)
    (conflict,) = [one for _, one in Inventory(index).conflicts(0)]
    assert conflict.sha256 == "b"
    assert damages.note_instance(conflict, BAD, "", 1.0)
    (found,) = damages.all()
    assert damages.expected(found) == [conflict]
    Store(index).add([(msgspec.structs.replace(record(1), fresh=True), None)])
    assert damages.count() == {BAD: 1}
    Store(index).add([(msgspec.structs.replace(other, fresh=True), None)])
    assert damages.count() == {}
    assert len(file_columns(ConflictRow)) == len(file_columns(InstanceRow))


def test_damage_of_a_copy_is_told_and_healed_apart_from_the_original(index: Index) -> None:
    first = record(1)
    copy = msgspec.structs.replace(
        first, sha256="copy", path="copy.dcm", attributes={**first.attributes, "PatientID": "other"}
    )
    added(index, first, copy)
    damages = Damages(index)
    for one in (sendable(index), sendable(index, 1)):
        assert damages.note_instance(one, BAD, "", 1.0)
    assert {one.path: one.address for one in damages.all()} == {
        archived(first.path): first.series_instance_uid,
        archived(copy.path): f"{first.series_instance_uid}~1",
    }
    before = {one.address: one.change for one in Work(index).in_state()}
    Store(index).add([(msgspec.structs.replace(copy, fresh=True), None)])
    assert [one.path for one in damages.all()] == [archived(first.path)]
    after = {one.address: one.change for one in Work(index).in_state()}
    assert {uid for uid in after if after[uid] != before[uid]} == {f"{copy.series_instance_uid}~1"}


def test_what_heals_is_no_further_conflict_where_there_are_copies(index: Index) -> None:
    first, conflict = record(1), record(1, sha256="b")
    values = {**first.attributes, "PatientID": "other"}
    copy = msgspec.structs.replace(first, sha256="copy", path="copy.dcm", attributes=values)
    added(index, first, copy, conflict)
    conflicts = Conflicts(index)
    for one in (first, copy, conflict):
        assert not conflicts.would_be(one.sop_instance_uid, one.sha256)
    assert conflicts.would_be(first.sop_instance_uid, "c")
    assert not conflicts.would_be("1.2.3", "c")


def test_only_the_visible_revision_is_damaged_and_the_next_heals_it(index: Index) -> None:
    series = added(index, record(1))
    publications, damages = Publications(index), Damages(index)
    digests = {"a.nii.gz": "x"}
    series = settled(index, series)
    assert publications.begin(series, 1, "f", ["a.nii.gz"], {"verdict": "complete"}, 1.0, digests)
    lost = ("a.nii.gz", Reason.OUTPUT_MISSING, "gone", 3.0)
    assert Inventory(index).outputs_of(series.pk) is None
    assert not damages.note_output(series.pk, 1, *lost)
    publications.finish(series, 1, SeriesState.READY, now=2.0, actor="t", detail={})
    (outputs,) = Inventory(index).outputs(0)
    assert (outputs.revision, outputs.files, outputs.digests) == (1, ("a.nii.gz",), digests)
    assert damages.note_output(series.pk, 1, *lost)
    assert not damages.note_output(series.pk, 2, *lost)
    (found,) = damages.all()
    assert "it is made again" in str(found)
    series = settled(index, series)
    assert publications.begin(series, 2, "f", ["a.nii.gz"], {"verdict": "complete"}, 4.0, digests)
    assert not damages.note_output(series.pk, 1, *lost)
    publications.finish(series, 2, SeriesState.READY, now=5.0, actor="t", detail={})
    assert damages.count() == {}


def settled(index: Index, series: SeriesRecord) -> SeriesRecord:
    work = Work(index)
    found = work.series(series.uid)
    assert found is not None
    moved = work.move(found, SeriesState.ASSEMBLING, now=1.0, actor="t")
    assert moved is not None
    return moved


def test_how_far_somebody_is_keeps(index: Index) -> None:
    inventory = Inventory(index)
    assert inventory.progress("a") == Progress()
    kept = Progress(Stage.CONFLICTS, 7, 3, 2**40, 1.0, 2.0)
    inventory.keep("a", Progress(files=1))
    inventory.keep("a", kept)
    assert inventory.progress("a") == kept
    assert not inventory.progress("b").is_under_way


def test_a_sample_is_some_of_them(index: Index) -> None:
    added(index, *(record(number) for number in range(1, 30)))
    inventory = Inventory(index)
    sample = inventory.sample(10)
    assert len({one.sop_instance_uid for one in sample}) == 10
    assert {one.sop_instance_uid for one in inventory.sample(100)} == {
        one.sop_instance_uid for _, one in inventory.instances(0)
    }
