"""Files are replaced whole, with the node's permissions, or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from node.core.system.disk import ensure_folder, open_lock_file, replace_file


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"an older and longer one")
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert mode(path) & ~0o640 == 0
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def failing(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", failing)
    with pytest.raises(OSError, match="No space"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_folders_and_locks_are_not_for_others_on_the_machine(tmp_path: Path) -> None:
    ensure_folder(tmp_path / "a" / "b")
    ensure_folder(tmp_path / "a" / "b")
    os.close(open_lock_file(tmp_path / "lock"))
    assert mode(tmp_path / "a" / "b") & ~0o750 == 0
    assert mode(tmp_path / "lock") & ~0o640 == 0
