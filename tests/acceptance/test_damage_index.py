"""Damage of journal and index: nothing wrong is served or made, it is named at once, and heals.

Each kind of damage: flipped, truncated, deleted, replaced; while the node is stopped and while it
runs. What a damaged journal costs record by record is in `tests.unit.storage.test_journal_damage`.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from node.cli.commands import build
from node.storage import index_completeness
from node.storage.index.database_errors import IndexDamaged
from node.storage.index.engine import Index
from node.storage.index_completeness import IndexIncomplete
from node.storage.journal import segment
from node.storage.journal.damage import FOLDER
from tests.running import RunningNode, eventually, free_port
from tests.small import small_ct


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[RunningNode]:
    """A node with a page, not started."""
    made = RunningNode(tmp_path, {"http": {"port": free_port()}})
    try:
        yield made
    finally:
        made.kill()


def faults(node: RunningNode) -> dict[str, str]:
    """What `/health` names."""
    try:
        answer = urllib.request.urlopen(f"http://127.0.0.1:{node._ports[1]}/health", timeout=12)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        said = json.loads(answer.read())
    assert said["healthy"] == (answer.status == 200)
    found: dict[str, str] = said["faults"]
    return found


def named(node: RunningNode, *words: str) -> bool:
    said = " ".join(faults(node).values())
    return all(word in said for word in words)


def without_index(root: Path) -> None:
    for path in root.glob("index.db*"):
        path.unlink()


def as_after_a_power_cut(node: RunningNode) -> None:
    """Nothing but the journal has reached the disk."""
    without_index(node.root)
    (node.root / index_completeness.FILE).unlink(missing_ok=True)
    for shard in (node.root / "archive").glob("??"):
        shutil.rmtree(shard)


def current_segment(node: RunningNode) -> Path:
    def generation(path: Path) -> int:
        head = segment.read_segment_header(path.read_bytes()[: segment.HEADER])
        return head.generation if head else 0

    return max((node.root / "journal").glob("00-*.seg"), key=generation)


def test_journal(watched: RunningNode, tmp_path: Path) -> None:
    node = watched.start()
    sent = small_ct(tmp_path / "ct", 15, announced=True)
    node.send(*sent)
    node.kill()
    as_after_a_power_cut(node)
    path = current_segment(node)
    content = bytearray(path.read_bytes())
    content[content.index(bytes([7, 0]) * 500) + 600] ^= 4  # a voxel of the seventh
    path.write_bytes(content)

    node.start()
    assert len(node.instances()) == 14
    log = node.log.read_text()
    assert "the journal is damaged" in log
    assert "Traceback" not in log
    eventually(lambda: named(node, "damaged in the journal", "1 record"), 10, "it is named")
    said = node.rasnode("doctor", "--json", "--only", "storage", check=False)
    assert said.returncode == 1
    assert any("damaged in the journal" in one["found"] for one in json.loads(said.stdout))
    node.send(*sent)
    assert [one["state"] for one in node.settle()] == ["ready"]
    assert len(node.instances()) == 15
    shutil.rmtree(node.root / "journal" / FOLDER)
    eventually(lambda: not faults(node), 10, "it was seen")

    current_segment(node).unlink()  # while the node runs: nothing is written to it any more
    node.send(*small_ct(tmp_path / "more", 5, announced=True))
    assert "removed, replaced or cut" in node.log.read_text()
    assert {one["state"] for one in node.settle()} == {"ready"}
    assert len(node.instances()) == 20


def test_index_while_the_node_runs(watched: RunningNode, tmp_path: Path) -> None:
    node = watched.start()
    node.send(*small_ct(tmp_path / "ct", 4, announced=True))
    node.settle()
    without_index(node.root)
    eventually(lambda: named(node, "reindex", "replaced", "cannot be ingested"), 10, "it is named")
    with pytest.raises(subprocess.CalledProcessError):
        node.send(*small_ct(tmp_path / "more", 2, announced=True))
    assert node.terminate() == 0

    refused = node.rasnode("serve", check=False)
    assert refused.returncode == 2
    assert "type `rasnode reindex`" in refused.stderr
    node.rasnode("reindex")
    node.start()
    node.settle(states=["ready"])
    assert len(node.instances()) == 4

    path = node.root / "index.db"
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))
    eventually(lambda: named(node, "reindex", "overwritten"), 10, "it is named")
    node.terminate()
    assert "Traceback" not in node.log.read_text()
    node.rasnode("reindex")
    assert len(node.instances()) == 4


@pytest.fixture
def stopped(tmp_path: Path) -> RunningNode:
    """A node that has taken two instances in, one after the other, and does not run."""
    node = RunningNode(tmp_path)
    for number, path in enumerate(small_ct(tmp_path / "ct", 2, announced=False)):
        run(node, "import", str(path))
        shutil.copyfile(node.root / "index.db", tmp_path / f"old-{number}.db")
    return node


def run(node: RunningNode, *arguments: str) -> None:
    build()([*arguments, "-c", str(node.config)], standalone_mode=False)


def deleted(index: Path) -> None:
    index.unlink()


def emptied(index: Path) -> None:
    index.write_bytes(b"")


def without_tables(index: Path) -> None:
    index.unlink()
    sqlite3.connect(index).close()


def without_rows(index: Path) -> None:
    with closing(sqlite3.connect(index)) as connection:
        connection.execute("DELETE FROM instance_header")
        connection.execute("DELETE FROM instance")
        connection.commit()


def an_old_copy(index: Path) -> None:
    shutil.copyfile(index.parents[1] / "old-0.db", index)


def overwritten(index: Path) -> None:
    index.write_bytes(os.urandom(index.stat().st_size))


def truncated(index: Path) -> None:
    os.truncate(index, 9000)


def flipped(index: Path) -> None:
    content = bytearray(index.read_bytes())
    content[3] ^= 1
    index.write_bytes(content)


LOST = (deleted, emptied, without_tables, without_rows, an_old_copy)
BROKEN = (overwritten, truncated, flipped)


@pytest.mark.parametrize("harm", [*LOST, *BROKEN])
def test_index_of_a_stopped_node(stopped: RunningNode, harm: Callable[[Path], None]) -> None:
    harm(stopped.root / "index.db")
    kind = IndexIncomplete if harm in LOST else IndexDamaged
    for command in (["status"], ["ls"], ["import", str(stopped.config)], ["retry", "1"]):
        with pytest.raises(kind, match="rasnode reindex"):
            run(stopped, *command)
    run(stopped, "reindex")
    assert len(stopped.instances()) == 2
    stopped._said("status")


def test_a_broken_index_is_a_sentence_and_no_traceback(stopped: RunningNode) -> None:
    overwritten(stopped.root / "index.db")
    for command, code in ((["serve"], 1), (["status"], 1), (["doctor", "--only", "database"], 1)):
        said = stopped.rasnode(*command, check=False)
        assert said.returncode == code
        assert "Traceback" not in said.stderr
        assert "reindex" in said.stderr + said.stdout


def test_what_an_old_copy_lacks_is_added(stopped: RunningNode) -> None:
    an_old_copy(stopped.root / "index.db")
    with pytest.raises(IndexIncomplete, match="an older copy"):
        run(stopped, "status")
    run(stopped, "reindex", "--add")
    assert len(stopped.instances()) == 2


def test_a_rebuild_that_was_cut_is_not_taken_for_the_whole(
    stopped: RunningNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CutError(Exception):
        """What ends the command in the middle."""

    def cut(*_: object) -> None:
        raise CutError

    with monkeypatch.context() as patch:
        patch.setattr("node.cli.archive.reindex.rebuild", cut)
        with pytest.raises(CutError):
            run(stopped, "reindex")
    with pytest.raises(IndexIncomplete, match="was not finished"):
        run(stopped, "status")
    run(stopped, "reindex")
    assert len(stopped.instances()) == 2


def test_an_archive_without_anything_else_is_not_served_as_if_it_were_empty(
    stopped: RunningNode,
) -> None:
    without_index(stopped.root)
    for name in (index_completeness.FILE, "identity"):
        (stopped.root / name).unlink()
    with pytest.raises(IndexIncomplete):
        run(stopped, "status")


def test_an_emptied_database_server(stopped: RunningNode, server: str, tmp_path: Path) -> None:
    index = Index(server)
    index.recreate()
    try:
        with pytest.raises(IndexIncomplete, match="names another one"):
            index_completeness.check(index, stopped.root)
        with index.writing() as connection:
            connection.exec_driver_sql("DROP TABLE instance CASCADE")
        with pytest.raises(IndexDamaged), index.reading() as connection:
            connection.exec_driver_sql("SELECT * FROM instance")
    finally:
        index.close()
