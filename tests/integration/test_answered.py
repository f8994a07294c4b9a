"""What a C-STORE is answered, and what is found once it was answered 0x0000."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from benchmarks.instances import EXPLICIT, series
from node.core.settings.model import Settings
from node.daemon.receiving.receiver import Receiver
from node.storage.archive import Archive
from node.storage.index.engine import Index
from node.storage.index.store import Store
from node.storage.ingest.ingester import Ingester
from node.storage.ingest.service import IngestService
from node.storage.journal import Journal

FIND = StudyRootQueryRetrieveInformationModelFind
GET = StudyRootQueryRetrieveInformationModelGet


@contextmanager
def receiving(folder: Path, minimum_free: int = 0) -> Iterator[tuple[Receiver, threading.Event]]:
    """A receiver, and an ingester that begins when the event is set."""
    settings = Settings.model_validate(
        {
            "dicom": {"host": "127.0.0.1", "port": 0},
            "storage": {"root": str(folder), "minimum_free": minimum_free},
        }
    )
    archive, journal, index = Archive(folder), Journal(folder), Index(settings.database_url())
    archive.prepare()
    index.migrate()
    begin, stop = threading.Event(), threading.Event()

    def wait(seconds: float) -> bool:
        time.sleep(0.002)
        return not stop.is_set()

    filing = IngestService(
        journal,
        Ingester(archive, Store(index), time.time),
        archive,
        index,
        wait=wait,
        ingested=lambda _ingested: None,
    )

    def file() -> None:
        begin.wait()
        filing.run()

    ingester = threading.Thread(target=file)
    ingester.start()
    receiver = Receiver(
        settings, archive, index, journal, run="run", partition=0, wake_ingester=lambda: None
    )
    receiver.start()
    try:
        yield receiver, begin
    finally:
        receiver.stop(2.0)
        stop.set()
        begin.set()
        ingester.join()
        index.close()
        journal.close()


def ct_image() -> Dataset:
    (image,) = series(1, 8)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = EXPLICIT
    return image


def study_of(image: Dataset) -> Dataset:
    keys = Dataset()
    keys.QueryRetrieveLevel = "STUDY"
    keys.StudyInstanceUID = image.StudyInstanceUID
    return keys


@contextmanager
def associated(receiver: Receiver, got: list[Dataset]) -> Iterator[Association]:
    ae = AE("TESTER")
    ae.add_requested_context(FIND)
    ae.add_requested_context(GET)
    ae.add_requested_context(CTImageStorage, EXPLICIT)

    def keep(event: evt.Event) -> int:
        got.append(event.dataset)
        return 0

    made = ae.associate(
        "127.0.0.1",
        receiver.port,
        ext_neg=[build_role(CTImageStorage, scu_role=True, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, keep)],
    )
    assert made.is_established
    try:
        yield made
    finally:
        made.release()


def find(association: Association, keys: Dataset) -> int:
    answers = association.send_c_find(keys, FIND)
    return sum(status.Status in {0xFF00, 0xFF01} for status, _ in answers)


def get(association: Association, keys: Dataset) -> int:
    *_, (status, _) = association.send_c_get(keys, GET)
    return int(status.NumberOfCompletedSuboperations)


@pytest.mark.parametrize("query", [find, get])
def test_what_was_answered_is_found_however_busy_the_filer_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    query: Callable[[Association, Dataset], int],
) -> None:
    image = ct_image()
    with receiving(tmp_path) as (receiver, begin), associated(receiver, []) as association:
        settle = Journal.settle

        def settling(journal: Journal, seconds: float) -> bool:
            begin.set()  # who asks waits for it; it would have come to it some time
            return settle(journal, seconds)

        monkeypatch.setattr(Journal, "settle", settling)
        assert association.send_c_store(image).Status == 0
        assert not begin.is_set()
        assert query(association, study_of(image)) == 1


def test_a_disk_without_room_takes_nothing(tmp_path: Path) -> None:
    image = ct_image()
    with (
        receiving(tmp_path, minimum_free=1 << 60) as (receiver, begin),
        associated(receiver, []) as association,
    ):
        begin.set()
        assert association.send_c_store(image).Status == 0xA700
        assert find(association, study_of(image)) == 0
    assert list(Archive(tmp_path).files()) == []
