"""Which slices are compressed while their series arrives, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node.completion.decision import Timing
from node.completion.facts import InstanceFacts
from node.core.records import StoredInstance
from node.lifecycle.assembly.precompression import FASTEST, LEAST, MOST, MOST_SERIES
from tests.simulator.bench import Bench
from tests.unit.completion.builders import SAGITTAL, image

SIZE = 100  # bytes of an instance, says the bench


@dataclass
class Pressing:
    """Writes names instead of slices."""

    running: bool = False
    fails: bool = False
    broken: bool = False
    batches: list[list[str]] = field(default_factory=list)
    stocks: set[Path] = field(default_factory=set)
    futures: list[Future[int]] = field(default_factory=list)
    closed: bool = False

    def submit(self, function: Callable[..., int], *args: object) -> Future[int]:
        instances, _, stock, _ = args
        assert isinstance(instances, list)
        assert isinstance(stock, Path)
        assert all(isinstance(one, StoredInstance) for one in instances)
        if self.broken:
            self.broken = False
            raise RuntimeError("can't start new thread")
        self.batches.append([one.sop_instance_uid for one in instances])
        self.stocks.add(stock)
        stock.write_text("slices")
        future: Future[int] = Future()
        self.futures.append(future)
        if self.fails:
            future.set_exception(OSError("no space left on device"))
        elif self.running:
            future.set_running_or_notify_cancel()
        else:
            future.set_result(len(instances))
        return future

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def pressing() -> Pressing:
    return Pressing()


@pytest.fixture
def bench(tmp_path: Path, pressing: Pressing) -> Iterator[Bench]:
    made = Bench(tmp_path, apart=pressing, timing=Timing(quiet=30.0))
    yield made
    made.index.close()


def slices(
    count: int, first: int = 0, *, orientation: tuple[float, ...] = ()
) -> list[InstanceFacts]:
    found = []
    for number in range(first, first + count):
        one = image(number + 1, 2.5 * number, uid=f"1.9.{number:05d}")
        frame = one.frames[0]._replace(rows=512, columns=512)
        if orientation:
            place = (2.5 * number, -100.0, -100.0)
            frame = frame._replace(orientation=orientation, position=place)
        found.append(one._replace(frames=(frame,)))
    return found


def arrive(bench: Bench, association: int, count: int, first: int = 0, every: float = 0.1) -> None:
    for number in range(first, first + count):
        bench.send(association, slices(1, number))
        bench.run(every)


def test_slices_are_compressed_as_they_come_and_each_once(bench: Bench, pressing: Pressing) -> None:
    association = bench.open()
    arrive(bench, association, 70)
    assert bench.state() == "receiving"
    done = [uid for batch in pressing.batches for uid in batch]
    assert done == [one.uid for one in slices(len(done))]
    assert 70 - LEAST <= len(done) <= 70
    assert all(len(batch) >= LEAST for batch in pressing.batches)
    assert len(pressing.stocks) == 1


def test_the_assembly_is_given_what_was_compressed_and_then_it_is_gone(
    bench: Bench, pressing: Pressing
) -> None:
    association = bench.open()
    arrive(bench, association, 40)
    (stock,) = pressing.stocks
    assert stock.exists()
    bench.end(association)
    bench.run(31.0)
    assert bench.state() == "ready"
    assert [job.stock for job in bench.executor.jobs] == [stock]
    assert not stock.exists()
    assert not [path for path in bench.files() if "head" in path]


def test_a_growing_series_is_looked_at_often_and_one_that_rests_is_not(bench: Bench) -> None:
    association = bench.open()
    arrive(bench, association, 3, every=0.3)
    assert bench.watcher.step() <= 0.1
    bench.run(2.0)
    assert bench.watcher.step() > 0.1


def test_whoever_sends_fast_is_left_alone(bench: Bench, pressing: Pressing) -> None:
    association = bench.open()
    bench.send(association, slices(LEAST * 2))
    bench.now += 0.9 * LEAST * 2 * SIZE / FASTEST
    bench.watcher.step()
    assert not pressing.batches
    bench.run(1.0)  # nothing more comes: a second later that is no pace any more
    bench.send(association, slices(1, LEAST * 2))
    bench.run(0.2)
    assert [len(batch) for batch in pressing.batches] == [LEAST * 2 + 1]


def test_one_batch_at_a_time_and_never_a_long_one(bench: Bench, pressing: Pressing) -> None:
    pressing.running = True
    association = bench.open()
    bench.send(association, slices(MOST + 50))
    bench.run(3.0)
    assert [len(batch) for batch in pressing.batches] == [MOST]
    pressing.futures[0].set_result(MOST)
    bench.send(association, slices(1, MOST + 50))
    bench.run(1.0)
    assert [len(batch) for batch in pressing.batches] == [MOST, 51]


def test_what_is_still_being_written_goes_when_it_is_written(
    bench: Bench, pressing: Pressing
) -> None:
    pressing.running = True
    association = bench.open()
    arrive(bench, association, 40)
    (stock,) = pressing.stocks
    bench.end(association)
    bench.run(31.0)
    assert bench.state() == "ready"
    assert stock.exists()
    pressing.futures[0].set_result(1)
    assert not stock.exists()


def test_nothing_follows_what_failed(bench: Bench, pressing: Pressing) -> None:
    pressing.fails = True
    association = bench.open()
    arrive(bench, association, 100)
    assert len(pressing.batches) == 1
    bench.end(association)
    bench.run(31.0)
    assert bench.state() == "ready"


def test_a_process_that_cannot_be_started_changes_nothing_else(
    bench: Bench, pressing: Pressing
) -> None:
    pressing.broken = True
    association = bench.open()
    arrive(bench, association, 100)
    assert not pressing.broken
    assert not pressing.batches
    assert bench.state() == "receiving"
    bench.end(association)
    bench.run(31.0)
    assert (bench.state(), bench.series().revision) == ("ready", 1)


def test_of_many_series_some_have_a_head_start_and_nothing_is_done_twice(
    bench: Bench, pressing: Pressing
) -> None:
    association = bench.open()
    for number in range(40):
        for series in range(MOST_SERIES + 8):
            one = slices(1, number)[0]
            bench.send(association, [one._replace(uid=f"{one.uid}.{series}")], f"1.5.{series}")
        bench.run(0.1)
    done = [uid for batch in pressing.batches for uid in batch]
    assert len(done) == len(set(done))
    assert len(pressing.stocks) == MOST_SERIES


def test_what_rests_for_long_is_thrown_away(bench: Bench, pressing: Pressing) -> None:
    bench.timing = Timing(quiet=5000.0, open_quiet=5000.0)
    association = bench.open()
    arrive(bench, association, 40)
    (stock,) = pressing.stocks
    bench.run(550.0)
    assert stock.exists()
    bench.run(100.0)
    assert not stock.exists()
    assert bench.state() == "receiving"


def test_what_is_given_up_before_its_turn_is_never_done(bench: Bench, pressing: Pressing) -> None:
    pressing.running = True
    for number in range(5):
        association = bench.open()
        for each in range(40):
            one = slices(1, each)[0]
            bench.send(association, [one._replace(uid=f"{one.uid}.{number}")], f"1.5.{number}")
            bench.run(0.05)
        bench.end(association)
        bench.run(31.0)
    assert len(pressing.batches) == 1  # it is still being done; nothing waits behind it


def test_a_full_disk_is_left_alone(tmp_path: Path, pressing: Pressing) -> None:
    bench = Bench(tmp_path, apart=pressing, timing=Timing(quiet=30.0), minimum_free=1 << 60)
    arrive(bench, bench.open(), 60)
    assert not pressing.batches
    bench.index.close()


@pytest.mark.parametrize("kind", ["small", "sagittal"])
def test_slices_that_are_no_layers_are_left_alone(
    bench: Bench, pressing: Pressing, kind: str
) -> None:
    association = bench.open()
    for number in range(60):
        one = slices(1, number, orientation=SAGITTAL if kind == "sagittal" else ())
        if kind == "small":
            one = [one[0]._replace(frames=(one[0].frames[0]._replace(rows=64, columns=64),))]
        bench.send(association, one)
        bench.run(0.1)
    assert not pressing.batches


def test_a_series_that_is_held_leaves_nothing(bench: Bench, pressing: Pressing) -> None:
    association = bench.open()
    arrive(bench, association, 60)
    bench.send(association, slices(20, 70))  # ten are missing
    bench.end(association)
    bench.run(300.0)
    assert bench.state() in ("held", "failed")
    assert not any(stock.exists() for stock in pressing.stocks)


def test_a_stopping_node_ends_it(bench: Bench, pressing: Pressing) -> None:
    bench.watcher.stop(0.1)
    assert pressing.closed
