"""The clients that people have: Orthanc as a peer, and pynetdicom's own programs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.core.settings.model import PeerSettings
from tests.integration.queryable import (  # noqa: F401
    CT,
    EXPLICIT,
    Queryable,
    careless_peers,
    collected,
    instance,
)
from tests.running import eventually, free_port

pytestmark = careless_peers

STUDY = "StudyInstanceUID=1.9"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Queryable]:
    made = Queryable(tmp_path / "node")
    for number in range(3):
        made.store(instance(1, number))
    yield made.start()
    made.close()


@dataclass
class Orthanc:
    """An Orthanc that knows the node, and that the node knows."""

    http: httpx.Client
    dicom_port: int

    def instances(self) -> set[str]:
        found = self.http.get("/instances", params={"expand": ""}).json()
        return {one["MainDicomTags"]["SOPInstanceUID"] for one in found}


@pytest.fixture
def orthanc(node: Queryable, tmp_path: Path) -> Iterator[Orthanc]:
    program = shutil.which("Orthanc", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("needs Orthanc (apt-get install orthanc)")
    dicom_port, http_port = free_port(), free_port()
    folder = tmp_path / "orthanc"
    folder.mkdir()
    config = folder / "orthanc.json"
    config.write_text(
        json.dumps(
            {
                "StorageDirectory": str(folder),
                "IndexDirectory": str(folder),
                "DicomPort": dicom_port,
                "DicomAet": "ORTHANC",
                "HttpPort": http_port,
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": False,
                "DicomModalities": {"rasnode": ["RASNODE", "127.0.0.1", node.port]},
            }
        )
    )
    node.know(PeerSettings(name="orthanc", ae_title="ORTHANC", host="127.0.0.1", port=dicom_port))
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen([program, str(config)], stdout=log, stderr=log) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{http_port}", timeout=30) as http,
    ):

        def is_up() -> bool:
            try:
                return http.get("/system").is_success
            except httpx.TransportError:
                return False

        try:
            eventually(is_up, 30, "Orthanc answers")
            yield Orthanc(http, dicom_port)
        finally:
            process.terminate()


def test_orthanc_queries_and_moves(node: Queryable, orthanc: Orthanc) -> None:
    asked = {"Level": "Study", "Query": {"PatientName": "DOE*", "StudyInstanceUID": ""}}
    query = orthanc.http.post("/modalities/rasnode/query", json=asked).json()
    answers = orthanc.http.get(f"{query['Path']}/answers", params={"expand": ""}).json()
    assert [one["0020,000d"]["Value"] for one in answers] == ["1.9"]
    moved = orthanc.http.post(f"{query['Path']}/retrieve", content="ORTHANC")
    assert moved.is_success, moved.text
    assert orthanc.instances() == {f"1.7.1.{number}" for number in range(3)}


def test_orthanc_stores(node: Queryable, orthanc: Orthanc) -> None:
    sent = instance(5, 1)
    buffer = BytesIO()
    sent.file_meta = Dataset()
    sent.file_meta.TransferSyntaxUID = EXPLICIT
    sent.save_as(buffer, enforce_file_format=True)
    uploaded = orthanc.http.post("/instances", content=buffer.getvalue()).json()
    stored = orthanc.http.post("/modalities/rasnode/store", json=[uploaded["ID"]])
    assert stored.is_success, stored.text
    (kept,) = node.archive.root.rglob("1.7.5.1.dcm")
    assert dcmread(kept).SOPInstanceUID == "1.7.5.1"


def test_the_node_moves_to_orthanc(node: Queryable, orthanc: Orthanc, tmp_path: Path) -> None:
    app(node, "movescu", "-aet", "TESTER", "-aem", "ORTHANC", *study_keys(), cwd=tmp_path)
    assert orthanc.instances() == {f"1.7.1.{number}" for number in range(3)}


def study_keys() -> list[str]:
    return ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", STUDY]


def app(node: Queryable, name: str, *options: str, cwd: Path, files: tuple[str, ...] = ()) -> str:
    """One of pynetdicom's programs, against the node."""
    command = [sys.executable, "-m", "pynetdicom", name, "127.0.0.1", str(node.port), *files]
    done = subprocess.run(
        [*command, "-aec", "RASNODE", *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_pynetdicom_finds_and_gets(node: Queryable, tmp_path: Path) -> None:
    said = app(node, "findscu", "-v", *study_keys(), "-k", "PatientName=", cwd=tmp_path)
    assert "Doe^John" in said
    app(node, "getscu", "--output-directory", str(tmp_path / "got"), *study_keys(), cwd=tmp_path)
    got = [dcmread(path, force=True) for path in (tmp_path / "got").iterdir()]
    assert {one.SOPInstanceUID for one in got} == {f"1.7.1.{number}" for number in range(3)}


def test_pynetdicom_echoes_and_stores(node: Queryable, tmp_path: Path) -> None:
    app(node, "echoscu", cwd=tmp_path)
    sent = instance(6, 1, CT)
    sent.file_meta = Dataset()
    sent.file_meta.TransferSyntaxUID = EXPLICIT
    sent.save_as(tmp_path / "one.dcm", enforce_file_format=True)
    app(node, "storescu", cwd=tmp_path, files=("one.dcm",))
    assert len(list(node.archive.root.rglob("1.7.6.1.dcm"))) == 1
