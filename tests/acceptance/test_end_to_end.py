"""DICOM in over the wire, RAS NIfTI out, judged against dcm2niix; and nothing lost on the way."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread

from node import load_all
from node.dicom import find_data_set
from tests.reference import dcm2niix, judged
from tests.running import RunningNode, dcmtk, eventually, shared

pytestmark = pytest.mark.acceptance

_PROPOSALS = {  # storescu's option that proposes a transfer syntax
    "1.2.840.10008.1.2": "-xi",
    "1.2.840.10008.1.2.1": "-xe",
    "1.2.840.10008.1.2.2": "-xb",
    "1.2.840.10008.1.2.5": "-xr",
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.90": "-xv",
}


def data_set_sha256(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha256(content[find_data_set(content).offset :]).hexdigest()


def elements_of(path: Path) -> dict[int, object]:
    """What a file says: storescu may write lengths and padding anew, but nothing else."""
    data_set = dcmread(path)
    return {
        int(element.tag): element.value
        for element in data_set
        if element.tag.element != 0 and element.tag != 0xFFFCFFFC
    }


def dicom_files(folder: Path) -> list[Path]:
    def is_dicom(path: Path) -> bool:
        with path.open("rb") as file:
            return path.is_file() and file.read(132)[128:] == b"DICM"

    return sorted(path for path in folder.rglob("*") if path.is_file() and is_dicom(path))


def send(node: RunningNode, folder: Path) -> None:
    """Send every file in the transfer syntax that it is in."""
    by_syntax: dict[str, list[Path]] = {}
    for path in dicom_files(folder):
        syntax = str(dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID)
        by_syntax.setdefault(syntax, []).append(path)
    for syntax, paths in by_syntax.items():
        node.send(*paths, options=[_PROPOSALS[syntax], "-R"])


@pytest.mark.parametrize(
    "folder", ["ge-siemens-epi", "philips-classic", "ge-multiphase-dwi", "transfer-syntaxes"]
)
def test_what_is_sent_comes_out_as_the_judge_wants_it(
    node: RunningNode, tmp_path: Path, folder: str
) -> None:
    source = shared(f"corpus/{folder}")
    send(node, source)

    stored = {one["sop_instance_uid"]: one for one in node.instances()}
    assert len(stored) == len(dicom_files(source))
    for path in dicom_files(source)[::10]:  # decoding them all takes pydicom a minute
        uid = str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)
        kept = Path(stored[uid]["path"])
        assert stored[uid]["sha256"] == data_set_sha256(kept)
        assert elements_of(kept) == elements_of(path)

    series = node.settle(90, states=["ready", "not-a-volume"])
    report = judged(dcm2niix(source, tmp_path / "reference"), node.root / "nifti")
    pairs = [pair for pair in report["pairs"] if not pair["optional"]]
    assert all(pair["passed"] for pair in pairs), report
    assert not [one for one in report["extra"] if one["uid"] in {p["uid"] for p in pairs}], report
    refused = {one["series_instance_uid"] for one in series if one["why"]}
    assert {one["uid"] for one in report["missing"]} <= refused, report
    assert pairs or refused


def test_every_stored_series_is_found_at_every_level_at_once(node: RunningNode) -> None:
    source = shared("corpus/ge-multiphase-dwi")
    send(node, source)
    headers = [dcmread(path, stop_before_pixels=True) for path in dicom_files(source)]
    for level, keyword in (
        ("STUDY", "StudyInstanceUID"),
        ("SERIES", "SeriesInstanceUID"),
        ("IMAGE", "SOPInstanceUID"),
    ):
        above = {
            "STUDY": [],
            "SERIES": ["StudyInstanceUID"],
            "IMAGE": ["StudyInstanceUID", "SeriesInstanceUID"],
        }[level]
        groups = {tuple(str(h[key].value) for key in above) for h in headers}
        found: set[str] = set()
        for values in groups:
            keys = [f"{key}={value}" for key, value in zip(above, values, strict=True)]
            answer = subprocess.run(
                [
                    dcmtk("findscu"), "-S", "-aec", "RASNODE", "127.0.0.1", str(node.port),
                    "-k", f"QueryRetrieveLevel={level}", "-k", keyword,
                    *(word for key in keys for word in ("-k", key)),
                ],
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )  # fmt: skip
            lines = (answer.stdout + answer.stderr).splitlines()
            found |= {
                line.split("[", 1)[1].split("]")[0].strip("\0 ")
                for line in lines
                if keyword in line and "[" in line
            }
        assert {str(header[keyword].value) for header in headers} <= found


def test_kill_9_in_the_middle_loses_nothing_that_was_answered(
    node: RunningNode, tmp_path: Path
) -> None:
    source = shared("corpus/ge-siemens-epi/20180918GE/mr_0004")
    with (tmp_path / "storescu.log").open("w") as log:
        sender = subprocess.Popen(
            [
                dcmtk("storescu"), "-v", "-aec", "RASNODE", "-xe",
                "127.0.0.1", str(node.port), *map(str, dicom_files(source)),
            ],
            stdout=log,
            stderr=log,
        )  # fmt: skip
        eventually(
            lambda: (tmp_path / "storescu.log").read_text().count("(Success)") > 20,
            60,
            "some were answered",
        )
        node.kill()
        sender.wait(30)

    answered, sending = [], ""
    for line in (tmp_path / "storescu.log").read_text().splitlines():
        if "Sending file: " in line:
            sending = line.split("Sending file: ", 1)[1].strip()
        elif "(Success)" in line:
            answered.append(Path(sending))
    assert len(answered) > 20

    node.start()
    stored = {one["sop_instance_uid"]: Path(one["path"]) for one in node.instances()}
    for path in answered:
        uid = str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)
        assert data_set_sha256(stored[uid]) == data_set_sha256(path)

    send(node, source)  # the sender tries again, as senders do
    (series,) = node.settle(90, states=["ready"])
    assert series["instances"] == len(dicom_files(source))


def test_daemon_convert_and_load_give_the_same_volumes(node: RunningNode, tmp_path: Path) -> None:
    source = shared("corpus/philips-classic")
    send(node, source)
    node.settle(90, states=["ready"])
    out = tmp_path / "converted"
    subprocess.run(
        [sys.executable, "-m", "node", "convert", source, out],
        check=True,
        capture_output=True,
        timeout=300,
    )

    def volumes(folder: Path) -> list[tuple[str, bytes]]:
        found = []
        for path in sorted(folder.rglob("*.nii.gz")):
            image = nib.load(path)
            array = np.asanyarray(image.dataobj)
            digest = hashlib.sha256(np.ascontiguousarray(array)).hexdigest()
            found.append((digest, np.asarray(image.affine).tobytes()))
        return sorted(found)

    loaded = sorted(
        (
            hashlib.sha256(np.ascontiguousarray(volume.array)).hexdigest(),
            np.asarray(volume.affine, float).tobytes(),
        )
        for volume in load_all(source)
    )
    assert volumes(out)
    assert volumes(node.root / "nifti") == volumes(out) == loaded


def test_the_manifest_proves_every_slice(node: RunningNode) -> None:
    source = shared("corpus/ge-siemens-epi/20180918GE/mr_0004")
    send(node, source)
    node.settle(90, states=["ready"])
    (manifest_path,) = (node.root / "nifti").rglob("*.manifest.json")
    manifest = json.loads(manifest_path.read_text())
    image_path = manifest_path.with_name(manifest_path.name.replace(".manifest.json", ".nii.gz"))
    assert manifest["sha256"] == hashlib.sha256(image_path.read_bytes()).hexdigest()
    image = nib.load(image_path)
    assert tuple(manifest["shape"]) == image.shape
    assert np.allclose(manifest["affine"], image.affine, atol=1e-4)
    slices, times = image.shape[2], image.shape[3] if image.ndim > 3 else 1
    assert len(manifest["sources"]) == slices * times
