"""Results that wait for their peers: kept on disk, sent as they were written, then removed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.convert.results import ResultOptions, to_seg
from node.core.errors import Permanent, Retryable, StorageFull
from node.core.records import SeriesRecord, StoredInstance
from node.deliver.targets.results import ResultTarget, peer_of, target_of
from node.deliver.targets.target import DeliveryRefused, TargetUnavailable
from node.lifecycle.results import kept
from node.lifecycle.results.kept import ResultStore
from node.lifecycle.results.numbers import free_number
from node.lifecycle.results.sending import ResultRoutes
from node.storage.index.peers.outbox import Outbox
from tests.phantom import Phantom
from tests.simulator.bench import Bench
from tests.unit.completion.builders import stack
from tests.unit.convert.results.worlds import grid_of

PEER = target_of("pacs")


class World:
    """A store, an outbox with one series, and a peer that notes what it gets."""

    def __init__(self, folder: Path) -> None:
        self.bench = Bench(folder)
        self.bench.deliver(stack(5))
        self.outbox = Outbox(self.bench.index)
        self.store = ResultStore(folder, self.outbox, 0, lambda: self.now)
        self.now = 1000.0
        self.got: list[list[StoredInstance]] = []
        self.error: Exception | None = None

    @property
    def series(self) -> SeriesRecord:
        return self.bench.series()

    def sender(self, peer: str, instances: Sequence[StoredInstance], seconds: float) -> None:
        assert (peer, seconds > 0) == ("pacs", True)
        if self.error is not None:
            raise self.error
        self.got.append(list(instances))

    def send(self, key: str = "k1", objects: Sequence[Dataset] | None = None) -> None:
        self.store.send(self.series, "pacs", key, objects or result())

    def deliver(self) -> None:
        (delivery,) = self.outbox.due(self.now, PEER, limit=1)
        ResultTarget("pacs", self.store.folder, self.sender).deliver(delivery)
        self.outbox.delivered(delivery, self.now)


def result(seed: str = "a", number: int = 9) -> list[Dataset]:
    phantom = Phantom()
    grid = grid_of(phantom)
    mask = np.ones(grid.shape, np.uint8)
    options = ResultOptions(seed=seed, series_number=number)
    return [to_seg(grid, phantom.instances()[0], mask, None, options)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.bench.index.close()


def test_what_is_sent_is_what_was_written_and_goes_afterwards(world: World) -> None:
    objects = result()
    world.send(objects=objects)
    folder = world.store.folder / "k1"
    assert world.store.clean() == 0
    world.deliver()
    ((one,),) = world.got
    assert Path(one.path).read_bytes()[one.data_set_offset :] != b""
    assert dcmread(one.path).SOPInstanceUID == objects[0].SOPInstanceUID == one.sop_instance_uid
    assert folder.is_dir()
    assert world.store.clean() == 1
    assert not folder.exists()


def test_a_key_is_sent_once_and_stays_what_it_was(world: World) -> None:
    world.send("k1", result("a"))
    world.send("k1", result("b"))
    assert len(world.outbox.due(world.now, PEER)) == 1
    world.deliver()
    world.send("k1", result("b"))
    assert not world.outbox.due(world.now, PEER)
    assert len(world.got) == 1


def test_files_that_are_gone_or_damaged_are_never_sent(world: World) -> None:
    for harm in (lambda path: path.write_bytes(b"x"), os.remove):
        world.send(str(harm), result())
        path = world.store.folder / str(harm) / "0001.dcm"
        harm(path)
        with pytest.raises(DeliveryRefused, match="make the result again"):
            world.deliver()
        (delivery,) = world.outbox.due(world.now, PEER, limit=1)
        world.outbox.bury(delivery, world.now, "")
    assert not world.got


def test_a_peer_that_is_away_or_refuses(world: World) -> None:
    world.send()
    for error, expected in (
        (Retryable("away"), TargetUnavailable),
        (Permanent("refused"), DeliveryRefused),
    ):
        world.error = error
        with pytest.raises(expected):
            world.deliver()


def test_too_many_results_are_not_kept(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world.send("k1")
    monkeypatch.setattr(kept, "MOST_BYTES", 2000)
    with pytest.raises(StorageFull, match="wait for their peers"):
        world.send("k2")
    assert len(world.outbox.due(world.now, PEER)) == 1
    full = ResultStore(tmp_path, world.outbox, 1 << 60)
    with pytest.raises(StorageFull):
        full.send(world.series, "pacs", "k3", result())


def test_what_a_crash_left_goes_and_what_was_given_up_stays_for_a_while(world: World) -> None:
    (world.store.folder / "orphan").mkdir(parents=True)
    world.store.workspace("attempt")
    world.send("dead")
    (delivery,) = world.outbox.due(world.now, PEER, limit=1)
    world.outbox.bury(delivery, world.now, "")
    world.now = (world.store.folder / "orphan").stat().st_mtime + 60
    assert world.store.clean() == 0
    world.now += kept.ORPHAN_SECONDS
    assert world.store.clean() == 1
    assert [path.name for path in sorted(world.store.folder.iterdir())] == [".making", "dead"]
    assert not list((world.store.folder / ".making").iterdir())
    world.now += kept.DEAD_SECONDS
    assert world.store.clean() == 1


def test_each_attempt_has_an_empty_folder(world: World) -> None:
    (world.store.workspace("one") / "left").write_text("")
    assert not list(world.store.workspace("one").iterdir())


def test_numbers_differ_from_those_of_the_study_and_of_what_was_sent(world: World) -> None:
    taken = world.bench.work.numbers_of_study(world.series.pk)
    number = free_number(world.bench.work, world.outbox, world.series.pk)
    assert number not in taken
    world.send("k1", result(number=number))
    assert free_number(world.bench.work, world.outbox, world.series.pk) == number + 1


def test_a_peer_has_a_route_once_something_waits_for_it(world: World) -> None:
    routes = ResultRoutes(world.outbox, world.store, world.sender)
    assert (routes.wanted(), routes.is_new()) == ({}, False)
    world.send()
    assert routes.is_new()
    assert list(routes.wanted()) == [PEER]
    assert not routes.is_new()
    world.deliver()
    assert list(routes.wanted()) == [PEER]
    assert peer_of("an-entry-of-deliver") is None
