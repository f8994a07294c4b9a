"""A node starts again on what a power cut has left, and says what it still has."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import inspect, select

from node.storage.archive import Archive
from node.storage.index.engine import Index
from node.storage.index.schema import ConflictRow, InstanceRow
from node.storage.index.store import Store
from node.storage.ingest.ingester import Ingester
from node.storage.ingest.recovery import recover
from node.storage.journal import Journal
from tests.recording_disk.cuts import PowerCut, power_cuts
from tests.recording_disk.operations import Operation


def index_of(root: Path, *, relaxed: bool = False) -> Index:
    """The index below a storage root."""
    return Index(f"sqlite:///{root / 'index.db'}", relaxed=relaxed)


class Restarts:
    """Starts on one power cut after the other, with one engine, as statements take long to make.

    Args:
        folder: where the disks are written, one in the place of the other.
        root: the storage root, relative to it.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder = folder
        self._root = folder / root
        self._index = index_of(self._root)

    def missing(self, cut: PowerCut, answered: Mapping[str, bytes]) -> list[str]:
        """Which of the instances that were answered are not in archive and index after a start.

        Args:
            answered: data sets by what the node said when it had taken them.
        """
        self._index.close()
        if self._folder.exists():
            shutil.rmtree(self._folder)
        cut.write(self._folder)
        archive, index = Archive(self._root), self._index
        archive.prepare()
        if not inspect(index.engine).has_table("alembic_version"):
            index.migrate()
        journal, store = Journal(self._root), Store(index)
        try:
            recover(journal, Ingester(archive, store, lambda: 9.0), archive, index, lambda: 9.0)
        finally:
            journal.close()
        kept = _indexed(archive, index) | _set_aside(archive)
        return [what for what, data in answered.items() if data not in kept]

    def close(self) -> None:
        """Give the engine back."""
        self._index.close()


def nothing_is_lost(
    operations: Sequence[Operation], root: Path, sent: Mapping[str, bytes], folder: Path
) -> int:
    """Play every power cut, and see what is there after the next start.

    Args:
        root: the storage root, relative to the disk.
        sent: data sets by what was said when they were answered.
        folder: where the disks are written.

    Returns:
        How many power cuts there were.
    """
    count = 0
    restarts = Restarts(folder, root)
    try:
        for cut in power_cuts(operations):
            answered = {what: sent[what] for what in cut.said if what in sent}
            if answered:
                count += 1
                lost = restarts.missing(cut, answered)
                assert not lost, f"{lost} lost after {cut.after}, with {cut.survived}"
    finally:
        restarts.close()
    return count


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
