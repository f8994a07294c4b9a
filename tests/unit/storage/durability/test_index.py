"""The index's log has its name after a power cut, wherever the database lies."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from node.storage.index.store import Store
from tests.recording_disk import Recorder, power_cuts
from tests.recording_disk.restart import index_of


def test_a_log_that_was_synced_is_found_by_its_name(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = memory / "disk"
    folder.mkdir()
    made = index_of(folder)
    made.migrate()
    made.close()
    assert not (folder / "index.db-wal").exists()
    disk = Recorder(folder, monkeypatch)
    index = index_of(folder, relaxed=True)
    Store(index).open_association("A", "B", "127.0.0.1", 1.0, "process")
    index.sync()
    disk.said("synced")
    disk.stop()
    index.close()
    cuts = [cut for cut in power_cuts(disk.operations) if cut.said]
    assert cuts
    for cut in cuts:
        assert (cut.write(memory / "cut") / "index.db-wal").exists(), cut.survived
        shutil.rmtree(memory / "cut")
