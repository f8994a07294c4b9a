"""Instances that come together are in the journal with one sync, as many as there is room for."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from node.core.errors import StorageFull
from node.storage.archive import Archive
from node.storage.journal import Entry, Journal, JournalFull, JournalWriter, Source, segment, writer
from node.storage.journal.partition_reader import PartitionReader
from node.storage.receive.instance_receiver import Incoming
from node.storage.receive.journal_receiver import JournalReceiver
from tests.running import eventually

SOURCE = Source("run", "A", "B", "127.0.0.1", 1.0)
SYNTAX = str(ExplicitVRLittleEndian)


def entry(number: int) -> Entry:
    return Entry("1.2.3", f"1.9.{number}", SYNTAX, 2.0, SOURCE)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path)
    yield made
    made.close()


@pytest.fixture
def partition(journal: Journal) -> Iterator[JournalWriter]:
    made = JournalWriter(journal.folder, 0, journal.offsets, segment.SMALLEST)
    yield made
    made.close()


def found(journal: Journal) -> list[str]:
    items = [one.item for one in journal.left_over()]
    return [item.sop_instance_uid for item in items if isinstance(item, Entry)]


def failing_sync(_handle: int) -> None:
    raise OSError(5, "Input/output error")


def test_all_of_them_are_there(
    journal: Journal, partition: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[segment.Segment] = []
    sync = segment.Segment.sync

    def counted(one: segment.Segment) -> None:
        syncs.append(one)
        sync(one)

    monkeypatch.setattr(segment.Segment, "sync", counted)
    assert partition.append_together([(entry(n), bytes([n]) * 1000) for n in range(5)]) == 5
    assert len(syncs) == 1
    assert found(journal) == [f"1.9.{n}" for n in range(5)]


def test_a_full_journal_takes_what_fits_at_once(journal: Journal, partition: JournalWriter) -> None:
    data = bytes(partition.largest)
    several = [(entry(number), data) for number in range(5 * segment.FEWEST)]
    started = time.monotonic()
    done = partition.append_together(several)
    assert 2 * segment.FEWEST <= done < len(several)
    assert partition.append_together(several[done:]) == 0
    assert time.monotonic() - started < 5.0  # another writer would wait for 10 s
    assert found(journal) == [one.sop_instance_uid for one, _ in several[:done]]


def test_a_large_disk_takes_more_before_it_has_to_be_filed(journal: Journal) -> None:
    free = 100 << 30
    assert segment.size_for(free) * segment.count_for(free) == 1 << 30
    free = 1 << 30
    assert free // 64 < segment.size_for(free) * segment.count_for(free) <= free // 32
    partition = JournalWriter(
        journal.folder, 0, journal.offsets, segment.SMALLEST, most=segment.MOST
    )
    data = bytes(partition.largest)
    done = partition.append_together([(entry(n), data) for n in range(5 * segment.MOST)])
    assert 2 * segment.MOST <= done < 5 * segment.MOST
    partition.close()


def test_the_journal_does_not_take_what_is_left_of_a_disk(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = os.statvfs(journal.folder)
    left = SimpleNamespace(f_bavail=segment.SMALLEST // disk.f_frsize * 20, f_frsize=disk.f_frsize)
    monkeypatch.setattr(os, "statvfs", lambda _where: left)
    partition = JournalWriter(
        journal.folder, 0, journal.offsets, segment.SMALLEST, most=segment.MOST
    )
    data = bytes(partition.largest)
    done = partition.append_together([(entry(n), data) for n in range(5 * segment.MOST)])
    assert 2 * segment.FEWEST <= done <= 4 * segment.FEWEST
    assert len(list(journal.folder.glob("00-*.seg"))) == segment.FEWEST
    partition.close()


def test_segments_are_there_before_a_sender_needs_them(
    journal: Journal, partition: JournalWriter
) -> None:
    def made() -> int:
        return len(list(journal.folder.glob("00-*.seg")))

    eventually(lambda: made() == segment.FEWEST, 10, "the journal is ready")


def test_nothing_counts_that_could_not_be_synced(
    partition: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_segment: segment.Segment) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(segment.Segment, "sync", failing)
        assert partition.append_together([(entry(1), b"x")]) == 0
        with pytest.raises(StorageFull):
            partition.append(entry(1), b"x")
    assert partition.append_together([(entry(1), b"x")]) == 1


def test_a_draft_counts_once_it_is_kept(
    journal: Journal, partition: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = journal.offsets.answered(0)
    draft = partition.draft([(entry(n), bytes([n]) * 1000) for n in range(3)])
    assert draft is not None
    assert journal.offsets.answered(0) == before
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing_sync)
        assert not draft.keep()
    assert journal.offsets.answered(0) == before
    assert partition.draft([(entry(1), b"x")]) is None  # that file is not trusted any more
    assert partition.append_together([(entry(7), b"x")]) == 1
    again = partition.draft([(entry(8), b"y")])
    assert again is not None
    assert again.keep()
    assert found(journal)[-2:] == ["1.9.7", "1.9.8"]


def test_a_draft_that_is_dropped_leaves_nothing(journal: Journal, partition: JournalWriter) -> None:
    assert partition.append_together([(entry(1), b"x" * 1000)]) == 1
    draft = partition.draft([(entry(n), bytes([n]) * 1000) for n in range(3)])
    assert draft is not None
    draft.drop()
    assert found(journal) == ["1.9.1"]
    assert partition.append_together([(entry(2), b"y" * 1000)]) == 1
    assert found(journal) == ["1.9.1", "1.9.2"]


def test_a_draft_is_for_one_segment_and_one_writer(
    journal: Journal, partition: JournalWriter
) -> None:
    with partition._lock:
        assert partition.draft([(entry(1), b"x")]) is None
    data = bytes(partition.largest)
    assert partition.draft([(entry(n), data) for n in range(5)]) is None
    assert found(journal) == []
    assert partition.append_together([(entry(n), data) for n in range(5)]) == 5


def test_the_ingester_sees_when_a_receiver_received_much(
    journal: Journal, partition: JournalWriter
) -> None:
    offsets, before = journal.offsets, time.monotonic()
    assert partition.append_together([(entry(1), bytes(20_000))]) == 1
    assert offsets.last_burst(time.monotonic()) < before
    assert partition.append_together([(entry(n), bytes(20_000)) for n in range(2)]) == 2
    assert before <= offsets.last_burst(time.monotonic()) <= time.monotonic()
    between = time.monotonic()
    draft = partition.draft([(entry(1), bytes(100_000))])
    assert draft is not None
    assert draft.keep()
    assert between <= offsets.last_burst(time.monotonic()) <= time.monotonic()
    offsets.set_last_burst(time.monotonic() + 1e6)  # the machine had run for longer
    assert offsets.last_burst(time.monotonic()) == 0.0


def test_it_does_not_wait_for_another_writer(partition: JournalWriter) -> None:
    with partition._lock:
        assert partition.append_together([(entry(1), b"x")]) == 0


def test_many_who_wait_for_room_are_all_refused_in_the_time_of_one(
    journal: Journal, partition: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits for the lock and for a free segment together no longer than one would."""
    data = bytes(partition.largest)
    fits = partition.append_together([(entry(n), data) for n in range(100)])
    assert 0 < fits < 100  # nothing is ingested: no segment becomes free
    monkeypatch.setattr(writer, "_WAIT_SECONDS", 0.5)
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(partition.append, entry(n), data) for n in range(4)]
        errors = [type(one.exception(10)) for one in waiting]
    assert errors == [JournalFull] * 4
    assert time.monotonic() - began < 1.5


