"""Whatever was answered 0x0000 is there after a power cut, wherever it strikes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.instances import Instance, encoded, series
from tests.recording_disk.scene import scene

LARGE = 288  # voxels a side: more than goes into a record of the smallest journal


def test_what_was_answered_survives_every_power_cut(memory: Path) -> None:
    one, two, three, late = encoded(series(4, 8))
    (large,) = encoded(series(1, LARGE, seed=2))
    with scene(memory / "disk") as played:
        played.store(one, two, together=True)
        played.store(three)
        played.store(large)
        played.store_unchecked(late, late.data_set[:-5])
        played.file()
        played.store(Instance(one.uid, one.data_set[:-2] + b"\1\2"), late)
        played.end()
    assert played.nothing_is_lost(memory / "cut") > 100


@pytest.mark.parametrize("fails", ["", "index.db-wal"])
def test_a_sync_that_failed_lets_the_journal_forget_nothing(memory: Path, fails: str) -> None:
    one, two = encoded(series(2, 8))
    with scene(memory / "disk") as played:
        played.store(one)
        played.disk.fail_once(fails)
        played.file()
        played.store(two)
        played.end()
    assert played.nothing_is_lost(memory / "cut") > 10


def test_a_sync_that_fails_at_the_end_is_not_forgotten_over_one_that_succeeds(
    memory: Path,
) -> None:
    (one,) = encoded(series(1, 8))
    with scene(memory / "disk") as played:
        played.store(one)
        played.disk.fail_once("")
        played.end()
    assert played.nothing_is_lost(memory / "cut") > 10


def test_a_log_that_could_not_be_synced_is_not_relied_on(memory: Path) -> None:
    one, two = encoded(series(2, 8))
    with scene(memory / "disk") as played:
        played.store(one)
        played.file()
        with played.somebody_reads():  # so that what comes stays in the log
            played.store(two)
            played.disk.fail_once("index.db-wal")
            played.file()
        played.file()
        played.disk.said("ingested")
    assert played.nothing_is_lost(memory / "cut") > 10


@pytest.mark.parametrize(("relaxed", "ingested"), [(False, True), (True, False)])
def test_what_a_start_brings_back_is_safe_before_the_journal_forgets_it(
    memory: Path, relaxed: bool, ingested: bool
) -> None:
    (one,) = encoded(series(1, 8))
    (large,) = encoded(series(1, LARGE, seed=2))
    with scene(memory / "disk") as played:
        played.store(one)
        played.store(large)
        if ingested:
            played.file_without_sync()
        played.recover(relaxed=relaxed)
    assert played.nothing_is_lost(memory / "cut") > 10


def test_what_is_not_moved_into_the_index_is_synced_in_its_log(memory: Path) -> None:
    one, two = encoded(series(2, 8))
    with scene(memory / "disk") as played:
        played.store(one)
        played.file()
        with played.somebody_reads():  # so that SQLite cannot move what comes from here on
            played.store(two)
            played.file()
            played.disk.said("ingested")
    assert played.nothing_is_lost(memory / "cut") > 10
