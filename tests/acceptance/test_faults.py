"""kill -9 at every step of assembly and delivery; after a restart all is as if it had not been."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from node.faults import VARIABLE
from tests.hooks import Receiver, listening
from tests.running import RunningNode, configured, eventually, manifests
from tests.small import small_ct

FIRST_REVISION = [
    "decided-settled",
    "assembly-started",
    "assembly-ended",
    "revision-begun",
    "publish-staged",
    "publish-old-manifest-aside",
    "publish-some-files",
    "publish-all-files",
    "publish-some-manifests",
    "publish-visible",
    "revision-visible",
    "revision-finished",
    "delivery-made",
    "delivery-noted",
]
LATER_REVISION = [
    "revision-begun",
    "publish-old-manifest-aside",
    "publish-some-files",
    "publish-all-files",
    "publish-visible",
    "revision-visible",
    "delivery-made",
]


def delivering(folder: Path, receiver: Receiver) -> RunningNode:
    target = {"name": "hook", "webhook": {"url": receiver.url}}
    return configured(folder, [target], completion={"quiet_seconds": 0.4})


def died(node: RunningNode) -> None:
    """Wait until the node has killed itself, and end what it leaves behind."""
    process = node.process
    assert process is not None
    eventually(lambda: process.poll() is not None, 60, "the node comes to the fault point")
    assert process.returncode == -signal.SIGKILL
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def started_anew(node: RunningNode) -> None:
    """Start again, and wait until all of it runs."""
    before = node.log.read_text().count("listening on")
    node.start()
    eventually(lambda: node.log.read_text().count("listening on") > before, 30, "it has started")


def whole(node: RunningNode, slices: int, revision: int) -> None:
    """One revision is visible, and its manifest speaks of the files beside it."""
    (found,) = node.settle(60, states=["ready"])
    assert (found["revision"], found["instances"]) == (revision, slices)
    (path,) = manifests(node)
    manifest = json.loads(path.read_bytes())
    assert manifest["revision"] == revision
    assert manifest["shape"] == [32, 32, slices]
    assert sorted(Path(name).name for name in found["outputs"]) == sorted(
        item.name for item in path.parent.iterdir() if ".manifest.r" not in item.name
    )
    image = (path.parent / manifest["image"]).read_bytes()
    assert hashlib.sha256(image).hexdigest() == manifest["sha256"]
    assert [item.name for item in (node.root / "nifti" / ".staging").iterdir()] == []


def keys(receiver: Receiver) -> dict[tuple[str, int], set[str]]:
    found: dict[tuple[str, int], set[str]] = {}
    for item in receiver.came:
        found.setdefault((item["event"], item["revision"]), set()).add(item["key"])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("point", FIRST_REVISION)
def test_the_first_revision(tmp_path: Path, point: str) -> None:
    with listening() as receiver:
        node = delivering(tmp_path, receiver)
        try:
            node.start({VARIABLE: point})
            # Without proof the node waits for the release, and the sender ends in good order.
            node.send(*small_ct(tmp_path / "ct", 5, announced=False))
            died(node)
            started_anew(node)
            whole(node, 5, 1)
            eventually(lambda: receiver.came, 30, "the delivery is made")
            assert node.terminate() == 0
        finally:
            node.kill()
    assert [len(found) for found in keys(receiver).values()] == [1]
    assert receiver.events() == [("ready", 1)]


@pytest.mark.slow
@pytest.mark.parametrize("point", LATER_REVISION)
def test_a_later_revision(tmp_path: Path, point: str) -> None:
    paths = small_ct(tmp_path / "ct", 6, announced=False)
    with listening() as receiver:
        node = delivering(tmp_path, receiver)
        try:
            node.start()
            node.send(*paths[:5])
            whole(node, 5, 1)
            eventually(lambda: receiver.came, 30, "the first delivery is made")
            assert node.terminate() == 0
            node.start({VARIABLE: point})
            node.send(paths[5])
            died(node)
            started_anew(node)
            whole(node, 6, 2)
            eventually(lambda: len(receiver.events()) == 3, 30, "the deliveries are made")
            assert node.terminate() == 0
        finally:
            node.kill()
        kept = list((node.root / "nifti").rglob("*.manifest.r1.json"))
        assert len(kept) == 1
    assert all(len(found) == 1 for found in keys(receiver).values())
    assert receiver.events() == [("ready", 1), ("superseded", 2), ("ready", 2)]


@pytest.mark.slow
@pytest.mark.parametrize("point", ["worker-started", "worker-done"])
def test_a_worker_that_dies_each_time_fails_the_series_and_not_the_node(
    tmp_path: Path, point: str
) -> None:
    with listening() as receiver:
        node = delivering(tmp_path, receiver)
        try:
            node.start({VARIABLE: point})
            node.send(*small_ct(tmp_path / "ct", 5, announced=True))
            (failed,) = node.settle(60, states=["failed"])
            assert "worker-died" in failed["why"]
            assert node.terminate() == 0
            node.start()
            node.rasnode("retry", failed["series_instance_uid"])
            whole(node, 5, 1)
        finally:
            node.kill()


@pytest.mark.slow
def test_a_decision_to_hold(tmp_path: Path) -> None:
    paths = small_ct(tmp_path / "ct", 6, announced=True)
    with listening() as receiver:
        node = delivering(tmp_path, receiver)
        try:
            node.start({VARIABLE: "decided-held"})
            node.send(*paths[:2], *paths[3:])
            died(node)
            started_anew(node)
            (held,) = node.settle(60, states=["held"])
            assert "5 mm" in json.dumps(held["evidence"])
            node.send(paths[2])
            whole(node, 6, 1)
        finally:
            node.kill()
