"""What the ingester tells the journal: everything that it has dealt with becomes safe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from node.storage.archive import Archive
from node.storage.index.engine import Index
from node.storage.index.store import Store
from node.storage.ingest.ingester import Ingester
from node.storage.ingest.service import IngestService
from node.storage.journal import AssociationEnded, Journal, JournalWriter, Source
from tests.databases import migrated_sqlite

SOURCE = Source("run", "A", "B", "127.0.0.1", 1.0)
SEGMENT = 4 << 20


def test_a_writer_that_ends_before_its_first_record_leaves_nothing_unsafe(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    archive, index = Archive(tmp_path), Index(migrated_sqlite(tmp_path / "index.db"))
    archive.prepare()

    def write_one_record() -> None:
        writer = JournalWriter(journal.folder, 0, journal.offsets, SEGMENT)
        writer.note(AssociationEnded(SOURCE, "released", 2.0))
        writer.close()

    def write_none() -> None:
        JournalWriter(journal.folder, 0, journal.offsets, SEGMENT).close()

    steps: list[Callable[[], None]] = [write_one_record, write_none]
    service = IngestService(
        journal,
        Ingester(archive, Store(index), lambda: 3.0),
        archive,
        index,
        wait=lambda _seconds: bool(steps) and steps.pop(0)() is None,
        ingested=lambda _ingested: None,
    )
    service.run()
    offsets = journal.offsets
    assert offsets.safe(0) == offsets.ingested(0) == offsets.answered(0)
    index.close()
    journal.close()
