"""Imports beside receivers, retention, restarts, each other, and their own end."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom.dsutils import encode
from sqlalchemy import select, update

from benchmarks.instances import renewed, series, write
from node.cli.commands import build
from node.core.errors import ConfigError, NodeError
from node.core.records import SeriesState, Stored
from node.core.settings.file import load_settings
from node.storage.archive import Archive
from node.storage.importing.importer import Importer, open_importer
from node.storage.importing.journal_access import journal_access
from node.storage.index.engine import Index
from node.storage.index.schema import InstanceRow, SeriesRow
from node.storage.index.store import Store
from node.storage.ingest.ingester import Ingester
from node.storage.ingest.retention import RetentionJob
from node.storage.ingest.service import IngestService
from node.storage.integrity import hash_archived
from node.storage.journal import Journal
from node.storage.journal.segment import HEADER, split_position
from node.storage.root_lock import sole_owner
from tests.running import RunningNode, eventually

_DIRECTORY = b"1.2.840.10008.1.3.10"
SMALL, LARGE = 64, 2100  # rows and columns; the large ones do not fit into a record


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node for all of these tests: each imports series of its own."""
    made = RunningNode(tmp_path_factory.mktemp("node"))
    try:
        yield made.start()
    finally:
        made.kill()


def folder_of(path: Path, count: int, side: int = SMALL) -> Path:
    """A folder with a series."""
    images = series(count, side)
    renewed(images)
    write(images, path)
    return path


def start_import(node: RunningNode, *paths: Path) -> BaseProcess:
    """`rasnode import` as a copy of this process: another interpreter takes a second to load."""

    def run() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        try:
            build()(
                ["import", *map(str, paths), "-c", str(node.config)],
                standalone_mode=False,
            )
        finally:
            os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    return process


@contextmanager
def opened(node: RunningNode, patience: float = 60.0) -> Iterator[tuple[Importer, list[str]]]:
    """An import in this process, step by step, and what it says."""
    said: list[str] = []
    settings, stopping = load_settings(node.config), threading.Event()
    with ExitStack() as stack:
        access = stack.enter_context(journal_access(settings, stopping))
        yield (
            stack.enter_context(
                open_importer(
                    access, settings, say=said.append, stopping=stopping, patience=patience
                )
            ),
            said,
        )


def intact(node: RunningNode) -> set[str]:
    """The instances that the node lists, each of which has to be whole."""
    found = node.instances()
    for one in found:
        assert hash_archived(node.root / "archive" / one["path"])[0] == one["sha256"]
    return {one["sop_instance_uid"] for one in found}


def uids(*folders: Path) -> set[str]:
    files = [path for folder in folders for path in folder.rglob("*.dcm")]
    return {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in files}


def written_after(journal: Journal, position: int) -> bool:
    """Whether the first partition for imports has a record in a later segment than before."""
    generation, offset = split_position(journal.offsets.answered(64))
    return generation > split_position(position)[0] and offset > HEADER


def nothing(_: int) -> None:
    """Nobody looks at the progress."""


def test_imports_at_once_and_a_sender_lose_nothing(node: RunningNode, tmp_path: Path) -> None:
    folders = [folder_of(tmp_path / str(number), 150) for number in range(3)]
    imports = [start_import(node, folder) for folder in folders[:2]]
    node.send(folders[2])
    for one in imports:
        one.join(60)
        assert one.exitcode == 0
    assert intact(node) >= uids(*folders)


