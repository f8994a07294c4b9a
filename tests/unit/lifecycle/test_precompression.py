"""Which slices are compressed while their series is received, and what happens to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node.completion.decision import Timing
from node.completion.facts import InstanceFacts
from node.core.records import StoredInstance
from node.lifecycle.assembly.precompression import (
    FASTEST,
    LARGEST_BATCH,
    MOST_SERIES,
    SMALLEST_BATCH,
)
from tests.simulator.bench import Bench
from tests.unit.completion.builders import SAGITTAL, image

SIZE = 100  # bytes of an instance, says the bench


@dataclass
class Compressor:
    """Writes names instead of slices."""

    running: bool = False
    fails: bool = False
    broken: bool = False
    batches: list[list[str]] = field(default_factory=list)
    files: set[Path] = field(default_factory=set)
    futures: list[Future[int]] = field(default_factory=list)
    closed: bool = False

    def submit(self, function: Callable[..., int], *args: object) -> Future[int]:
        instances, _, file, _ = args
        assert isinstance(instances, list)
        assert isinstance(file, Path)
        assert all(isinstance(one, StoredInstance) for one in instances)
        if self.broken:
            self.broken = False
            raise RuntimeError("can't start new thread")
        self.batches.append([one.sop_instance_uid for one in instances])
        self.files.add(file)
        file.write_text("slices")
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
def compressor() -> Compressor:
    return Compressor()


@pytest.fixture
def bench(tmp_path: Path, compressor: Compressor) -> Iterator[Bench]:
    made = Bench(tmp_path, idle_process=compressor, timing=Timing(quiet=30.0))
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


def test_slices_are_compressed_as_they_come_and_each_once(
    bench: Bench, compressor: Compressor
) -> None:
    association = bench.open()
    arrive(bench, association, 70)
    assert bench.state() == "receiving"
    done = [uid for batch in compressor.batches for uid in batch]
    assert done == [one.uid for one in slices(len(done))]
    assert 70 - SMALLEST_BATCH <= len(done) <= 70
    assert all(len(batch) >= SMALLEST_BATCH for batch in compressor.batches)
    assert len(compressor.files) == 1


def test_the_assembly_is_given_what_was_compressed_and_then_it_is_gone(
    bench: Bench, compressor: Compressor
) -> None:
    association = bench.open()
    arrive(bench, association, 40)
    (file,) = compressor.files
    assert file.exists()
    bench.end(association)
    bench.run(31.0)
    assert bench.state() == "ready"
    assert [job.slice_cache for job in bench.executor.jobs] == [file]
    assert not file.exists()
    assert not [path for path in bench.files() if "precompressed" in path]


def test_a_growing_series_is_looked_at_often_and_one_that_rests_is_not(bench: Bench) -> None:
    association = bench.open()
    arrive(bench, association, 3, every=0.3)
    assert bench.watcher.step() <= 0.1
    bench.run(2.0)
    assert bench.watcher.step() > 0.1


def test_a_fast_sender_is_left_alone(bench: Bench, compressor: Compressor) -> None:
    association = bench.open()
    bench.send(association, slices(SMALLEST_BATCH * 2))
    bench.now += 0.9 * SMALLEST_BATCH * 2 * SIZE / FASTEST
    bench.watcher.step()
    assert not compressor.batches
    bench.run(1.0)  # nothing more comes: a second later that is no pace any more
    bench.send(association, slices(1, SMALLEST_BATCH * 2))
    bench.run(0.2)
    assert [len(batch) for batch in compressor.batches] == [SMALLEST_BATCH * 2 + 1]


def test_one_batch_at_a_time_and_never_a_long_one(bench: Bench, compressor: Compressor) -> None:
    compressor.running = True
    association = bench.open()
    bench.send(association, slices(LARGEST_BATCH + 50))
    bench.run(3.0)
    assert [len(batch) for batch in compressor.batches] == [LARGEST_BATCH]
    compressor.futures[0].set_result(LARGEST_BATCH)
    bench.send(association, slices(1, LARGEST_BATCH + 50))
    bench.run(1.0)
    assert [len(batch) for batch in compressor.batches] == [LARGEST_BATCH, 51]


def test_what_is_still_being_written_goes_when_it_is_written(
    bench: Bench, compressor: Compressor
) -> None:
    compressor.running = True
    association = bench.open()
    arrive(bench, association, 40)
    (file,) = compressor.files
    bench.end(association)
    bench.run(31.0)
    assert bench.state() == "ready"
    assert file.exists()
    compressor.futures[0].set_result(1)
    assert not file.exists()


def test_nothing_follows_what_failed(bench: Bench, compressor: Compressor) -> None:
    compressor.fails = True
    association = bench.open()
    arrive(bench, association, 100)
    assert len(compressor.batches) == 1
    bench.end(association)
    bench.run(31.0)
    assert bench.state() == "ready"


def test_a_process_that_cannot_be_started_changes_nothing_else(
    bench: Bench, compressor: Compressor
) -> None:
    compressor.broken = True
    association = bench.open()
    arrive(bench, association, 100)
    assert not compressor.broken
    assert not compressor.batches
    assert bench.state() == "receiving"
    bench.end(association)
    bench.run(31.0)
    assert (bench.state(), bench.series().revision) == ("ready", 1)


def test_of_many_series_some_are_compressed_in_advance_and_nothing_is_done_twice(
    bench: Bench, compressor: Compressor
) -> None:
    association = bench.open()
    for number in range(40):
        for series in range(MOST_SERIES + 8):
            one = slices(1, number)[0]
            bench.send(association, [one._replace(uid=f"{one.uid}.{series}")], f"1.5.{series}")
        bench.run(0.1)
    done = [uid for batch in compressor.batches for uid in batch]
    assert len(done) == len(set(done))
    assert len(compressor.files) == MOST_SERIES


def test_what_rests_for_long_is_thrown_away(bench: Bench, compressor: Compressor) -> None:
    bench.timing = Timing(quiet=5000.0, open_quiet=5000.0)
    association = bench.open()
    arrive(bench, association, 40)
    (file,) = compressor.files
    bench.run(550.0)
    assert file.exists()
    bench.run(100.0)
    assert not file.exists()
    assert bench.state() == "receiving"


def test_what_is_given_up_before_its_turn_is_never_done(
    bench: Bench, compressor: Compressor
) -> None:
    compressor.running = True
    for number in range(5):
        association = bench.open()
        for each in range(40):
            one = slices(1, each)[0]
            bench.send(association, [one._replace(uid=f"{one.uid}.{number}")], f"1.5.{number}")
            bench.run(0.05)
        bench.end(association)
        bench.run(31.0)
    assert len(compressor.batches) == 1  # it is still being done; nothing waits behind it


def test_a_full_disk_is_left_alone(tmp_path: Path, compressor: Compressor) -> None:
    bench = Bench(
        tmp_path, idle_process=compressor, timing=Timing(quiet=30.0), minimum_free=1 << 60
    )
    arrive(bench, bench.open(), 60)
    assert not compressor.batches
    bench.index.close()


@pytest.mark.parametrize("kind", ["small", "sagittal"])
def test_slices_that_are_no_layers_are_left_alone(
    bench: Bench, compressor: Compressor, kind: str
) -> None:
    association = bench.open()
    for number in range(60):
        one = slices(1, number, orientation=SAGITTAL if kind == "sagittal" else ())
        if kind == "small":
            one = [one[0]._replace(frames=(one[0].frames[0]._replace(rows=64, columns=64),))]
        bench.send(association, one)
        bench.run(0.1)
    assert not compressor.batches


def test_a_series_that_is_held_leaves_nothing(bench: Bench, compressor: Compressor) -> None:
    association = bench.open()
    arrive(bench, association, 60)
    bench.send(association, slices(20, 70))  # ten are missing
    bench.end(association)
    bench.run(300.0)
    assert bench.state() in ("held", "failed")
    assert not any(file.exists() for file in compressor.files)


def test_a_stopping_node_ends_it(bench: Bench, compressor: Compressor) -> None:
    bench.watcher.stop(0.1)
    assert compressor.closed
