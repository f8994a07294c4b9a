"""A node starts again on what a power cut has left, and says what it still has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import inspect, select

from node.archive import Archive
from node.filing.filer import Filer
from node.filing.recovery import recover
from node.index.engine import Index
from node.index.schema import ConflictRow, InstanceRow
from node.index.store import Store
from node.journal import Journal
from node.receive import Receiver


def index_of(root: Path, *, relaxed: bool = False) -> Index:
    """The index below a storage root."""
    return Index(f"sqlite:///{root / 'index.db'}", relaxed=relaxed)


def missing(root: Path, answered: Mapping[str, bytes]) -> list[str]:
    """Which of the instances that were answered are not in archive and index after a start.

    Args:
        answered: data sets by what the node said when it had taken them.
    """
    archive = Archive(root)
    archive.prepare()
    index, journal = index_of(root), Journal(root)
    try:
        if not inspect(index.engine).has_table("alembic_version"):
            index.migrate()
        store = Store(index)
        recover(journal, Filer(archive, store, lambda: 9.0), archive, index)
        Receiver(archive, store, minimum_free=0, clock=lambda: 9.0).reconcile()
        kept = _indexed(archive, index) | _set_aside(archive)
    finally:
        journal.close()
        index.close()
    return [what for what, data in answered.items() if not any(map(data.__eq__, kept))]


def _indexed(archive: Archive, index: Index) -> set[bytes]:
    kept = set()
    with index.reading() as connection:
        for table in (InstanceRow, ConflictRow):
            for path, offset in connection.execute(select(table.path, table.data_set_offset)):
                file = archive.path(path)
                if file.exists():
                    kept.add(file.read_bytes()[offset:])
    return kept


def _set_aside(archive: Archive) -> set[bytes]:
    return {_data_set(path.read_bytes()) for path in archive.quarantine.glob("*.dcm")}


def _data_set(file: bytes) -> bytes:
    length = int.from_bytes(file[140:144], "little")  # (0002,0000), PS3.10 7.1
    return file[144 + length :]
