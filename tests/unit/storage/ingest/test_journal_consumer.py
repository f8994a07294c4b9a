"""Records gather for a batch, nobody waits for what does not come, and halves are written anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.storage.ingest.journal_consumer import JournalConsumer
from node.storage.journal import Entry, Journal, JournalRecord, JournalWriter, Source

SOURCE = Source("run", "A", "B", "127.0.0.1", 1.0)


class World:
    """A partition, and what comes while its follower rests."""

    def __init__(self, root: Path) -> None:
        self.journal = Journal(root)
        self.partition = JournalWriter(self.journal.folder, 0, self.journal.offsets, 4 << 20)
        self.sent = 0
        self.rests = 0
        self.meanwhile: Callable[[], None] = lambda: None

    def send(self, count: int = 1, size: int = 10) -> None:
        for _ in range(count):
            uid = f"1.9.{self.sent}"
            self.partition.append(
                Entry("1.2.3", uid, "1.2.840.10008.1.2", 2.0, SOURCE), bytes(size)
            )
            self.sent += 1

    def consumer(self) -> JournalConsumer:
        return JournalConsumer(self.journal, 0, self._rest)

    def _rest(self, _seconds: float) -> None:
        self.rests += 1
        self.meanwhile()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.partition.close()
    made.journal.close()


def uids(batch: list[JournalRecord]) -> list[str]:
    return [one.item.sop_instance_uid for one in batch if isinstance(one.item, Entry)]


def test_nobody_waits_for_what_does_not_come(world: World) -> None:
    consumer = world.consumer()
    assert consumer.batch() == []
    assert world.rests == 0
    world.send(3)
    assert uids(consumer.batch()) == ["1.9.0", "1.9.1", "1.9.2"]
    assert world.rests == 1  # to see that no more comes


def test_what_keeps_coming_gathers(world: World) -> None:
    consumer = world.consumer()
    world.send()
    world.meanwhile = lambda: world.send(10) if world.sent < 41 else None
    assert len(consumer.batch()) == 41
    assert world.rests == 5


def test_those_who_wait_do_not_wait_long(world: World) -> None:
    consumer = world.consumer()
    world.send()
    world.meanwhile = world.send  # for ever
    assert len(consumer.batch()) <= 11
    assert world.rests <= 10


def test_enough_is_filed_at_once(world: World) -> None:
    consumer = world.consumer()
    world.send(600)
    sizes = []
    for _ in range(3):
        sizes.append(len(consumer.batch()))
        consumer.done()
    assert sizes == [256, 256, 88]
    assert world.rests == 1  # for the last one, which might have become larger


def test_a_batch_stays_until_it_is_filed(world: World) -> None:
    consumer = world.consumer()
    world.send(2)
    assert uids(consumer.batch()) == ["1.9.0", "1.9.1"]
    world.send()
    assert uids(consumer.batch()) == ["1.9.0", "1.9.1", "1.9.2"]
    world.journal.offsets.set_ingested(0, consumer.position)
    consumer.done()
    world.send()
    assert uids(consumer.batch()) == ["1.9.3"]


def test_a_batch_with_halves_of_an_earlier_filer_is_written_anew(world: World) -> None:
    world.send()  # an earlier ingester may have died in the middle of it
    consumer = world.consumer()
    world.send()
    assert len(consumer.batch()) == 2
    assert consumer.anew
    consumer.done()
    world.send()
    assert consumer.batch()
    assert not consumer.anew


def test_what_is_not_safe_is_written_anew(world: World) -> None:
    consumer = world.consumer()
    world.send()
    consumer.batch()
    world.journal.offsets.set_safe(0, consumer.position)
    consumer.done()
    world.send(2)
    consumer.batch()
    consumer.done()
    consumer.rewind()
    world.send()
    assert uids(consumer.batch()) == ["1.9.1", "1.9.2", "1.9.3"]
    assert consumer.anew


def test_large_ones_come_few_at_once(world: World) -> None:
    consumer = world.consumer()
    world.send(20, size=600 << 10)
    assert len(consumer.batch()) == 14  # 8 MiB and the one that goes beyond