def test_several_threads_append_side_by_side(journal: Journal, partition: JournalWriter) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: partition.append(entry(n), bytes([n]) * 1000), range(40)))
    assert sorted(found(journal)) == sorted(f"1.9.{n}" for n in range(40))


def incoming(uid: str, data: bytes) -> Incoming:
    return Incoming("1.2.3", uid, SYNTAX, data, "A", SOURCE)


def encoded(uid: str) -> bytes:
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = "1.2.3", uid
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2", "1.3"
    buffer = io.BytesIO()
    dcmwrite(buffer, made, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


def test_what_is_odd_is_left_to_others_and_the_rest_is_taken(
    tmp_path: Path, journal: Journal, partition: JournalWriter
) -> None:
    archive = Archive(tmp_path)
    archive.prepare()
    receiver = JournalReceiver(archive, journal, partition, minimum_free=0, clock=time.time)
    several = [
        incoming("1.9.1", encoded("1.9.1")),
        incoming("1.9.2", encoded("1.9.9")),
        incoming("1.9.3", b"no data set"),
        incoming("1.9.4", encoded("1.9.4")),
    ]
    called: list[int] = []
    assert receiver.store_together(several, lambda: called.append(1)) == [True, False, False, True]
    assert found(journal) == ["1.9.1", "1.9.4"]
    journal.offsets.set_ingest_blocked(True)
    assert receiver.store_together(several, lambda: called.append(2)) == [False] * 4
    assert called == [1, 2]
    journal.offsets.set_ingest_blocked(False)
    full = JournalReceiver(archive, journal, partition, minimum_free=1 << 62, clock=time.time)
    assert full.store_together(several) == [False] * 4
    assert found(journal) == ["1.9.1", "1.9.4"]


def again(journal: Journal) -> JournalWriter:
    """The partition of a process that takes the place of one that died."""
    return JournalWriter(journal.folder, 0, journal.offsets, segment.SMALLEST, most=segment.MOST)


@pytest.mark.parametrize("rounds", [1, 3, 6])
def test_who_takes_over_keeps_what_is_not_safe_yet(journal: Journal, rounds: int) -> None:
    data, sent = bytes(segment.SMALLEST // 4), 0
    for _ in range(rounds):
        partition = again(journal)
        for _ in range(2):
            partition.append(entry(sent), data)
            sent += 1
        partition.close()
    assert found(journal) == [f"1.9.{number}" for number in range(sent)]


def test_who_takes_over_uses_what_is_safe(journal: Journal) -> None:
    for _ in range(3 * segment.FEWEST):
        partition = again(journal)
        partition.append(entry(1), b"data")
        partition.close()
        journal.forget()
    assert len(list(journal.folder.glob("00-*.seg"))) <= segment.FEWEST


def test_what_was_being_written_when_a_process_died_is_not_read(journal: Journal) -> None:
    partition = again(journal)
    partition.append(entry(0), b"whole")
    answered = journal.offsets.answered(0)
    partition.append(entry(1), b"unanswered")
    partition.close()
    journal.offsets.set_answered(0, answered)  # it died before it said so
    after = again(journal)
    after.append(entry(2), b"later")
    after.close()
    cursor = PartitionReader(journal.folder, 0, 0)
    items = []
    while one := cursor.next(journal.offsets.answered(0)):
        items.append(one.item)
    uids = [item.sop_instance_uid for item in items if isinstance(item, Entry)]
    assert uids == ["1.9.0", "1.9.2"]


def test_a_segment_has_its_name_once_it_is_whole(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ingester looks into the folder at any time, and maps what it finds."""
    path = journal.folder / "00-0.seg"
    seen: list[int | None] = []

    def watched(handle: int) -> None:
        seen.append(path.stat().st_size if path.exists() else None)
        os_fsync(handle)

    os_fsync = os.fsync
    monkeypatch.setattr("node.storage.journal.segment.os.fsync", watched)
    segment.Segment(path, segment.SMALLEST).close()
    assert set(seen) <= {None, segment.SMALLEST}
    assert None in seen
    assert path.stat().st_size == segment.SMALLEST


def test_what_lies_beyond_what_was_mapped_is_read(journal: Journal) -> None:
    path = journal.folder / "00-0.seg"
    path.write_bytes(bytes(segment.SMALLEST))
    cursor = PartitionReader(journal.folder, 0, 0)
    assert cursor.next(segment.position(1, segment.HEADER)) is None
    with path.open("ab") as file:
        file.write(bytes(segment.SMALLEST))
    partition = JournalWriter(journal.folder, 0, journal.offsets, 2 * segment.SMALLEST)
    sent = [f"1.9.{number}" for number in range(20)]
    items = []
    for number in range(len(sent)):
        partition.append(entry(number), bytes(segment.SMALLEST // 4))
        while one := cursor.next(journal.offsets.answered(0)):
            items.append(one.item)
        journal.offsets.set_safe(0, journal.offsets.answered(0))
    partition.close()
    assert [item.sop_instance_uid for item in items if isinstance(item, Entry)] == sent
