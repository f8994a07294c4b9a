"""All files are compared with what they were: from where it was stopped, and no more than that."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from node.core.errors import Reason
from node.core.records import SeriesState
from node.core.statuses import SUCCESS
from node.lifecycle.verification.damage_reporter import DamageReporter, StorageAway
from node.lifecycle.verification.loop import VerificationLoop, _Stopped
from node.lifecycle.verification.verifier import Verifier
from node.storage.archive import Archive
from node.storage.index.engine import Index
from node.storage.index.series.damages import Damages
from node.storage.index.series.verification import Stage
from node.storage.index.series.work import Work
from node.storage.index.store import Store
from node.storage.receive.instance_receiver import incoming_from_file
from tests.databases import migrated_sqlite
from tests.small import small_ct
from tests.storing import DirectReception

SLICES = 6


class World:
    """An archive of one series."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.archive = Archive(root)
        self.archive.prepare()
        (root / "nifti").mkdir()
        self.index = Index(migrated_sqlite(root / "index.db"))
        self.read = 0
        reception = DirectReception(self.archive, Store(self.index), lambda: 1.0)
        self.paths = small_ct(root / "sent", SLICES, announced=True)
        for path in self.paths:
            assert reception.store(incoming_from_file(path.read_bytes())).status == SUCCESS
        self.files = sorted(self.archive.files())
        self.damages = Damages(self.index)

    def pace(self, size: int) -> None:
        self.read += size

    def verifier(self) -> Verifier:
        return Verifier(self.index, self.root, name="test", clock=lambda: 9.0, pace=self.pace)

    def damaged(self) -> dict[str, Reason]:
        return {one.path: one.reason for one in self.damages.all()}

    def move(self, *states: SeriesState) -> None:
        work = Work(self.index)
        for state in states:
            (series,) = work.in_state()
            assert work.move(series, state, now=2.0, actor="t")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.index.close()


def test_it_goes_on_where_it_was_stopped(world: World) -> None:
    for file in world.files:
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    steps = world.verifier().remaining()
    for _ in range(4):
        next(steps)
    steps.close()
    assert len(world.damaged()) == 4
    progress = world.verifier().progress()
    assert (progress.files, progress.is_under_way, progress.ended_at) == (4, True, None)
    world.read = 0
    assert sum(one.files for one in world.verifier().remaining()) == SLICES - 4
    assert world.read < 3 * world.files[0].stat().st_size
    assert len(world.damaged()) == SLICES
    progress = world.verifier().progress()
    assert (progress.is_under_way, progress.ended_at, progress.stage) == (
        False, 9.0, Stage.INSTANCES,
    )  # fmt: skip
    assert sum(one.files for one in world.verifier().remaining()) == SLICES


def test_it_can_be_begun_again(world: World) -> None:
    steps = world.verifier().remaining()
    next(steps)
    steps.close()
    world.verifier().restart()
    assert sum(one.files for one in world.verifier().remaining()) == SLICES


def test_an_archive_that_is_not_there_loses_nothing(world: World) -> None:
    """It is not mounted: no instance is lost by that."""
    (world.root / "archive").rename(world.root / "elsewhere")
    with pytest.raises(StorageAway, match="is it mounted"):
        list(world.verifier().remaining())
    assert world.damaged() == {}
    (world.root / "elsewhere").rename(world.root / "archive")
    assert sum(one.files for one in world.verifier().remaining()) == SLICES


def test_a_file_that_is_back_takes_its_series_from_failed(world: World) -> None:
    world.move(SeriesState.SETTLED, SeriesState.ASSEMBLING, SeriesState.FAILED)
    content = world.files[0].read_bytes()
    world.files[0].unlink()
    list(world.verifier().remaining())
    assert list(world.damaged().values()) == [Reason.INSTANCE_MISSING]
    list(world.verifier().recheck_damaged())
    assert world.damaged()
    world.files[0].write_bytes(content)
    list(world.verifier().recheck_damaged())
    assert world.damaged() == {}
    (series,) = Work(world.index).in_state()
    assert series.state is SeriesState.RECEIVING
    assert series.due == 9.0


def test_the_node_finds_soon_that_a_file_is_back(world: World) -> None:
    now = 1000.0
    upkeep = VerificationLoop(world.index, world.root, days=30, clock=lambda: now)
    content = world.files[0].read_bytes()
    world.files[0].unlink()
    upkeep._since_start -= 60
    upkeep._step()
    assert world.damaged()
    world.files[0].write_bytes(content)
    assert upkeep._step() == 60.0
    assert world.damaged()
    upkeep._checked_at -= 600
    assert upkeep._step() == 0.0
    assert world.damaged() == {}
    assert upkeep._verifier.progress().ended_at == now


def test_who_meets_damage_looks_again_before_it_is_noted(world: World) -> None:
    reporter = DamageReporter(world.index, world.root, lambda: 9.0)
    verifier = world.verifier()
    uid = str(dcmread(world.paths[0]).SOPInstanceUID)
    (one,) = [one for one in verifier._inventory.sample(SLICES) if one.sop_instance_uid == uid]
    reporter.check(one)
    assert world.damaged() == {}
    file = world.archive.path(one.path)
    file.write_bytes(file.read_bytes()[:-2])
    reporter.check(one)
    assert list(world.damaged().values()) == [Reason.INSTANCE_DAMAGED]


def test_the_node_reads_slowly_and_stops_at_once(world: World) -> None:
    upkeep = VerificationLoop(world.index, world.root, days=30, clock=time.time)
    began = time.monotonic()
    upkeep._pace(1 << 20)
    assert time.monotonic() - began > 0.2  # 4 MiB a second
    upkeep._loop.ask_to_stop()
    with pytest.raises(_Stopped):
        upkeep._pace(1 << 40)
    assert time.monotonic() - began < 5


def test_each_file_counts_for_more_than_its_bytes(world: World) -> None:
    upkeep = VerificationLoop(world.index, world.root, days=30, clock=time.time)
    upkeep._since_start -= 60
    began = time.monotonic()
    upkeep._step()
    assert upkeep._verifier.progress().ended_at is not None
    assert time.monotonic() - began > SLICES / 16  # 256 KiB a file, 4 MiB a second


def finish_round(upkeep: VerificationLoop) -> None:
    """Step until the round that is due has ended: a step ends after some time, too."""
    assert upkeep._step() == 0.0
    while upkeep._round is not None:
        assert upkeep._step() == 0.0


def test_the_node_waits_after_its_start_and_between_rounds(world: World) -> None:
    now = 1000.0
    upkeep = VerificationLoop(world.index, world.root, days=30, clock=lambda: now)
    assert 50 < upkeep._step() <= 60
    upkeep._since_start -= 60
    finish_round(upkeep)
    ended = upkeep._verifier.progress().ended_at
    assert ended == now
    assert upkeep._step() == 60.0
    now += 29 * 86400
    assert upkeep._step() == 60.0
    now += 2 * 86400
    finish_round(upkeep)
    assert upkeep._verifier.progress().ended_at == now
    now -= 20 * 86400  # the clock was set back: that does not put it off for longer
    assert upkeep._wait() <= 30 * 86400
