"""Whatever was answered is ingested, or kept in quarantine under a name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from isal import isal_zlib

from benchmarks.instances import EXPLICIT, encoded, series
from node.core.errors import Reason, StorageFull
from node.core.records import Stored
from node.lifecycle.verification.damage_reporter import expected
from node.storage.archive import Archive
from node.storage.index.engine import Index
from node.storage.index.search.listing import Listing
from node.storage.index.series.damages import Damages
from node.storage.index.series.verification import Inventory
from node.storage.index.store import Store
from node.storage.ingest.ingester import Ingester
from node.storage.integrity import check_archived
from node.storage.journal import Entry, JournalRecord, Source
from node.storage.reindex import reindex

SOURCE = Source("run", "SENDER", "RASNODE", "127.0.0.1", 1.0)
PART = "large.part"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    made = Archive(tmp_path)
    made.prepare()
    return made


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    made = Index(f"sqlite:///{tmp_path / 'index.db'}", relaxed=True)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def ingester(archive: Archive, index: Index) -> Ingester:
    return Ingester(archive, Store(index), lambda: 100.0)


def listed(index: Index) -> list[dict[str, object]]:
    """Every file that the index speaks of."""
    rows = [{"conflict": False, **row} for row in Listing(index).instances()]
    return sorted(rows, key=lambda row: str(row["path"]))


def found(sop_class: str, uid: str, data_set: bytes, part: str = "") -> JournalRecord:
    entry = Entry(sop_class, uid, EXPLICIT, 50.0, SOURCE, part)
    return JournalRecord(entry, memoryview(b"" if part else data_set), 0)


def test_what_cannot_be_understood_is_set_aside_and_the_rest_is_filed(
    archive: Archive, ingester: Ingester
) -> None:
    images = encoded(series(4, 8))
    broken = [one.data_set[:-5] for one in images]
    archive.incoming(PART).write_bytes(broken[2])
    batch = [
        found(images[0].sop_class, images[0].uid, images[0].data_set),
        found(images[1].sop_class, images[1].uid, broken[1]),
        found(images[2].sop_class, images[2].uid, b"", PART),
        found(images[3].sop_class, images[3].uid, images[3].data_set),
    ]
    ingested = ingester.ingest(batch)
    assert [outcome for outcome, _ in ingested.outcomes] == [Stored.NEW, Stored.NEW]
    assert ingested.parts == [archive.incoming(PART)]
    assert sorted(path.stem for path in archive.files()) == sorted([images[0].uid, images[3].uid])
    kept = [json.loads(path.read_bytes()) for path in archive.quarantine.glob("*.json")]
    assert [one["reason"] for one in kept] == ["cannot-be-ingested"] * 2
    assert all("Element (7FE0,0010) says it has" in one["sentence"] for one in kept)
    contents = [(archive.quarantine / one["file"]).read_bytes() for one in kept]
    for data_set in broken[1:3]:  # UIDs, and so data sets, differ in length now and then
        assert sum(content.endswith(data_set) for content in contents) == 1


def test_a_large_one_whose_bytes_have_changed_is_set_aside(
    archive: Archive, ingester: Ingester
) -> None:
    good, bad = encoded(series(2, 8))
    batch = []
    for image, name in ((good, "good.part"), (bad, "bad.part")):
        crc = isal_zlib.crc32(image.data_set)
        content = image.data_set if image is good else image.data_set[:-2] + b"\x7f\x7f"
        archive.incoming(name).write_bytes(content)
        entry = Entry(image.sop_class, image.uid, EXPLICIT, 50.0, SOURCE, name, crc=crc)
        batch.append(JournalRecord(entry, memoryview(b""), 0))
    ingested = ingester.ingest(batch)
    assert [path.stem for path in archive.files()] == [good.uid]
    assert len(ingested.parts) == 2
    (note,) = [json.loads(path.read_bytes()) for path in archive.quarantine.glob("*.json")]
    assert "changed on the disk" in note["sentence"]


def test_a_fault_of_ours_is_named(
    archive: Archive, ingester: Ingester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a patient's name")

    monkeypatch.setattr("node.storage.ingest.ingester.register", fail)
    image, other = encoded(series(2, 8))
    archive.incoming(PART).write_bytes(other.data_set)
    ingested = ingester.ingest(
        [
            found(image.sop_class, image.uid, image.data_set),
            found(other.sop_class, other.uid, b"", PART),
        ]
    )
    assert not ingested.outcomes
    kept = [json.loads(path.read_bytes()) for path in archive.quarantine.glob("*.json")]
    assert [one["sentence"] for one in kept] == ["ZeroDivisionError while it was ingested"] * 2


def test_what_not_even_the_quarantine_takes_stays_in_the_journal(
    archive: Archive, ingester: Ingester
) -> None:
    (image,) = encoded(series(1, 8))
    batch = [found(image.sop_class, image.uid, image.data_set[:-5])]
    archive.quarantine.rmdir()
    with pytest.raises(StorageFull, match="quarantine"):
        ingester.ingest(batch)
    archive.quarantine.mkdir()
    ingester.ingest(batch)
    assert len(list(archive.quarantine.glob("*.dcm"))) == 1


@pytest.mark.parametrize("batches", [1, 2])
def test_after_a_crash_other_bytes_under_one_name_are_kept_beside(
    archive: Archive, ingester: Ingester, index: Index, batches: int
) -> None:
    """In one batch, too: no row speaks yet of what was placed just before."""
    image = series(1, 8)[0]
    (first,) = encoded([image])
    image.PatientName = "Another"
    (other,) = encoded([image])
    image.PatientID, image.PatientBirthDate = "B2", "19700101"
    (stranger,) = encoded([image])
    sent = (first, other, stranger)
    batch = [found(one.sop_class, one.uid, one.data_set) for one in sent]
    for _ in range(2):
        for part in [batch] if batches == 1 else [batch[:1], batch[1:]]:
            ingester.ingest(part, anew=True)
        files = [path.read_bytes() for path in archive.files()]
        assert len(files) == len(sent)
        for one in sent:
            assert any(file.endswith(one.data_set) for file in files)
    before = listed(index)
    assert {(row["conflict"], row["sha256"]) for row in before} == {
        (number == 1, hashlib.sha256(one.data_set).hexdigest()) for number, one in enumerate(sent)
    }
    index.recreate()
    assert reindex(archive, Store(index)) == (len(sent), [])
    assert listed(index) == before


def test_after_a_crash_a_torn_file_is_written_again(archive: Archive, ingester: Ingester) -> None:
    (image,) = encoded(series(1, 8))
    batch = [found(image.sop_class, image.uid, image.data_set)]
    ingester.ingest(batch)
    (path,) = archive.files()
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    ingester.ingest(batch, anew=True)
    assert [one.read_bytes() for one in archive.files()] == [whole]


@pytest.mark.parametrize("anew", [False, True])
def test_two_data_sets_of_one_uid_in_one_batch_are_both_kept(
    archive: Archive, ingester: Ingester, anew: bool
) -> None:
    """Also after a crash, when files that no row speaks of are written once more."""
    (image,) = encoded(series(1, 8))
    other = image.data_set[:-2] + bytes(2)
    batch = [found(image.sop_class, image.uid, one) for one in (image.data_set, other)]
    for _ in range(2):
        ingested = ingester.ingest(batch, anew=anew)
        contents = [path.read_bytes() for path in archive.files()]
        assert len(contents) == 2
        assert sum(content.endswith(image.data_set) for content in contents) == 1
        assert sum(content.endswith(other) for content in contents) == 1
    assert [outcome for outcome, _ in ingested.outcomes] == [Stored.SAME] * 2


@pytest.mark.parametrize("part", ["", PART])
def test_what_comes_again_takes_the_place_of_what_is_damaged(
    archive: Archive, ingester: Ingester, part: str
) -> None:
    (image,) = encoded(series(1, 8))
    again = found(image.sop_class, image.uid, image.data_set)
    ingester.ingest([again])
    (file,) = archive.files()
    whole = file.read_bytes()
    for harmed in (whole[:-1], whole[:-1] + b"x", whole[:140] + b"\1" + whole[141:], b"", None):
        file.unlink() if harmed is None else file.write_bytes(harmed)
        if part:
            archive.incoming(part).write_bytes(whole)
            entry = Entry(
                image.sop_class, image.uid, EXPLICIT, 50.0, SOURCE, part,
                len(whole) - len(image.data_set),
            )  # fmt: skip
            again = JournalRecord(entry, memoryview(b""), 0)
        assert [one for one, _ in ingester.ingest([again]).outcomes] == [Stored.SAME]
        assert [path.read_bytes() for path in archive.files()] == [whole]
    file.unlink()
    file.mkdir()  # nobody can take its place: it lies beside it, and the index knows where
    assert [one for one, _ in ingester.ingest([again]).outcomes] == [Stored.SAME]
    (place, _) = ingester._store.kept(image.uid).values().__iter__().__next__()
    assert archive.path(place).read_bytes() == whole
    file.rmdir()


def test_a_folder_that_somebody_took_away_is_made_again(
    archive: Archive, ingester: Ingester
) -> None:
    images = encoded(series(2, 8))
    ingester.ingest([found(images[0].sop_class, images[0].uid, images[0].data_set)])
    (file,) = archive.files()
    file.unlink()
    file.parent.rmdir()
    ingested = ingester.ingest([found(one.sop_class, one.uid, one.data_set) for one in images])
    assert [outcome for outcome, _ in ingested.outcomes] == [Stored.SAME, Stored.NEW]
    assert len(list(archive.files())) == 2


@pytest.mark.parametrize("patient", ["8", "another"])
@pytest.mark.parametrize("batches", [1, 2])
def test_what_takes_the_name_of_a_lost_file_is_not_replaced_by_it(
    archive: Archive, ingester: Ingester, index: Index, batches: int, patient: str
) -> None:
    """As a conflict of the same series, and as an instance of another patient's."""
    image = series(1, 8)[0]
    (first,) = encoded([image])
    image.PatientName, image.PatientID = "Other", patient
    (other,) = encoded([image])
    again, stranger = (found(one.sop_class, one.uid, one.data_set) for one in (first, other))
    ingester.ingest([again])
    (file,) = archive.files()
    (_, lost) = next(Inventory(index).instances(0))
    file.unlink()
    assert Damages(index).note_instance(lost, Reason.INSTANCE_MISSING, "", 1.0)
    for part in [[stranger, again]] if batches == 1 else [[stranger], [again]]:
        ingester.ingest(part)
        if len(part) == 1 and part[0] is stranger:  # the damage is still that of the lost one
            (damaged,) = Damages(index).all()
            (meant,) = Damages(index).expected(damaged)
            assert meant.sha256 == lost.sha256
    inventory = Inventory(index)
    files = [*inventory.instances(0), *inventory.conflicts(0)]
    assert len({one.path for _, one in files}) == 2
    for _, one in files:
        check_archived(archive.path(one.path), expected(one))
    assert Damages(index).count() == {}