def test_an_import_that_is_killed_leaves_nothing_half_and_nothing_that_blocks(
    node: RunningNode, tmp_path: Path
) -> None:
    chance, journal = random.Random(17), Journal(node.root)
    partitions, folders = (
        {0, *journal.partitions()},
        [],
    )  # the receiver makes its own after the start
    for number in range(6):
        folders.append(folder_of(tmp_path / str(number), 60))
        folder_of(tmp_path / f"{number}" / "large", 1, LARGE)
        before = journal.offsets.answered(64)
        killed = start_import(node, folders[-1])
        if number % 2:
            eventually(partial(written_after, journal, before), 20, "it has written something")
        time.sleep(chance.uniform(0.0, 0.4) / (1 + 9 * (number % 2)))
        killed.kill()
        killed.join(10)
        intact(node)
    assert set(journal.partitions()) == partitions | {
        64
    }  # each has taken over what the one before had
    eventually(
        lambda: journal.offsets.safe(64) >= journal.offsets.answered(64), 60, "all of it is safe"
    )
    journal.close()
    with opened(node) as (intake, said):
        intake.take(folders, nothing)
        intake.finish()
        assert not said
        assert intake.tally.stored[Stored.NEW] + intake.tally.stored[Stored.SAME] == 6 * 61
    incoming = node.root / "archive" / ".incoming"
    eventually(lambda: not list(incoming.glob("import-*")), 20, "large files are ingested")
    assert intact(node) >= uids(*folders)


def test_an_import_goes_on_while_the_node_is_killed_and_started_again(
    node: RunningNode, tmp_path: Path
) -> None:
    small, large = folder_of(tmp_path / "a", 40), folder_of(tmp_path / "b", 1, LARGE)
    later = folder_of(tmp_path / "c", 40)
    with opened(node) as (intake, said):
        node.kill()
        intake.take([small, large], nothing)  # into the journal, with nobody to file it
        half = Archive(node.root, 64).new_part()
        half.write_bytes(b"half an instance that is being written")
        node.start()
        assert half.exists()
        intake.take([later], nothing)
        intake.finish()
        assert not said
        assert intake.tally.stored[Stored.NEW] == 81
    assert intact(node) >= uids(small, large, later)


