"""A record that the database refuses for good: it alone stays out, and all others are indexed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from benchmarks.instances import EXPLICIT, Instance, encoded, series
from node.storage.archive import Archive
from node.storage.index.database_errors import IndexDamaged
from node.storage.index.engine import Index
from node.storage.index.search.listing import Listing
from node.storage.index.store import Store
from node.storage.ingest.ingester import Ingester
from node.storage.ingest.recovery import recover
from node.storage.journal import Entry, Journal, JournalRecord, JournalWriter, Source
from node.storage.reindex import reindex
from tests.databases import migrated_postgresql

SOURCE = Source("run", "SENDER", "RASNODE", "127.0.0.1", 1.0)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    made = Archive(tmp_path)
    made.prepare()
    return made


def refuse(index: Index, uid: str) -> None:
    """Have the database refuse the row of an instance, as it refuses a value that is too large."""
    with index.writing() as connection:
        if index.is_sqlite:
            connection.execute(
                text(
                    "CREATE TRIGGER refuse BEFORE INSERT ON instance "
                    f"WHEN NEW.uid = '{uid}' BEGIN SELECT RAISE(ABORT, 'too large'); END"
                )
            )
            return
        connection.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'too large' USING ERRCODE = '54000'; END $$"
            )
        )
        connection.execute(
            text(
                "CREATE TRIGGER refuse BEFORE INSERT ON instance FOR EACH ROW "
                f"WHEN (NEW.uid = '{uid}') EXECUTE FUNCTION refuse()"
            )
        )


def entry(image: Instance) -> Entry:
    return Entry(image.sop_class, image.uid, EXPLICIT, 50.0, SOURCE)


def indexed(index: Index) -> list[str]:
    return sorted(str(one["sop_instance_uid"]) for one in Listing(index).instances())


def but(images: Sequence[Instance], left_out: Instance) -> list[str]:
    return sorted(one.uid for one in images if one is not left_out)


def quarantined(archive: Archive, image: Instance) -> bool:
    """Whether the quarantine has this instance alone, with every byte."""
    (note,) = [json.loads(path.read_bytes()) for path in archive.quarantine.glob("*.json")]
    assert note["reason"] == "cannot-be-ingested"
    return (archive.quarantine / note["file"]).read_bytes().endswith(image.data_set)


def test_the_ingester_goes_on_with_the_others(archive: Archive, index: Index) -> None:
    images = encoded(series(5, 8))
    refuse(index, images[2].uid)
    ingester = Ingester(archive, Store(index), lambda: 100.0)
    batch = [JournalRecord(entry(one), memoryview(one.data_set), 0) for one in images]
    assert len(ingester.ingest(batch).outcomes) == 4
    assert indexed(index) == but(images, images[2])
    assert quarantined(archive, images[2])


def test_the_node_starts_with_such_a_record_in_its_journal(archive: Archive, index: Index) -> None:
    images = encoded(series(5, 8))
    refuse(index, images[1].uid)
    journal = Journal(archive.root.parent)
    writer = JournalWriter(journal.folder, 0, journal.offsets, 4 << 20)
    for one in images:
        writer.append(entry(one), one.data_set)
    writer.close()
    ingester = Ingester(archive, Store(index), lambda: 100.0)
    assert recover(journal, ingester, archive, index, lambda: 100.0) == 5
    journal.close()
    assert indexed(index) == but(images, images[1])
    assert quarantined(archive, images[1])


def test_reindex_names_the_files_and_indexes_the_others(archive: Archive, index: Index) -> None:
    images = encoded(series(5, 8))
    ingester = Ingester(archive, Store(index), lambda: 100.0)
    ingester.ingest([JournalRecord(entry(one), memoryview(one.data_set), 0) for one in images])
    index.recreate()
    refuse(index, images[4].uid)
    unreadable = next(archive.files()).with_name("1.2.3.dcm")
    unreadable.symlink_to("nowhere")
    files, left_out = reindex(archive, Store(index))
    assert files == 6
    assert sorted(path.stem for path in left_out) == sorted(["1.2.3", images[4].uid])
    assert indexed(index) == but(images, images[4])


def test_what_postgresql_says_is_told_apart(server: str) -> None:
    with migrated_postgresql(server) as url:
        index = Index(url)
        for code, raised in (("54000", OperationalError), ("XX001", IndexDamaged)):
            with pytest.raises(raised), index.writing() as connection:
                connection.execute(text(f"DO $$ BEGIN RAISE SQLSTATE '{code}'; END $$"))
        index.close()
