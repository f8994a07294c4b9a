"""The archive keeps bytes as they came, under names that survive, and nothing half-written."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydicom import dcmread

from node.core.errors import StorageFull
from node.storage.archive import Archive, ArchivedFile, file_meta, meta_length
from node.storage.ingest.archive_writer import ArchiveWriter
from node.storage.ingest.registration import Registration

DATA_SET = b"\x08\x00\x18\x00UI\x06\x001.2.3\x00" * 50
CLASS = "1.2.840.10008.5.1.4.1.1.4"
META = file_meta(CLASS, "1.2.3", "1.2.840.10008.1.2.1", "SCANNER")


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    made = Archive(tmp_path)
    made.prepare()
    return made


def place(
    archive: Archive,
    data_set: bytes = DATA_SET,
    uid: str = "1.2.3",
    known: Mapping[str, tuple[str, str]] | None = None,
    *,
    anew: bool = False,
) -> ArchivedFile:
    digest = hashlib.sha256(data_set).hexdigest()
    registration = Registration(CLASS, uid, "1.9", "1.8", digest, None, None, {}, b"")
    writer = ArchiveWriter(archive, lambda _uid: known or {})
    return writer.write(registration, "1.2.840.10008.1.2.1", META, data_set, None, anew=anew)


def test_the_data_set_is_kept_byte_for_byte_behind_its_meta_information(archive: Archive) -> None:
    placed = place(archive)
    content = archive.path(placed.path).read_bytes()
    assert content[placed.data_set_offset :] == DATA_SET
    assert meta_length(content) == placed.data_set_offset
    assert placed.size == len(content)


def test_the_meta_information_says_what_it_is_and_who_sent_it(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(META)
    meta = dcmread(path).file_meta
    assert meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.4"
    assert meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert meta.SourceApplicationEntityTitle == "SCANNER"


def test_the_same_bytes_again_share_the_first_name(archive: Archive) -> None:
    first, second = place(archive), place(archive)
    assert (first.fresh, second.fresh) == (True, False)
    assert first.path == second.path
    assert second.data_set_offset == first.data_set_offset


def test_other_bytes_under_one_uid_are_kept_beside_never_over(archive: Archive) -> None:
    first = place(archive)
    other = place(archive, DATA_SET + b"x" * 10)
    assert other.path != first.path
    assert archive.path(first.path).read_bytes().endswith(DATA_SET)
    assert archive.path(other.path).read_bytes().endswith(DATA_SET + b"x" * 10)


def test_what_is_in_flight_is_found_but_for_imports_that_are_under_way(
    archive: Archive, tmp_path: Path
) -> None:
    place(archive)
    parts = [archive.new_part(), Archive(tmp_path, 64).new_part(), Archive(tmp_path, 65).new_part()]
    for part in parts:
        part.write_bytes(DATA_SET)
    assert set(archive.in_flight()) == set(parts)
    assert set(archive.in_flight(but={65})) == set(parts[:2])
    archive.drop_import(65)
    assert set(archive.in_flight()) == set(parts[:2])


def test_files_and_folders_are_not_for_others(archive: Archive, tmp_path: Path) -> None:
    place(archive)
    loose = [p for p in tmp_path.rglob("*") if stat.S_IMODE(p.stat().st_mode) & 0o007]
    assert loose == []


def test_a_failing_disk_leaves_nothing_behind(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "writev", fail)
        with pytest.raises(StorageFull, match="Input/output error"):
            place(archive)
    assert list(archive.in_flight()) == []
    assert list(archive.files()) == []


@pytest.mark.parametrize("number", [errno.EROFS, errno.EDQUOT, errno.EIO, errno.ENOSPC])
def test_a_disk_that_takes_nothing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    archive = Archive(tmp_path)
    archive.prepare()
    archive.check_writable()
    before = sorted(tmp_path.rglob("*"))

    def fails(_handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fdatasync", fails)
    with pytest.raises(StorageFull, match=os.strerror(number)):
        archive.check_writable()
    assert sorted(tmp_path.rglob("*")) == before


def test_studies_are_not_kept_near_each_other_where_the_file_system_can_tell(
    tmp_path: Path,
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    try:
        able = subprocess.run(["chattr", "+T", other], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs chattr (e2fsprogs)")
    archive = Archive(tmp_path)
    archive.prepare()
    if able.returncode:
        pytest.skip("this file system has no such attribute")
    said = subprocess.run(
        ["lsattr", "-d", archive.root], capture_output=True, text=True, check=True
    )
    assert "T" in said.stdout.split()[0]
