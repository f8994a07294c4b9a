"""A cohort fetched by list while the node is killed and the PACS restarted: Orthanc and dcmqrscp.

A few studies of dcmqrscp in CI; `RASNODE_PULL_STUDIES=300 pytest tests/chaos/test_pull.py` is a
cohort.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from benchmarks.instances import renewed, series, write
from tests.running import TITLE, RunningNode, dcmtk, eventually, free_port

WANTED = os.environ.get("RASNODE_PULL_STUDIES")
STUDIES = int(WANTED or "6")
SLICES = 8
KILLS = 5 if STUDIES >= 100 else 1
RESTARTS = 2 if STUDIES >= 100 else 1


class _Process:
    """A program on a port, started and killed."""

    def __init__(self, folder: Path, title: str) -> None:
        self.folder = folder
        self.title = title
        self.port = free_port()
        self.log = folder / "pacs.log"
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, command: list[str]) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(self._answers, 60, f"{self.title} listens")

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
            self.process = None


class OrthancPacs(_Process):
    def __init__(self, folder: Path, node_port: int) -> None:
        super().__init__(folder, "ORTHANC")
        program = shutil.which("Orthanc", path="/usr/sbin:/usr/bin")
        if program is None:
            pytest.skip("needs Orthanc (apt-get install orthanc)")
        self._program = program
        self._config = folder / "orthanc.json"
        self._config.write_text(
            json.dumps(
                {
                    "StorageDirectory": str(folder / "db"),
                    "IndexDirectory": str(folder / "db"),
                    "StorageCompression": False,
                    "DicomPort": self.port,
                    "DicomAet": self.title,
                    "HttpServerEnabled": False,
                    "DicomAlwaysAllowFind": True,
                    "DicomAlwaysAllowMove": True,
                    "DicomModalities": {"node": [TITLE, "127.0.0.1", node_port]},
                }
            )
        )

    def start(self) -> None:
        self.run([self._program, str(self._config)])

    def lose(self, sop_instance_uid: str) -> None:
        for path in (self.folder / "db").glob("??/??/*"):
            if sop_instance_uid.encode() in path.read_bytes():
                path.unlink()


class DcmqrscpPacs(_Process):
    def __init__(self, folder: Path, node_port: int) -> None:
        super().__init__(folder, "QRSCP")
        self._db = folder / "db"
        self._db.mkdir()
        self._config = folder / "dcmqrscp.cfg"
        self._config.write_text(
            "MaxPDUSize = 16384\nMaxAssociations = 16\n"
            f"HostTable BEGIN\nnode = ({TITLE}, 127.0.0.1, {node_port})\nHostTable END\n"
            "VendorTable BEGIN\nVendorTable END\n"
            f"AETable BEGIN\n{self.title} {self._db} RW (1000, 1024mb) ANY\nAETable END\n"
        )

    def start(self) -> None:
        command = [dcmtk("dcmqrscp"), "-c", str(self._config), str(self.port)]
        self.run(command)

    def lose(self, sop_instance_uid: str) -> None:
        for path in self._db.glob("*.dcm"):
            if dcmread(path, stop_before_pixels=True).SOPInstanceUID == sop_instance_uid:
                path.unlink()


KINDS: dict[str, Callable[[Path, int], Any]] = {"orthanc": OrthancPacs, "dcmqrscp": DcmqrscpPacs}


def cohort(folder: Path) -> dict[str, list[str]]:
    """Studies as files: Study Instance UID -> SOP Instance UIDs."""
    images: list[Dataset] = series(SLICES, 32)
    found = {}
    for number in range(STUDIES):
        renewed(images)
        write(images, folder / f"{number:04d}")
        found[str(images[0].StudyInstanceUID)] = [str(one.SOPInstanceUID) for one in images]
    return found


@contextmanager
def world(kind: str, tmp_path: Path) -> Iterator[tuple[Any, RunningNode, dict[str, list[str]]]]:
    """A PACS with a cohort, and a node that knows it."""
    (tmp_path / "pacs").mkdir()
    (tmp_path / "node").mkdir()
    node_port = free_port()
    pacs = KINDS[kind](tmp_path / "pacs", node_port)
    peer = {"name": "pacs", "ae_title": pacs.title, "host": "127.0.0.1", "port": pacs.port}
    node = RunningNode(
        tmp_path / "node",
        {"dicom": {"port": node_port, "peers": [peer]}, "completion": {"quiet_seconds": 1}},
    )
    studies = cohort(tmp_path / "files")
    pacs.start()
    try:
        send = [dcmtk("storescu"), "-aec", pacs.title, "+sd", "+r", "127.0.0.1", str(pacs.port)]
        subprocess.run([*send, str(tmp_path / "files")], check=True, capture_output=True)
        yield pacs, node.start(), studies
    finally:
        node.kill()
        pacs.stop()


@pytest.mark.timeout(120 + 10 * STUDIES)
@pytest.mark.parametrize("kind", list(KINDS) if WANTED else ["dcmqrscp"])
def test_a_cohort_survives_kills_and_restarts(kind: str, tmp_path: Path) -> None:
    with world(kind, tmp_path) as (pacs, node, studies):
        unlucky, lost = next(reversed(studies)), studies[next(reversed(studies))][3]
        pacs.stop()
        pacs.lose(lost)
        pacs.start()
        listed = tmp_path / "list.csv"
        listed.write_text("\n".join(["StudyInstanceUID", *studies]) + "\n")
        node.rasnode("pull", "pacs", "--list", str(listed), "--name", "cohort", "--detach")
        total = STUDIES * SLICES
        finished: dict[str, float] = {}
        for step in range(KILLS + RESTARTS):
            share = (step + 1) / (KILLS + RESTARTS + 1)
            eventually(lambda share=share: held(node) >= share * total, 300, "it goes on")
            finished.update(complete(node, finished))
            if step % 3 == 2 or step >= KILLS:
                pacs.stop()
                time.sleep(1.0)
                pacs.start()
            else:
                node.kill()
                node.start()
        job = eventually(lambda: over(node), 60 + 5 * STUDIES, "the job is over")
        here = [one["sop_instance_uid"] for one in node.instances()]
        assert len(here) == len(set(here)), "an instance is there twice"
        states = {one["query"]["StudyInstanceUID"]: one for one in job["items"]}
        if any(one["state"] == "failed" for uid, one in states.items() if uid != unlucky):
            node.rasnode("pulls", "cohort", "--retry")
            job = eventually(lambda: over(node), 60 + 5 * STUDIES, "the retry is over")
            states = {one["query"]["StudyInstanceUID"]: one for one in job["items"]}
        here = [one["sop_instance_uid"] for one in node.instances()]
        for uid, item in states.items():
            assert item["state"] == ("incomplete" if uid == unlucky else "complete"), item
        assert set(here) == {uid for uids in studies.values() for uid in uids} - {lost}
        assert states[unlucky]["studies"][0]["missing"] == [lost]
        assert not came_again(node, finished), "a finished study was fetched again"
        report = tmp_path / "report.csv"
        node.rasnode("pulls", "cohort", "--report", str(report))
        assert report.read_text().count(lost) == 1


def held(node: RunningNode) -> int:
    """How many instances the node has."""
    return len(node.instances())


def complete(node: RunningNode, before: dict[str, float]) -> dict[str, float]:
    """When the studies were known to be complete that were not before."""
    job = json.loads(node._said("pulls", "cohort", "--json"))
    return {
        one["query"]["StudyInstanceUID"]: time.time()
        for one in job["items"]
        if one["state"] == "complete" and one["query"]["StudyInstanceUID"] not in before
    }


def over(node: RunningNode) -> dict[str, Any] | None:
    """The job, once it is over."""
    job: dict[str, Any] = json.loads(node._said("pulls", "cohort", "--json"))
    return job if job["state"] in {"done", "failed"} else None


def came_again(node: RunningNode, finished: dict[str, float]) -> list[str]:
    """Finished studies of which something came again, by the associations that carried them."""
    query = (
        "SELECT study.uid, max(association.opened_at) FROM arrival"
        " JOIN association ON association.id = arrival.association_pk"
        " JOIN series ON series.id = arrival.series_pk"
        " JOIN study ON study.id = series.study_pk GROUP BY study.uid"
    )
    with sqlite3.connect(f"file:{node.root / 'index.db'}?mode=ro", uri=True) as connection:
        return [
            uid
            for uid, opened in connection.execute(query)
            if uid in finished and opened > finished[uid]
        ]
