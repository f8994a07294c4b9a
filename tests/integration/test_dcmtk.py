"""DCMTK's clients: findscu, storescu of every compression it makes, movescu to itself, getscu."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset

from node.core.settings.model import PeerSettings
from tests.integration.queryable import (  # noqa: F401
    EXPLICIT,
    Queryable,
    careless_peers,
    collected,
    instance,
)
from tests.running import dcmtk, free_port

pytestmark = careless_peers

SIDE = 16
STUDY = ["-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.9"]
COMPRESSIONS = [  # the tool, its options, storescu's proposal, the transfer syntax
    pytest.param("dcmcrle", [], "-xr", "1.2.840.10008.1.2.5", id="RLE"),
    pytest.param("dcmcjpeg", ["+e1"], "-xs", "1.2.840.10008.1.2.4.70", id="JPEG lossless"),
    pytest.param("dcmcjpeg", ["+eb"], "-xy", "1.2.840.10008.1.2.4.50", id="JPEG baseline"),
    pytest.param("dcmcjpls", ["+el"], "-xt", "1.2.840.10008.1.2.4.80", id="JPEG-LS"),
    pytest.param("dcmconv", ["+td"], "-xd", "1.2.840.10008.1.2.1.99", id="deflated"),
]
LOSSY = "1.2.840.10008.1.2.4.50"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Queryable]:
    made = Queryable(tmp_path / "node")
    yield made.start()
    made.close()


def image(number: int) -> Dataset:
    """An 8-bit image whose value is its place, so that each compression can carry it."""
    made = instance(1, number)
    made.Rows = made.Columns = SIDE
    made.SamplesPerPixel = 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit = 7
    made.PixelRepresentation = 0
    made.PixelData = np.arange(SIDE * SIDE, dtype=np.uint8).tobytes()
    made["PixelData"].VR = "OB"
    return made


def run(tool: str, *options: str) -> str:
    done = subprocess.run(
        [dcmtk(tool), *options], capture_output=True, text=True, check=False, timeout=60
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def client(tool: str, node: Queryable, *options: str) -> str:
    return run(tool, "-v", "-aec", "RASNODE", "127.0.0.1", str(node.port), *options)


def saved(data_set: Dataset, path: Path) -> Path:
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = EXPLICIT
    data_set.save_as(path, enforce_file_format=True)
    return path


def test_findscu_at_every_level(node: Queryable) -> None:
    for number in range(2):
        node.store(instance(1, number))
    counted = ["-k", "NumberOfStudyRelatedInstances"]
    patient = client(
        "findscu", node, "-P", "-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientName=doe*",
        "-k", "PatientID",
    )  # fmt: skip
    study = client("findscu", node, "-S", *STUDY, *counted, "-k", "StudyDate=20200101-20200131")
    series = client(
        "findscu", node, "-S", "-k", "QueryRetrieveLevel=SERIES", "-k", "StudyInstanceUID=1.9",
        "-k", "SeriesInstanceUID", "-k", "Modality=C?",
    )  # fmt: skip
    images = client(
        "findscu", node, "-S", "-k", "QueryRetrieveLevel=IMAGE", "-k", "StudyInstanceUID=1.9",
        "-k", "SeriesInstanceUID=1.8.1", "-k", "SOPInstanceUID",
    )  # fmt: skip
    assert "[P1]" in patient
    assert "Doe^John" in patient
    assert "NumberOfStudyRelatedInstances" in study
    assert "[2" in study
    assert "[1.8.1" in series  # a NUL pads it
    assert "[1.7.1.0" in images
    assert "[1.7.1.1" in images


def test_findscu_cancels(node: Queryable) -> None:
    for number in range(40):
        node.store(instance(1, number))
    said = client(
        "findscu", node, "-S", "--cancel", "1", "-k", "QueryRetrieveLevel=IMAGE",
        "-k", "StudyInstanceUID=1.9", "-k", "SeriesInstanceUID=1.8.1", "-k", "SOPInstanceUID",
    )  # fmt: skip
    assert said.count("[1.7.1.") < 40
    assert "Cancel" in said


@pytest.mark.parametrize(("tool", "options", "proposal", "syntax"), COMPRESSIONS)
def test_storescu_sends_compressed_files_and_getscu_brings_them_back(
    node: Queryable, tmp_path: Path, tool: str, options: list[str], proposal: str, syntax: str
) -> None:
    plain = saved(image(1), tmp_path / "plain.dcm")
    made = tmp_path / "compressed.dcm"
    run(tool, *options, str(plain), str(made))
    sent = dcmread(made)
    assert sent.file_meta.TransferSyntaxUID == syntax
    client("storescu", node, proposal, str(made))
    (file,) = node.archive.root.rglob(f"{sent.SOPInstanceUID}.dcm")
    kept = dcmread(file)
    assert kept.file_meta.TransferSyntaxUID == syntax
    assert kept.PixelData == sent.PixelData
    got = tmp_path / "got"
    got.mkdir()
    client("getscu", node, "-S", "-od", str(got), *STUDY)  # proposes no compression
    (back,) = (dcmread(one) for one in got.iterdir())
    assert back.file_meta.TransferSyntaxUID == EXPLICIT
    assert back.SOPInstanceUID == sent.SOPInstanceUID
    wrong = np.abs(back.pixel_array.ravel().astype(int) - np.arange(SIDE * SIDE))
    assert wrong.max() <= (40 if syntax == LOSSY else 0)  # grey levels


def test_movescu_to_its_own_port(node: Queryable, tmp_path: Path) -> None:
    stored = [node.store(image(number)) for number in range(3)]
    port = free_port()
    node.know(PeerSettings(name="m", ae_title="MOVER", host="127.0.0.1", port=port))
    client(
        "movescu", node, "-S", "-aet", "MOVER", "-aem", "MOVER", "+P", str(port),
        "-od", str(tmp_path), "-B", *STUDY,
    )  # fmt: skip
    came = sorted(path for path in tmp_path.iterdir() if path.is_file())
    assert len(came) == len(stored)
    for file in came:
        assert any(file.read_bytes().endswith(raw) for raw in stored)
