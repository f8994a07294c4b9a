"""A backup that is made under load is whole, and a node that is restored from it goes on."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from node.cli.commands import build
from node.core.errors import ConfigError, NodeError
from node.storage.archive import Archive
from node.storage.backup.manifest import BackupError
from node.storage.backup.restore import Restore
from node.storage.index.engine import Index
from node.storage.ingest.retention import RetentionJob
from node.storage.root_lock import retention_paused
from tests.databases import migrated_postgresql
from tests.running import RunningNode, configured
from tests.small import small_ct

NOBODY = {"name": "hook", "webhook": {"url": "http://127.0.0.1:9/nobody"}}


def run(node: RunningNode, *arguments: str) -> None:
    build()([*arguments, "-c", str(node.config)], standalone_mode=False)


def uids(paths: list[Path]) -> set[str]:
    return {
        str(pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
        for path in paths
    }


def held(node: RunningNode) -> set[str]:
    return {one["sop_instance_uid"] for one in node.instances()}


class Sender:
    """Sends series after series until it is told to stop; knows what has been answered."""

    def __init__(self, node: RunningNode, folder: Path) -> None:
        self._node = node
        self._series = [small_ct(folder / str(n), 10, announced=n % 2 == 0) for n in range(12)]
        self.answered: set[str] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for paths in self._series:
            if self._stopping.is_set():
                break
            self._node.send(*paths)
            self.answered |= uids(paths)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()


def test_nothing_is_lost(tmp_path: Path) -> None:
    soon = {"quiet_seconds": 0.2, "open_quiet_seconds": 0.5}
    node = configured(tmp_path / "node", [NOBODY], completion=soon)
    backup = tmp_path / "backup"
    try:
        node.start()
        first, second = (small_ct(tmp_path / n, 3, announced=True) for n in ("first", "second"))
        node.send(*first, *second)
        node.settle(states=["ready"])
        uid = node.series()[0]["series_instance_uid"]
        node.rasnode("hold", uid)
        sender = Sender(node, tmp_path / "load")
        before: set[str] = set()
        for _ in range(2):  # the second one has most of it already
            before = set(sender.answered)
            made = json.loads(node.rasnode("backup", str(backup), "--json").stdout)
            assert made["problems"] == []
        assert made["there"] > 0
        sender.stop()
        assert len(before) < len(sender.answered) or len(before) == 120
        history = node.rasnode("ls", "--history", uid, "--json").stdout
    finally:
        node.kill()
    shutil.rmtree(node.root)

    again = configured(tmp_path / "again", [NOBODY], completion=soon)
    try:
        again.rasnode("restore", str(backup))
        assert held(again) >= before | uids(first) | uids(second)
        assert again.rasnode("ls", "--history", uid, "--json").stdout == history
        for one in again.instances():
            assert (again.root / "archive" / one["path"]).stat().st_size == one["size"]
        again.start()
        states = {one["series_instance_uid"]: one["state"] for one in again.settle()}
        assert states[uid] == "held"
        told = json.loads(again.rasnode("status", "--json").stdout)["deliveries"]["counts"]
        assert told["pending"] >= 2
        more = small_ct(tmp_path / "more", 2, announced=True)
        again.send(*more)
        assert held(again) >= uids(more)
    finally:
        again.kill()


def test_what_was_not_filed_when_the_node_died_is_in_it(tmp_path: Path) -> None:
    node = configured(tmp_path / "node", [])
    try:
        node.start()
        sent = small_ct(tmp_path / "ct", 5, announced=True)
        node.send(*sent)
    finally:
        node.kill()
    made = json.loads(node.rasnode("backup", str(tmp_path / "backup"), "--json").stdout)
    assert made["journal"]
    again = configured(tmp_path / "again", [])
    again.rasnode("restore", str(tmp_path / "backup"))
    for path in (*again.root.glob("index.db*"), again.root / "listed.json"):
        path.unlink()
    for shard in (again.root / "archive").glob("??"):
        shutil.rmtree(shard)  # as if nothing but the journal had had it
    more = small_ct(tmp_path / "more", 1, announced=True)
    run(again, "import", *map(str, more))
    assert held(again) == uids(sent) | uids(more)


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[RunningNode]:
    node = configured(tmp_path / "node", [])
    run(node, "import", str(small_ct(tmp_path / "ct", 3, announced=True)[0].parent))
    quarantined = node.root / "quarantine" / "20260101T000000-a.dcm"
    quarantined.write_bytes(b"odd")
    run(node, "backup", str(tmp_path / "backup"))
    yield node
    node.kill()


def test_what_is_damaged_in_the_backup_is_not_restored(
    stopped: RunningNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next((tmp_path / "backup" / "archive").rglob("*.dcm"))
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    again = configured(tmp_path / "again", [])
    with pytest.raises(NodeError, match="1 files could not be restored"):
        run(again, "restore", str(tmp_path / "backup"))
    assert path.name in capsys.readouterr().err
    assert len(list((again.root / "archive").rglob("*.dcm"))) == 2
    assert next((again.root / "quarantine").iterdir()).read_bytes() == b"odd"


def test_what_is_damaged_at_its_source_does_not_spoil_the_backup(
    stopped: RunningNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next((stopped.root / "archive").rglob("*.dcm"))
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:-1])
    for seconds in (0, 60):
        os.utime(path, (time.time() + seconds,) * 2)
        run(stopped, "backup", str(tmp_path / "backup"))  # it has it already, as it was received
    with pytest.raises(NodeError, match="could not be backed up as they were received"):
        run(stopped, "backup", str(tmp_path / "other"))
    assert path.name in capsys.readouterr().err


def test_what_took_the_name_of_a_lost_file_is_in_the_next_backup(
    stopped: RunningNode, tmp_path: Path
) -> None:
    path = next((stopped.root / "archive").rglob("*.dcm"))
    lost = pydicom.dcmread(path)
    path.unlink()
    other = tmp_path / "other.dcm"
    pixels = bytearray(lost.PixelData)
    pixels[0] ^= 1
    lost.PixelData = bytes(pixels)
    lost.save_as(other)
    run(stopped, "import", str(other))
    os.utime(path, (time.time() + 60,) * 2)
    with pytest.raises(NodeError, match="could not be backed up as they were received"):
        run(stopped, "backup", str(tmp_path / "backup"))  # the lost one is not there
    again = configured(tmp_path / "again", [])
    with pytest.raises(NodeError, match="1 files could not be restored"):
        run(again, "restore", str(tmp_path / "backup"))
    restored = again.root / path.relative_to(stopped.root)
    assert pydicom.dcmread(restored).PixelData == lost.PixelData


@pytest.mark.parametrize("harm", ["cut", "index", "list", "manifest"])
def test_a_backup_that_is_not_whole_is_none(
    stopped: RunningNode, tmp_path: Path, harm: str
) -> None:
    backup = tmp_path / "backup"
    patterns = {"index": "index-*.db", "list": "files-*.jsonl", "manifest": "backup.json"}
    if harm == "cut":
        (backup / "backup.json").unlink()
    else:
        path = next(backup.glob(patterns[harm]))
        path.write_bytes(path.read_bytes()[:-7])
    again = configured(tmp_path / "again", [])
    with pytest.raises(BackupError, match=r"no complete backup|cannot be used"):
        run(again, "restore", str(backup))
    run(stopped, "backup", str(backup))  # the next one makes it whole
    shutil.rmtree(again.root, ignore_errors=True)
    run(again, "restore", str(backup))
    assert len(again.instances()) == 3


def test_a_restore_that_was_cut_is_not_served(
    stopped: RunningNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CutError(Exception):
        """What ends the command in the middle."""

    def cut(*_: object) -> None:
        raise CutError

    again = configured(tmp_path / "again", [])
    with monkeypatch.context() as patch:
        patch.setattr(Restore, "_put_index", cut)
        with pytest.raises(CutError):
            run(again, "restore", str(tmp_path / "backup"))
    with pytest.raises(ConfigError, match="`rasnode restore` is under way or was not finished"):
        run(again, "status")
    with pytest.raises(ConfigError, match="not empty"):
        run(again, "restore", str(tmp_path / "backup"))


def test_a_root_with_anything_in_it_is_left_alone(stopped: RunningNode, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not empty"):
        run(stopped, "restore", str(tmp_path / "backup"))
    assert len(stopped.instances()) == 3


def test_another_roots_backup_is_left_alone(stopped: RunningNode, tmp_path: Path) -> None:
    other = configured(tmp_path / "other", [])
    run(other, "import", str(small_ct(tmp_path / "ct2", 1, announced=True)[0]))
    with pytest.raises(BackupError, match="another storage root"):
        run(other, "backup", str(tmp_path / "backup"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(BackupError, match="other files"):
        run(other, "backup", str(tmp_path / "full"))


def test_what_left_the_archive_leaves_the_backup(stopped: RunningNode, tmp_path: Path) -> None:
    extra = tmp_path / "backup" / "archive" / "00" / "1.2" / "1.3" / "1.4.dcm"
    extra.parent.mkdir(parents=True)
    extra.write_bytes(b"retired")
    run(stopped, "backup", str(tmp_path / "backup"))
    assert not extra.parent.parent.parent.exists()
    assert len(list((tmp_path / "backup" / "archive").rglob("*.dcm"))) == 3


def test_retention_waits_for_a_backup(stopped: RunningNode) -> None:
    archive, index = Archive(stopped.root), Index(f"sqlite:///{stopped.root / 'index.db'}")
    looked: list[float] = []

    def clock() -> float:
        looked.append(1.0)
        return 4e9

    retirement = RetentionJob(archive, index, days=1, max_size=None, clock=clock)
    index.close()
    with retention_paused(stopped.root):
        assert retirement.step() == 0
    assert retirement._next == 0.0  # it has not been at work
    assert retirement.step() == 0
    index.close()
    assert retirement._next > 0.0


def test_an_index_on_a_server(server: str, tmp_path: Path) -> None:
    with migrated_postgresql(server) as url, migrated_postgresql(server) as blank:
        node = RunningNode(tmp_path, {"database": {"url": url}})
        run(node, "import", str(small_ct(tmp_path / "ct", 3, announced=True)[0].parent))
        run(node, "backup", str(tmp_path / "backup"))
        (tmp_path / "again").mkdir()
        again = RunningNode(tmp_path / "again", {"database": {"url": blank}})
        run(again, "restore", str(tmp_path / "backup"))
        assert len(again.instances()) == 3
        run(again, "import", str(small_ct(tmp_path / "ct2", 1, announced=True)[0]))
        assert len(again.instances()) == 4
        (tmp_path / "third").mkdir()
        third = RunningNode(tmp_path / "third", {"database": {"url": url}})
        with pytest.raises(ConfigError, match="is not empty"):
            run(third, "restore", str(tmp_path / "backup"))
