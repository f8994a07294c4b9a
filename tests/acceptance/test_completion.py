"""Completion and delivery with a real node, real sockets and a real sender."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import pytest

from tests.running import RunningNode, eventually, manifests, shared
from tests.small import small_ct


def warmed_up(node: RunningNode, folder: Path) -> RunningNode:
    """A node that is past its start: its processes have worked once."""
    node.send(*small_ct(folder / "first", 3, announced=True))
    eventually(lambda: manifests(node), 20, "the first volume is there")
    for path in manifests(node):
        path.unlink()
    return node


def wait_for_manifest(node: RunningNode, seconds: float) -> dict[str, Any]:
    (path,) = eventually(lambda: manifests(node), seconds, "a manifest is there")
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


@pytest.fixture
def quick(tmp_path: Path) -> RunningNode:
    """A node that gives up waiting soon."""
    return RunningNode(tmp_path, {"completion": {"quiet_seconds": 0.4}})


def test_a_series_with_proof_is_a_volume_within_two_seconds(
    node: RunningNode, tmp_path: Path
) -> None:
    paths = small_ct(tmp_path / "ct", 60, announced=True)
    warmed_up(node, tmp_path).send(*paths)
    sent = time.monotonic()
    manifest = wait_for_manifest(node, 2.0)
    assert time.monotonic() - sent < 2.0
    assert (manifest["verdict"], manifest["revision"]) == ("complete", 1)


def test_a_time_series_of_the_corpus_with_proof(node: RunningNode, tmp_path: Path) -> None:
    source = shared("corpus/ge-multiphase-dwi/SliceTimingMPh/2_fMRI_Multiphase_Des")
    warmed_up(node, tmp_path).send(*sorted(source.glob("*.dcm")))
    manifest = wait_for_manifest(node, 2.0)
    assert manifest["verdict"] == "complete"
    assert manifest["shape"][3] == 10


def test_without_proof_it_takes_the_quiet_time_and_no_more(
    node: RunningNode, tmp_path: Path
) -> None:
    warmed_up(node, tmp_path).send(*small_ct(tmp_path / "ct", 20, announced=False))
    sent = time.monotonic()
    manifest = wait_for_manifest(node, 8.0)
    assert time.monotonic() - sent > 4.5
    assert manifest["verdict"] == "unknown"


def test_a_withheld_slice_is_named_held_and_taken_when_it_comes(
    quick: RunningNode, tmp_path: Path
) -> None:
    paths = small_ct(tmp_path / "ct", 30, announced=True)
    node = quick.start()
    try:
        node.send(*paths[:11], *paths[12:])
        (held,) = node.settle(60, states=["held"])
        assert held["verdict"] == "incomplete"
        assert "27.5 mm" in json.dumps(held["evidence"])
        assert manifests(node) == []

        node.send(paths[11])
        sent = time.monotonic()
        manifest = wait_for_manifest(node, 2.0)
        assert time.monotonic() - sent < 2.0
        assert (manifest["verdict"], manifest["revision"]) == ("complete", 1)
        image = nib.load(manifests(node)[0].with_name(manifest["image"]))
        assert image.shape == (32, 32, 30)
    finally:
        node.kill()


def test_a_person_forces_a_series_and_the_history_knows(quick: RunningNode, tmp_path: Path) -> None:
    paths = small_ct(tmp_path / "ct", 30, announced=True)
    node = quick.start()
    try:
        node.send(*paths[:29])  # the tail is lost: a regular stack, but fewer than announced
        (held,) = node.settle(60, states=["held"])
        node.rasnode("force", held["series_instance_uid"])
        manifest = wait_for_manifest(node, 10.0)
        assert (manifest["verdict"], manifest["shape"]) == ("incomplete", [32, 32, 29])
        assert node.rasnode("retry", "1.2.3", check=False).returncode == 1
    finally:
        node.kill()
