"""The page of a running node: from a C-STORE to a picture, and what browsers make of it."""

from __future__ import annotations

import copy
import io
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from node.cli.demo.phantom import Study, ct_study
from node.dimse.scu.requests import Destination, PeerSilent, send
from tests.running import TITLE, RunningNode, eventually, free_port

HOSTILE = "<img src=x onerror=document.title='owned'>"


@dataclass
class Served:
    """A node with one series of hostile text, and its page."""

    node: RunningNode
    page: httpx.Client
    study: Study

    def series(self) -> dict[str, Any]:
        found = self.page.get(f"/api/series/{self.study.series_uid}")
        return found.json() if found.status_code == 200 else {}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    port = free_port()
    settings = {"http": {"port": port}, "completion": {"quiet_seconds": 1}}
    node = RunningNode(tmp_path_factory.mktemp("web"), settings)
    study = ct_study(datetime(2025, 3, 4, 9, 30, 0), (24, 20, 6))  # noqa: DTZ001  local time
    for image in study.data_sets:
        image.SeriesDescription = HOSTILE
        image.PatientName = "SECRET^PERSON"
    try:
        node.start()
        images = study.data_sets
        contexts = {(str(images[0].SOPClassUID), str(images[0].file_meta.TransferSyntaxUID))}
        send(Destination("127.0.0.1", node.port, TITLE, "TESTS"), images, contexts)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as page:
            made = Served(node, page, study)
            eventually(lambda: made.series().get("state") == "ready", 60, "the series is ready")
            yield made
    finally:
        node.kill()


def test_the_series_tells_how_it_came(served: Served) -> None:
    series = served.series()
    assert series["instances"] == 6
    assert series["revision"] == 1
    (arrival,) = series["arrivals"]
    assert (arrival["calling_ae"], arrival["end"], arrival["instances"]) == ("TESTS", "released", 6)
    assert series["evidence"]
    assert [step["to_state"] for step in series["history"]][-1] == "ready"
    assert {".nii.gz", ".json", ".png", ".manifest.json"} == {
        file["ending"] for file in series["files"]
    }


def test_what_receivers_count_is_in_the_metrics(served: Served) -> None:
    (image, *_) = served.study.data_sets
    image = copy.deepcopy(image)
    del image.SeriesInstanceUID
    contexts = {(str(image.SOPClassUID), str(image.file_meta.TransferSyntaxUID))}
    with pytest.raises(PeerSilent, match="0xC000"):
        send(Destination("127.0.0.1", served.node.port, TITLE, "TESTS"), [image], contexts)

    def counted() -> bool:
        lines = served.page.get("/metrics").text.splitlines()
        return {
            'rasnode_refusals_total{status="0xC000"} 1.0',
            'rasnode_instances_total{outcome="new"} 6.0',
            'rasnode_assembly_seconds_count{state="ready"} 1.0',
        } <= set(lines)

    eventually(counted, 10, "the refusal and the instances are counted")
    assert "SECRET" not in served.page.get("/metrics").text


def test_what_the_viewer_draws_is_what_was_scanned(served: Served) -> None:
    (volume,) = [file["volume"] for file in served.series()["files"] if file["volume"]]
    view = served.page.get(volume).json()
    affine = np.array(view["affine"])
    base = volume.split("?")[0]
    asked = {"axis": 2, "index": 3, "low": -1000, "high": 1550}
    drawn = np.asarray(
        Image.open(io.BytesIO(served.page.get(f"{base}/slice", params=asked).content))
    )
    for i, j in ((3, 5), (12, 10), (20, 17)):
        place = affine @ np.array([i, j, 3, 1.0])
        truth = served.study.truth(tuple(np.array([each]) for each in place[:3]), 0)[0]
        shown = drawn[view["shape"][1] - 1 - j, view["shape"][0] - 1 - i] * 10.0 - 1000
        assert abs(shown - np.clip(truth, -1000, 1550)) < 12
        voxel = served.page.get(f"{base}/voxel", params={"i": i, "j": j, "k": 3}).json()
        assert abs(voxel["value"][0] - truth) < 1
        source = next(
            image for image in served.study.data_sets if image.SOPInstanceUID == voxel["source"]
        )
        axes = np.array(source.ImageOrientationPatient, float).reshape(2, 3)
        normal = np.cross(*axes)
        origin = np.array(source.ImagePositionPatient, float)
        lps = np.array([-place[0], -place[1], place[2]])
        assert abs(normal @ (lps - origin)) < 0.01


def test_health_of_a_running_node(served: Served) -> None:
    answer = served.page.get("/health")
    found = answer.json()
    assert (answer.status_code, found["healthy"], found["faults"]) == (200, True, {})
    assert {"watcher", "receiver", "ingester", "ingester: ingest", "receiver: DICOM port"} <= set(
        found["heartbeats"]
    )
    assert max(found["heartbeats"].values()) < 5


def test_nothing_anywhere_tells_the_patient(served: Served) -> None:
    uid = served.study.series_uid
    for url in ("/", "/metrics", "/api/series", f"/api/series/{uid}", "/api/node"):
        assert "SECRET" not in served.page.get(url).text, url


def chromium(url: str, folder: Path, *options: str) -> str:
    """The page's DOM after its scripts have run."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs chromium")
    return subprocess.run(
        [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={folder}", "--virtual-time-budget=8000",
            "--dump-dom", *options, url,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout  # fmt: skip


def test_a_browser_shows_hostile_text_as_text(served: Served, tmp_path: Path) -> None:
    base = str(served.page.base_url)
    uid = served.study.series_uid
    for url in (f"{base}/", f"{base}/series/{uid}"):
        shown = chromium(url, tmp_path / re.sub(r"\W", "", url))
        assert "&lt;img src=x" in shown
        assert '<img src="x"' not in shown
        assert "<title>owned" not in shown


def test_a_browser_shows_three_planes(served: Served, tmp_path: Path) -> None:
    url = f"{served.page.base_url}/series/{served.study.series_uid}"
    shown = chromium(url, tmp_path / "profile")
    assert shown.count("<canvas") == 3
    for name in ("axial", "coronal", "sagittal"):
        assert f'aria-label="{name} slice"' in shown
    assert "24 × 20 × 6 voxels" in shown
    assert "R A S (" in shown
    assert "from instance" in shown


def test_status_and_page_agree(served: Served) -> None:
    (said,) = served.node.series()
    shown = served.series()
    assert json.loads(json.dumps(said["outputs"])) == [file["path"] for file in shown["files"]]
    assert said["state"] == shown["state"]
