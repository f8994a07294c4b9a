"""Whatever was answered 0x0000 is there after a power cut, wherever it strikes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.instances import Instance, encoded, series
from tests.recording_disk import power_cuts
from tests.recording_disk.restart import missing
from tests.recording_disk.scene import Scene, scene

LARGE = 288  # voxels a side: more than goes into a record of the smallest journal


def check(played: Scene, tmp_path: Path) -> int:
    """Nothing is missing after any power cut; returns how many there were."""
    count = 0
    for cut in power_cuts(played.disk.operations):
        answered = {what: played.sent[what] for what in cut.said}
        if not answered:
            continue
        count += 1
        folder = cut.write(tmp_path / f"cut-{count}")
        root = folder / played.root.relative_to(tmp_path / "disk")
        lost = missing(root, answered)
        assert not lost, f"{lost} lost after {cut.after}, with {cut.survived}"
    return count


def test_what_was_answered_survives_every_power_cut(tmp_path: Path) -> None:
    one, two, three, late = encoded(series(4, 8))
    (large,) = encoded(series(1, LARGE, seed=2))
    with scene(tmp_path / "disk") as played:
        played.store(one, two, together=True)
        played.store(three)
        played.store(large)
        played.store_unchecked(late, late.data_set[:-5])
        played.file()
        played.store(Instance(one.uid, one.data_set[:-2] + b"\1\2"), late)
        played.file()
    assert check(played, tmp_path) > 100
