"""A node's receiving half in one process, without threads that come between, on a recorded disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from benchmarks.instances import EXPLICIT, Instance
from node.storage.archive import Archive
from node.storage.index.schema import InstanceRow
from node.storage.index.store import Store
from node.storage.ingest.ingester import Ingester
from node.storage.ingest.recovery import recover
from node.storage.ingest.service import IngestService
from node.storage.journal import Entry, Journal, JournalWriter, Source, segment, writer
from node.storage.receive.instance_receiver import SUCCESS, Incoming
from node.storage.receive.journal_receiver import JournalReceiver
from tests.recording_disk.recorder import Recorder
from tests.recording_disk.restart import index_of, nothing_is_lost

SOURCE = Source("run", "SENDER", "RASNODE", "127.0.0.1", 1.0)


class Scene:
    """Takes instances in, and files them when it is told to.

    Attributes:
        sent: data sets by what is said once they were answered.
    """

    def __init__(self, disk: Recorder, root: Path, journal: Journal) -> None:
        self.disk = disk
        self.root = root
        self.sent: dict[str, bytes] = {}
        self._archive = Archive(root)
        self._journal = journal
        self._partition = JournalWriter(journal.folder, 0, journal.offsets, segment.SMALLEST)
        self._receiver = JournalReceiver(
            self._archive, journal, self._partition, minimum_free=0, clock=lambda: 2.0
        )
        self._index = index_of(root, relaxed=True)
        disk.follow(self._index)
        self._ingest = IngestService(
            journal,
            Ingester(self._archive, Store(self._index), lambda: 3.0),
            self._archive,
            self._index,
            wait=lambda _seconds: False,
            ingested=lambda _ingested: None,
        )

    def store(self, *instances: Instance, together: bool = False) -> None:
        """Each is answered 0x0000."""
        incoming = [
            Incoming(one.sop_class, one.uid, EXPLICIT, one.data_set, "SENDER", SOURCE)
            for one in instances
        ]
        if together:
            assert all(self._receiver.store_together(incoming))
            for one in instances:
                self._answered(one.data_set)
            return
        for one in incoming:
            assert self._receiver.store(one).status == SUCCESS
            self._answered(bytes(one.data_set))

    def store_unchecked(self, instance: Instance, data_set: bytes) -> None:
        """What is found wrong only when it is ingested."""
        entry = Entry(instance.sop_class, instance.uid, EXPLICIT, 2.0, SOURCE)
        self._partition.append(entry, data_set)
        self._answered(data_set)

    def file(self) -> None:
        """File all there is, and let the journal forget it."""
        self.file_without_sync()
        self._ingest._sync()

    @contextmanager
    def somebody_reads(self) -> Iterator[None]:
        """Another process has what is in the index now before its eyes."""
        index = index_of(self.root)
        with index.reading() as connection:
            connection.execute(select(InstanceRow.id)).all()
            yield
        index.close()

    def file_without_sync(self) -> None:
        """File all there is, as one who is killed before he comes to the rest."""
        while self._ingest._round():
            pass

    def recover(self, *, relaxed: bool) -> None:
        """Do what the next start does; nothing may be stored any more."""
        index = index_of(self.root, relaxed=relaxed)
        self.disk.follow(index)
        store = Store(index)
        ingester = Ingester(self._archive, store, lambda: 4.0)
        recover(self._journal, ingester, self._archive, index, lambda: 4.0)
        self.disk.said("recovered")
        index.close()

    def end(self) -> None:
        """Stop: what is left is ingested."""
        self._ingest.run()

    def nothing_is_lost(self, folder: Path) -> int:
        """After any power cut; returns how many there were.

        Args:
            folder: where the disks are written.
        """
        root = self.root.relative_to(self.disk.root)
        return nothing_is_lost(self.disk.operations, root, self.sent, folder)

    def close(self) -> None:
        """Close its files."""
        self._partition.close()
        self._index.close()

    def _answered(self, data_set: bytes) -> None:
        what = f"answered {len(self.sent)}"
        self.sent[what] = data_set
        self.disk.said(what)


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """A node that starts for the first time, in a folder that it has to make first."""
    folder.mkdir()
    root = folder / "var" / "node"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "_READY", 1)  # one is enough for what is sent
        disk = Recorder(folder, patch)
        Archive(root).prepare()
        index = index_of(root)
        index.migrate()
        disk.committed(index)
        journal = Journal(root)
        recover(
            journal,
            Ingester(Archive(root), Store(index), lambda: 3.0),
            Archive(root),
            index,
            lambda: 3.0,
        )
        made = Scene(disk, root, journal)
        try:
            yield made
            disk.stop()
        finally:
            made.close()
            index.close()
            journal.close()
