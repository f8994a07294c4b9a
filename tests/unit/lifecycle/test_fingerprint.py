"""Volumes are the same if their voxels and what is told of them are, however compressed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from node.lifecycle.assembly.fingerprint import fingerprint

VOXELS = bytes(range(256)) * 40
FILES = ("x.nii.gz", "x.json", "x.manifest.json")


def volume(folder: Path, voxels: bytes = VOXELS, level: int = 1, **manifest: Any) -> str:
    folder.mkdir()
    (folder / "x.nii.gz").write_bytes(gzip.compress(voxels, level, mtime=0))
    (folder / "x.json").write_text("{}")
    told = {"image": "x.nii.gz", "sha256": str(level), "revision": 1, "affine": [1.0], **manifest}
    (folder / "x.manifest.json").write_text(json.dumps(told))
    return fingerprint(folder, FILES)


def test_compression_and_occasion_make_no_difference(tmp_path: Path) -> None:
    first = volume(tmp_path / "a")
    assert (tmp_path / "a" / "x.nii.gz").read_bytes() != gzip.compress(VOXELS, 9, mtime=0)
    assert volume(tmp_path / "b", level=9) == first
    assert volume(tmp_path / "c", revision=2, verdict="complete") == first


def test_voxels_and_affine_make_one(tmp_path: Path) -> None:
    first = volume(tmp_path / "a")
    assert volume(tmp_path / "b", VOXELS[:-1] + b"\0") != first
    assert volume(tmp_path / "c", VOXELS + b"\0") != first
    assert volume(tmp_path / "d", affine=[2.0]) != first


def test_an_image_that_is_not_compressed_counts_by_its_digest(tmp_path: Path) -> None:
    first = volume(tmp_path / "a", image="x.nii")
    assert volume(tmp_path / "b", image="x.nii", level=9) != first


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    volume(tmp_path / "a")
    (tmp_path / "a" / "x.nii.gz").unlink()
    with pytest.raises(FileNotFoundError):
        fingerprint(tmp_path / "a", FILES)
