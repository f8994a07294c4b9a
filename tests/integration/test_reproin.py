"""A protocol with ReproIn names: a valid dataset, in any order, named as heudiconv names it."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests.commands import rasnode
from tests.integration.test_bids import validate
from tests.phantom import ROOT, Phantom, save
from tests.running import RunningNode

COMMON = {
    "PatientID": "p01",
    "StudyDescription": "Lab^study",
    "StudyDate": "20260105",
    "StudyTime": "100000",
    "Manufacturer": "SIEMENS",
    "MagneticFieldStrength": 3,
    "FlipAngle": 9,
    "RepetitionTime": 2000,
    "EchoTime": 30,
    "MRAcquisitionType": "2D",
    "AcquisitionDate": "20260105",
}
PROTOCOL = (
    ("anat-scout_ses-pre", 1, ("M",)),
    ("anat-T1w", 1, ("M",)),
    ("anat-T1w", 1, ("M",)),  # the first was cancelled
    ("anat-T2w", 1, ("M",)),
    ("WIP anat_acq-3d_FLAIR", 1, ("M",)),
    ("fmap_dir-AP", 1, ("M",)),
    ("fmap_dir-PA", 1, ("M",)),
    ("func_task-rest_run-01", 3, ("M",)),
    ("func-bold_task-rest_run-02__again", 3, ("M",)),
    ("t1_without_a_name", 1, ("M",)),
)
"""Protocol name, volumes, and value 3 of Image Type of each series."""


def protocol() -> list[list[Dataset]]:
    made = []
    for number, (name, volumes, words) in enumerate(PROTOCOL, 1):
        attributes = {
            **COMMON,
            "SeriesNumber": number,
            "ProtocolName": name,
            "SeriesDescription": name,
            "ImageType": ["ORIGINAL", "PRIMARY", *words, "ND"],
        }
        series = Phantom(series=f"{ROOT}.77.{number}", volumes=volumes, attributes=attributes)
        images = series.instances()
        for one in images:
            volume = int(one.get("TemporalPositionIdentifier", 1))
            one.AcquisitionTime = f"10{number:02d}{volume * 2:02d}"
            one.StudyInstanceUID = f"{ROOT}.77"
        made.append(images)
    return made


def names_below(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)).removesuffix(".nii.gz") for path in folder.rglob("*.nii.gz")
    )


def errors(dataset: Path) -> list[object]:
    """What the validator finds, but for readout times and directions, which no phantom has."""
    unknown = {"TOTAL_READOUT_TIME_MUST_DEFINE", "PHASE_ENCODING_DIRECTION_MUST_DEFINE"}
    return [issue for issue in validate(dataset) if issue["code"] not in unknown]


NAMED = [
    "sub-p01/ses-pre/anat/sub-p01_ses-pre_T1w",
    "sub-p01/ses-pre/anat/sub-p01_ses-pre_T1w__dup-01",
    "sub-p01/ses-pre/anat/sub-p01_ses-pre_T2w",
    "sub-p01/ses-pre/anat/sub-p01_ses-pre_acq-3d_FLAIR",
    "sub-p01/ses-pre/fmap/sub-p01_ses-pre_dir-AP_epi",
    "sub-p01/ses-pre/fmap/sub-p01_ses-pre_dir-PA_epi",
    "sub-p01/ses-pre/func/sub-p01_ses-pre_task-rest_run-01_bold",
    "sub-p01/ses-pre/func/sub-p01_ses-pre_task-rest_run-02_bold",
]
RULES = [{"use": "reproin", "participant": "{PatientID}"}, {"name": None}]


def test_any_order_of_arrival_makes_the_same_valid_dataset(tmp_path: Path) -> None:
    series = protocol()
    order = list(range(len(series)))
    random.Random(8).shuffle(order)
    output = {"rules": RULES}
    settings = {"completion": {"quiet_seconds": 0.5}, "output": output}
    node = RunningNode(tmp_path, settings).start()
    try:
        for number in order:
            save(series[number], tmp_path / f"in{number}")
            node.send(tmp_path / f"in{number}")
        node.settle(seconds=240, states=["ready", "not-a-volume"])
        time.sleep(1)  # what the last series has made again has begun by then
        settled = node.settle(seconds=240, states=["ready", "not-a-volume"])
        excluded = [one for one in settled if one["state"] == "not-a-volume"]
        assert len(excluded) == 2
        uid = f"{ROOT}.77.10"
        said = node.rasnode("rules", "--series", uid).stdout
        assert "no volume is made (rule 2 of output.rules)" in said
        assert "has a name of ReproIn" in said
        assert "matches every volume" in node.rasnode("rules", "--unmatched").stdout
    finally:
        node.kill()
    dataset = node.root / "nifti"
    assert names_below(dataset) == NAMED
    assert errors(dataset) == []
    bold = json.loads((dataset / f"{NAMED[-1]}.json").read_text())
    assert (bold["TaskName"], bold["B0FieldSource"]) == ("rest", "pepolar_sespre")
    tables = [dataset / "sub-p01/sub-p01_sessions.tsv", dataset / "participants.tsv"]
    assert [table.read_text().split() for table in tables] == [
        ["session_id", "ses-pre"],
        ["participant_id", "sub-p01"],
    ]


def test_convert_names_by_the_same_rules(tmp_path: Path) -> None:
    for number, images in enumerate(protocol()):
        save(images, tmp_path / f"in/{number}")
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"output": {"rules": RULES}}))
    rasnode(
        "convert", "--config", str(config), str(tmp_path / "in"), str(tmp_path / "out"), check=True
    )
    assert names_below(tmp_path / "out") == NAMED
    assert errors(tmp_path / "out") == []


def test_the_names_are_those_of_heudiconv(tmp_path: Path) -> None:
    beside = Path(sys.executable).with_name("heudiconv")
    tool = str(beside) if beside.exists() else shutil.which("heudiconv")
    if tool is None:
        pytest.skip("needs heudiconv on the path; it requires a decoder under the GPL")
    for number, images in enumerate(protocol()):
        save(images, tmp_path / f"in/{number}")
    heuristic = tmp_path / "reproin_without_links.py"  # links need shim settings, or it fails
    heuristic.write_text(
        "from heudiconv.heuristics.reproin import *\ndel POPULATE_INTENDED_FOR_OPTS\n"
    )
    path = f"{Path(sys.executable).parent}:{Path(tool).parent}:{os.environ['PATH']}"
    command = [tool, "--files", tmp_path / "in", "-f", heuristic, "-o", tmp_path / "out", "--bids"]
    done = subprocess.run(
        [*command, "--minmeta"],
        env={**os.environ, "PATH": path, "HOME": str(tmp_path), "NO_ET": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    made = [name for name in names_below(tmp_path / "out/Lab/study") if name.startswith("sub-")]
    assert made == NAMED
