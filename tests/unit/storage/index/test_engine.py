"""What the index's file holds, and when."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from node.core.records import AssociationEnd
from node.storage.index.engine import Index
from node.storage.index.store import Store

MANY = 2000  # associations, some MiB of the write-ahead log


def test_only_a_sync_moves_the_log_into_the_file(tmp_path: Path) -> None:
    index = Index(f"sqlite:///{tmp_path / 'index.db'}", relaxed=True)
    index.migrate()
    store = Store(index)
    index.sync()
    before = _associations(tmp_path)
    for number in range(MANY):
        row = store.open_association("A", "B", "127.0.0.1", float(number), "process")
        store.end_association(row, AssociationEnd.RELEASED, number + 1.0)
    assert (tmp_path / "index.db-wal").stat().st_size > 4 << 20
    assert _associations(tmp_path) == before == 0  # no commit has done it
    index.sync()
    assert _associations(tmp_path) == MANY
    index.close()


def test_the_disk_can_begin_whether_or_not_there_is_anything(tmp_path: Path) -> None:
    index = Index(f"sqlite:///{tmp_path / 'index.db'}", relaxed=True)
    index.start_sync()  # there is no file
    index.migrate()
    row = Store(index).open_association("A", "B", "127.0.0.1", 1.0, "process")
    index.start_sync()
    Store(index).end_association(row, AssociationEnd.RELEASED, 2.0)
    index.sync()
    assert _associations(tmp_path) == 1
    index.close()


def test_a_sync_leaves_sqlite_its_locks(tmp_path: Path) -> None:
    """Without them another process that closes the index would take the log away, with all that is
    written to it from then on."""
    path = tmp_path / "index.db"
    index = Index(f"sqlite:///{path}", relaxed=True)
    index.migrate()
    assert not _could_lock(path)
    index.sync()
    assert not _could_lock(path)
    index.close()
    assert _could_lock(path)


def _could_lock(path: Path) -> bool:
    """Whether another process gets the lock that it needs to do without the log."""
    code = (
        "import fcntl, sys\n"
        "with open(sys.argv[1], 'r+b') as file:\n"
        # SHARED_FIRST and SHARED_SIZE of SQLite's os.h
        "    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)\n"
    )
    asked = subprocess.run(
        [sys.executable, "-c", code, path], check=False, stderr=subprocess.DEVNULL
    )
    return asked.returncode == 0


def _associations(folder: Path) -> int:
    """How many the file alone has."""
    alone = folder / "alone.db"
    shutil.copy(folder / "index.db", alone)
    connection = sqlite3.connect(alone)
    try:
        return int(connection.execute("SELECT count(*) FROM association").fetchone()[0])
    finally:
        connection.close()
