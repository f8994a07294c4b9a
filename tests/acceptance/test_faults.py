"""kill -9 at every step of assembly and delivery; after a restart all is as if it had not been."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from node.core.events import DeliveryState
from node.core.fault_points import VARIABLE
from tests.hooks import Receiver, listening
from tests.running import configured, eventually, manifests
from tests.small import small_ct

EARLY = [
    "decided-settled",
    "assembly-started",
    "assembly-ended",
]
REVISION = [
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


class Fragile:
    """A node that dies at the fault point that is named to it, and whoever listens to it."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        target = {"name": "hook", "webhook": {"url": receiver.url}}
        self.folder = folder
        self.receiver = receiver
        self.node = configured(folder, [target], completion={"quiet_seconds": 0.4})
        self.armed = folder / "armed"
        self.arm("")
        self.start()

    def start(self) -> None:
        """Start, and wait until all of it runs."""
        log = self.node.log
        before = log.read_text().count("listening on") if log.exists() else 0
        self.node.start({VARIABLE: str(self.armed)})
        eventually(lambda: log.read_text().count("listening on") > before, 30, "it has started")

    def arm(self, point: str) -> None:
        """Die when you come to this point; at none if it is empty."""
        self.armed.write_text(point)

    def die_at(self, point: str, *sent: Path) -> None:
        """Send, wait until the node has killed itself, and start it anew."""
        self.arm(point)
        # Without proof the node waits for the release, and the sender ends in good order.
        self.node.send(*sent)
        process = self.node.process
        assert process is not None
        eventually(lambda: process.poll() is not None, 60, f"the node comes to {point}")
        assert process.returncode == -signal.SIGKILL
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        self.arm("")
        self.start()

    def whole(self, uid: str, slices: int, revision: int) -> None:
        """One revision is visible, and its manifest speaks of the files beside it."""
        found = {one["series_instance_uid"]: one for one in self.node.settle(60, states=["ready"])}
        assert (found[uid]["revision"], found[uid]["instances"]) == (revision, slices)
        ((path, manifest),) = [
            (path, content)
            for path in manifests(self.node)
            if (content := json.loads(path.read_bytes()))["series_instance_uid"] == uid
        ]
        assert manifest["revision"] == revision
        assert manifest["shape"] == [32, 32, slices]
        assert sorted(Path(name).name for name in found[uid]["outputs"]) == sorted(
            item.name for item in path.parent.iterdir() if ".manifest.r" not in item.name
        )
        image = (path.parent / manifest["image"]).read_bytes()
        assert hashlib.sha256(image).hexdigest() == manifest["sha256"]
        staged = self.node.root / "nifti" / ".staging"
        assert [item.name for item in staged.iterdir()] == []

    def told(self, uid: str, expected: list[tuple[str, int]]) -> None:
        """Every delivery of a series is made, in order, each under one key however often."""

        def came() -> list[dict[str, Any]]:
            return [item for item in self.receiver.came if item["series_instance_uid"] == uid]

        def events() -> list[tuple[str, int]]:
            first = {item["key"]: (item["event"], item["revision"]) for item in came()}
            return [first[key] for key in dict.fromkeys(item["key"] for item in came())]

        eventually(lambda: len(events()) >= len(expected), 30, "the deliveries are made")
        assert events() == expected
        # The hook hears of it before the node notes that: what dies later must not die there.
        eventually(lambda: not self._pending(), 30, "the deliveries are noted")

    def _pending(self) -> int:
        index = self.node.root / "index.db"
        with closing(sqlite3.connect(f"file:{index}?mode=ro", uri=True)) as connection:
            ((count,),) = connection.execute(
                "SELECT count(*) FROM delivery WHERE state = ?", [DeliveryState.PENDING]
            )
        return int(count)


def killed_at_each(points: list[str], folder: Path) -> None:
    """A series for each point: its first revision is interrupted there, then its second."""
    with listening() as receiver:
        fragile = Fragile(folder, receiver)
        try:
            for point in points:
                paths = small_ct(folder / point, 6, announced=False, description=point)
                uid = str(dcmread(paths[0], stop_before_pixels=True).SeriesInstanceUID)
                fragile.die_at(point, *paths[:5])
                fragile.whole(uid, 5, 1)
                fragile.told(uid, [("ready", 1)])
                if point in EARLY:
                    continue
                fragile.die_at(point, paths[5])
                fragile.whole(uid, 6, 2)
                fragile.told(uid, [("ready", 1), ("superseded", 2), ("ready", 2)])
                kept = list((fragile.node.root / "nifti").rglob("*.manifest.r1.json"))
                assert len(kept) == len(points[: points.index(point) + 1]) - len(
                    set(EARLY) & set(points)
                )
        finally:
            fragile.node.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    "points", [[*EARLY, *REVISION[:5]], REVISION[5:]], ids=["until the files", "after the files"]
)
def test_every_step_of_assembly_and_delivery(points: list[str], tmp_path: Path) -> None:
    killed_at_each(points, tmp_path)


@pytest.mark.slow
def test_a_worker_that_dies_each_time_fails_the_series_and_not_the_node(tmp_path: Path) -> None:
    with listening() as receiver:
        fragile = Fragile(tmp_path, receiver)
        node = fragile.node
        try:
            for number, point in enumerate(("worker-started", "worker-done"), start=1):
                fragile.arm(point)
                node.send(*small_ct(tmp_path / point, 5, announced=True, description=point))
                failed = [one for one in node.settle(60) if one["state"] == "failed"]
                assert len(failed) == 1
                assert "worker-died" in failed[0]["why"]
                fragile.arm("")
                node.rasnode("retry", failed[0]["series_instance_uid"])
                fragile.whole(failed[0]["series_instance_uid"], 5, 1)
                assert len(manifests(node)) == number
        finally:
            node.kill()


@pytest.mark.slow
def test_a_decision_to_hold(tmp_path: Path) -> None:
    paths = small_ct(tmp_path / "ct", 6, announced=True)
    with listening() as receiver:
        fragile = Fragile(tmp_path, receiver)
        try:
            fragile.die_at("decided-held", *paths[:2], *paths[3:])
            (held,) = fragile.node.settle(60, states=["held"])
            assert "5 mm" in json.dumps(held["evidence"])
            fragile.node.send(paths[2])
            fragile.whole(held["series_instance_uid"], 6, 1)
        finally:
            fragile.node.kill()
