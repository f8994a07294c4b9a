"""A damaged record of the journal costs that record alone, and is named."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.storage.archive import Archive
from node.storage.index.engine import Index
from node.storage.index.store import Store
from node.storage.ingest.ingester import Ingester
from node.storage.ingest.journal_consumer import JournalConsumer
from node.storage.ingest.service import IngestService
from node.storage.journal import AssociationEnded, Entry, Journal, JournalWriter, Source, segment
from node.storage.journal.damage import FOLDER, damage_sentence, damages
from node.storage.journal.record_format import encode_record
from tests.databases import migrated_sqlite

SOURCE = Source("run", "A", "B", "127.0.0.1", 1.0)
SIZE = 40_000
PER_SEGMENT = (segment.SMALLEST - segment.HEADER) // (SIZE + 200)


def entry(number: int) -> Entry:
    return Entry("1.2.3", f"1.9.{number}", "1.2.840.10008.1.2", 2.0, SOURCE)


class World:
    """A journal of one partition, as it is damaged and read."""

    def __init__(self, root: Path) -> None:
        self.journal = Journal(root)
        self.folder = self.journal.folder
        self.partition: JournalWriter | None = None
        self.sent = 0

    def send(self, count: int, data: bytes = b"") -> None:
        if self.partition is None:
            self.partition = JournalWriter(self.folder, 0, self.journal.offsets, segment.SMALLEST)
        for _ in range(count):
            self.partition.append(entry(self.sent), data or bytes([self.sent]) * SIZE)
            self.sent += 1

    def stop(self) -> None:
        if self.partition is not None:
            self.partition.close()
            self.partition = None

    def left(self) -> list[int]:
        """What is read after the end; each has its own bytes."""
        self.stop()
        found = []
        for one in self.journal.left_over():
            assert isinstance(one.item, Entry)
            number = int(one.item.sop_instance_uid.split(".")[-1])
            assert set(bytes(one.data_set[-SIZE:])) == {number}
            found.append(number)
        return found

    def segment(self, generation: int) -> Path:
        for path in self.folder.glob("*.seg"):
            head = segment.read_segment_header(path.read_bytes()[: segment.HEADER])
            if head and head.generation == generation:
                return path
        raise AssertionError(generation)

    def flip(self, generation: int, at: int) -> None:
        with self.segment(generation).open("r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 0x10]))

    def where(self, generation: int, what: bytes) -> int:
        return self.segment(generation).read_bytes().index(what)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.stop()
    made.journal.close()


def but(world: World, *missing: int) -> list[int]:
    return [number for number in range(world.sent) if number not in missing]


@pytest.mark.parametrize("at", [0, 6, 8, 13, 25, 37, 60, 20_000])
@pytest.mark.parametrize("which", [0, PER_SEGMENT - 1])
def test_one_flipped_bit_costs_one_record(world: World, at: int, which: int) -> None:
    world.send(PER_SEGMENT + 3)
    world.stop()
    before = (encode_record(entry(number), bytes(SIZE), 1, 1) for number in range(which))
    start = segment.HEADER + sum(len(b"".join(parts)) for parts in before)
    world.flip(1, start + at)
    assert world.left() == but(world, which)
    (note,) = damages(world.folder)
    assert "segment 1" in note
    assert (world.folder / FOLDER / "00-0000000001.seg").stat().st_size == segment.SMALLEST
    assert "were damaged in the journal" in (damage_sentence(world.folder) or "")


@pytest.mark.parametrize("at", [0, 9])
def test_a_damaged_header_of_a_segment_costs_nothing(world: World, at: int) -> None:
    world.send(3)
    world.stop()
    world.flip(1, at)
    assert world.left() == but(world)
    assert damages(world.folder) == []


@pytest.mark.parametrize("count", [3, PER_SEGMENT + 3])
def test_without_its_header_a_segment_is_read_all_the_same(world: World, count: int) -> None:
    world.send(count)
    world.stop()
    with world.segment(1).open("r+b") as file:
        file.write(os.urandom(segment.HEADER))
    assert world.left() == but(world)


def test_what_was_overwritten_at_the_start_costs_what_was_there(world: World) -> None:
    world.send(4)
    world.stop()
    with world.segment(1).open("r+b") as file:
        file.write(os.urandom(segment.HEADER + 1000))
    assert world.left() == but(world, 0)
    assert len(damages(world.folder)) == 1


@pytest.mark.parametrize("generation", [1, 2, 3])
def test_a_removed_segment_is_named(
    world: World, generation: int, caplog: pytest.LogCaptureFixture
) -> None:
    world.send(2 * PER_SEGMENT + 5)
    world.stop()
    world.segment(generation).unlink()
    gone = range((generation - 1) * PER_SEGMENT, min(generation * PER_SEGMENT, world.sent))
    assert world.left() == but(world, *gone)
    (note,) = damages(world.folder)
    assert f"segment {generation}, which is gone" in note
    assert "answered 0x0000" in caplog.text


@pytest.mark.parametrize("generation", [1, 2])
@pytest.mark.parametrize("size", [0, 5000, segment.HEADER + 3 * SIZE])
def test_a_truncated_segment_is_named(world: World, generation: int, size: int) -> None:
    world.send(2 * PER_SEGMENT)
    world.stop()
    os.truncate(world.segment(generation), size)
    kept = world.left()
    first = (generation - 1) * PER_SEGMENT
    assert set(kept) >= set(but(world, *range(first, first + PER_SEGMENT)))
    assert len(kept) < world.sent
    assert len(damages(world.folder)) == 1


def test_several_at_once(world: World) -> None:
    world.send(3 * PER_SEGMENT)
    world.stop()
    dice = random.Random(4)
    lost = sorted(dice.sample(range(1, 3 * PER_SEGMENT), 9))
    for number in lost:
        generation = number // PER_SEGMENT + 1
        world.flip(generation, world.where(generation, bytes([number]) * 2000) + 1000)
    assert world.left() == but(world, *lost)


def test_nothing_in_a_data_set_is_taken_for_a_record(world: World) -> None:
    world.send(1)
    assert world.partition is not None
    nested = b"".join(encode_record(entry(999), bytes([231]) * SIZE, 1, 0))
    own = b"".join(encode_record(entry(998), bytes([230]) * SIZE, 1, world.partition._seed))
    for inside in (nested, own):
        world.send(1, inside + bytes([world.sent]) * SIZE)
    world.send(1)
    world.stop()
    # The lengths of the one are damaged, which leaves only what looks like records; of the other
    # they lead past a record that even has the partition's own seed.
    world.flip(1, world.where(1, nested[:64]) - 40)
    world.flip(1, world.where(1, own[:64]) + len(own) - 2)
    assert 999 not in (kept := world.left())
    assert 998 not in kept
    assert kept == but(world, 1, 2) or kept == but(world, 2)


def test_what_was_not_answered_is_no_damage(world: World) -> None:
    world.send(2)
    answered = world.journal.offsets.answered(0)
    world.send(1)
    world.stop()
    world.journal.offsets.set_answered(0, answered)
    world.flip(1, segment.split_position(answered)[1] + 1000)
    assert world.left() == [0, 1]
    assert damages(world.folder) == []


def test_an_old_board_gives_no_false_alarm(world: World, tmp_path: Path) -> None:
    """After a power cut the board may be as it was long ago, and segments have been used again."""
    world.send(3)
    offsets = (world.folder / "board").read_bytes()
    for _ in range(4 * segment.FEWEST):
        world.send(PER_SEGMENT)
        world.sent %= 100
        world.journal.offsets.set_safe(0, world.journal.offsets.answered(0))
    world.sent = 200
    world.send(2)
    world.stop()
    world.journal.close()
    (world.folder / "board").write_bytes(offsets)
    world.journal = Journal(tmp_path)
    assert world.left()[-2:] == [200, 201]
    assert damages(world.folder) == []


@pytest.mark.parametrize("damage", ["removed", "zeroed", "truncated", "safe flipped"])
def test_without_its_board_everything_is_read(world: World, tmp_path: Path, damage: str) -> None:
    world.send(2 * PER_SEGMENT)
    world.stop()
    world.journal.close()
    offsets = world.folder / "board"
    if damage == "removed":
        offsets.unlink()
    elif damage == "zeroed":
        offsets.write_bytes(bytes(offsets.stat().st_size))
    elif damage == "truncated":
        os.truncate(offsets, 100)
    else:
        content = bytearray(offsets.read_bytes())
        content[16:24] = content[:8]  # as if all that was answered were safe
        content[48] = 1
        offsets.write_bytes(content)
    world.journal = Journal(tmp_path)
    assert world.left() == but(world)


def following(world: World, harm: Callable[[], None]) -> list[int]:
    """What the running ingester reads, before and after it is done some harm."""
    consumer = JournalConsumer(world.journal, 0)
    found = []
    for _ in range(20):
        for one in consumer.batch():
            assert isinstance(one.item, Entry)
            found.append(int(one.item.sop_instance_uid.split(".")[-1]))
        consumer.done()
    harm()
    for _ in range(20):
        for one in consumer.batch():
            assert isinstance(one.item, Entry | AssociationEnded)
            found.append(int(one.item.sop_instance_uid.split(".")[-1]))
        consumer.done()
    assert consumer.position == world.journal.offsets.answered(0)
    return found


def test_the_running_filer_goes_on_behind_damage(world: World) -> None:
    world.send(2)

    def harm() -> None:
        world.send(PER_SEGMENT)
        world.flip(1, world.where(1, bytes([5]) * 1000) + 500)
        world.flip(1, world.where(1, bytes([8]) * 1000) - 30)

    assert following(world, harm) == but(world, 5, 8)
    assert len(damages(world.folder)) == 2


def test_the_running_filer_reads_what_was_removed_under_it(world: World) -> None:
    world.send(2)

    def harm() -> None:
        world.send(PER_SEGMENT)
        for generation in (1, 2):
            world.segment(generation).unlink()

    assert following(world, harm) == but(world)


def test_what_was_removed_is_not_written_to(world: World) -> None:
    world.send(2)

    def harm() -> None:
        world.segment(1).unlink()
        time.sleep(segment._CHECK_SECONDS)
        with pytest.raises(Exception, match="journal"):
            world.send(1)
        world.send(4)

    assert sorted(set(following(world, harm))) == but(world)  # the refused one may come twice
    world.stop()
    assert len(list(world.folder.glob("00-*.seg"))) >= 2


def test_only_the_newest_segments_are_kept_aside(world: World) -> None:
    world.send(7 * PER_SEGMENT)
    world.stop()
    for generation in range(1, 8):
        number = (generation - 1) * PER_SEGMENT + 1
        world.flip(generation, world.where(generation, bytes([number]) * 1000) + 500)
    assert len(world.left()) == world.sent - 7
    assert len(damages(world.folder)) == 7
    assert len(list((world.folder / FOLDER).glob("*.seg"))) == 4


def test_segments_of_earlier_versions_are_read(world: World) -> None:
    world.send(0)
    path = world.folder / "00-0.seg"
    content = bytearray(path.read_bytes())
    head = segment._EARLIER.pack(segment._EARLIER_MAGIC, 1, 0)[:-4]
    content[: segment.HEADER] = bytes(segment.HEADER)
    crc = segment.isal_zlib.crc32(head)
    content[:20] = head + crc.to_bytes(4, "little")
    at = segment.HEADER
    for number in range(3):
        record = b"".join(encode_record(entry(number), bytes([number]) * SIZE, 1))
        content[at : at + len(record)] = record
        at += len(record)
    path.write_bytes(content)
    world.journal.offsets.set_answered(0, segment.position(1, at))
    world.sent = 3
    world.flip(1, segment.HEADER + 1000)
    assert world.left() == [1, 2]


def test_damage_at_the_end_holds_nothing_up(world: World, tmp_path: Path) -> None:
    archive, index = Archive(tmp_path), Index(migrated_sqlite(tmp_path / "index.db"))
    archive.prepare()
    world.send(2)
    world.flip(1, world.where(1, bytes([1]) * 1000) + 500)
    going = iter([True, True])
    service = IngestService(
        world.journal,
        Ingester(archive, Store(index), lambda: 3.0),
        archive,
        index,
        wait=lambda _seconds: next(going, False),
        ingested=lambda _ingested: None,
    )
    service.run()
    index.close()
    offsets = world.journal.offsets
    assert offsets.safe(0) == offsets.ingested(0) == offsets.answered(0)
    assert len(damages(world.folder)) == 1