def test_what_nobody_files_is_safe_and_said_to_be(node: RunningNode, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", 5)
    with opened(node, patience=0.2) as (intake, _):
        node.kill()
        intake.take([folder], nothing)
        with pytest.raises(Exception, match="5 files are safe in the journal and not ingested yet"):
            intake.finish()
        assert intake.tally.waiting == 5
        intake.finish(within=0.01)  # who does not want to wait goes on
        assert intake.tally.kept == 5
    node.start()
    assert intact(node) >= uids(folder)


def test_without_a_node_the_next_one_files_what_a_killed_import_left(tmp_path: Path) -> None:
    node = RunningNode(tmp_path)
    first, second = folder_of(tmp_path / "a", 200), folder_of(tmp_path / "b", 1)
    killed = start_import(node, first)
    journal = node.root / "journal"
    eventually(lambda: list(journal.glob("64-*.seg")), 60, "the import begins")
    killed.kill()
    killed.join(10)
    with opened(node) as (intake, _):
        before = len(intact(node))
        intake.take([first, second], nothing)
        intake.finish()
        assert intake.tally.stored[Stored.SAME] == before
    assert intact(node) == uids(first, second)


def test_each_file_is_judged_as_if_it_had_been_sent(node: RunningNode, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", 3)
    files = sorted(folder.iterdir())
    content = [path.read_bytes() for path in files]
    image = dcmread(files[0])
    image.SOPInstanceUID = "1.2.3.4"
    bare = encode(image, True, True)
    assert bare is not None
    (folder / "bare.dcm").write_bytes(bare)
    image.file_meta.MediaStorageSOPInstanceUID = "1.2.3.5"
    image.save_as(folder / "disagrees.dcm")
    (folder / "same.dcm").write_bytes(content[0])
    (folder / "conflict.dcm").write_bytes(content[1][:-1] + b"\x07")
    (folder / "half.dcm").write_bytes(content[2][:-100])
    (folder / "notes.txt").write_text("no DICOM at all")
    directory = content[0].replace(b"1.2.840.10008.5.1.4.1.1.2\0", _DIRECTORY.ljust(26, b"\0"), 1)
    (folder / "DICOMDIR").write_bytes(directory)
    with opened(node) as (intake, said):
        intake.take([folder], nothing)
        intake.finish()
    why = {Path(line.split(": ")[1]).name: line for line in said}
    assert len(why) == len(said) == 5
    assert intake.tally.refused == 4
    assert why["notes.txt"].startswith("not imported: ")
    assert "0xA900" in why["disagrees.dcm"]
    assert "0xC000" in why["half.dcm"]
    assert "DICOMDIR" in why["DICOMDIR"]
    assert why["conflict.dcm"].startswith("in conflict: ")
    quarantined = (node.root / "quarantine").glob("*.json")
    reasons = {json.loads(path.read_bytes())["reason"] for path in quarantined}
    assert reasons == {"mismatch", "malformed-data-set"}
    by_uid = {one["sop_instance_uid"]: one for one in node.instances()}
    stored = node.root / "archive" / by_uid["1.2.3.4"]["path"]
    assert dcmread(stored).file_meta.MediaStorageSOPInstanceUID == "1.2.3.4"
    assert intake.tally.stored == {Stored.NEW: 4, Stored.SAME: 1, Stored.CONFLICT: 1}


def test_a_full_disk_stops_an_import_with_a_sentence(node: RunningNode, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", 2)
    stopping, said = threading.Event(), list[str]()
    settings = load_settings(node.config)
    storage = settings.storage.model_copy(update={"minimum_free": 1 << 60})
    full = settings.model_copy(update={"storage": storage})
    with (
        journal_access(full, stopping) as access,
        open_importer(access, full, say=said.append, stopping=stopping) as intake,
        pytest.raises(NodeError, match=r"stopped at .*storage\.minimum_free keeps"),
    ):
        intake.take([folder], nothing)
    assert said[0].startswith("not imported: ")
    assert "0xA700" in said[0]
    assert not uids(folder) & intact(node)


def test_another_user_is_told_as_whom_to_import(
    node: RunningNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(ConfigError, match=rf"sudo -u '#{owner}' rasnode import"), opened(node):
        pass


def test_ctrl_c_ends_an_import_in_order(node: RunningNode, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", 200)
    with opened(node) as (intake, said):
        intake.take([folder], lambda _: intake.stopping.set())
        intake.finish()
        assert not said
        assert 0 < intake.tally.kept < 200
    assert len(uids(folder) & intact(node)) == intake.tally.kept


def test_what_is_imported_while_retention_removes_the_same_series_has_its_files(
    tmp_path: Path,
) -> None:
    node, folder = RunningNode(tmp_path), folder_of(tmp_path / "a", 4)
    Archive(node.root).prepare()
    index = Index(f"sqlite:///{node.root / 'index.db'}", relaxed=True)
    index.migrate()
    archive, journal = Archive(node.root), Journal(node.root)
    ingester = Ingester(archive, Store(index), time.time)
    # For retention half a minute is a year.
    clock = partial(fast_clock, time.time())
    retirement = RetentionJob(archive, index, days=1, max_size=None, clock=clock)
    ending = threading.Event()
    service = IngestService(
        journal,
        ingester,
        archive,
        index,
        wait=lambda _: not ending.wait(0.005),
        ingested=lambda _: None,
        retention=retirement,
    )
    thread = threading.Thread(target=service.run)
    removed = 0
    with sole_owner(node.root) as say_serving:
        thread.start()
        say_serving()
        try:
            with opened(node) as (intake, _):
                until = time.monotonic() + 3
                while time.monotonic() < until:
                    before = intake.tally.stored[Stored.NEW]
                    intake.take([folder], nothing)
                    intake.finish()
                    removed += intake.tally.stored[Stored.NEW] - before
                    with index.writing() as connection:
                        connection.execute(update(SeriesRow).values(state=SeriesState.READY))
        finally:
            ending.set()
            thread.join(20)
    assert removed > 8  # the series has gone and come back
    found = {path.relative_to(archive.root).as_posix() for path in archive.files()}
    with index.reading() as connection:
        assert set(connection.scalars(select(InstanceRow.path))) == found
    index.close()
    journal.close()


def fast_clock(start: float) -> float:
    """Seconds since 1970, a million times as fast."""
    return start + (time.time() - start) * 1e6
