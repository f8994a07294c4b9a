"""A dataset under BIDS names, checked by the BIDS validator, which needs no network for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from node.convert.naming.bids import completed, repeated, task_of, with_suffix
from tests.commands import rasnode
from tests.phantom import ROOT, Phantom, save
from tests.unit.assemble.test_spin_labeling import labeled

COMMON = {
    "PatientID": "01",
    "Manufacturer": "SIEMENS",
    "MagneticFieldStrength": 3,
    "FlipAngle": 9,
    "RepetitionTime": 2000,
    "MRAcquisitionType": "2D",
    "InversionTime": 0,
}
ANATOMY = Phantom(series=f"{ROOT}.31", attributes={**COMMON, "EchoTime": 4})
BOLD = Phantom(series=f"{ROOT}.32", volumes=3, attributes={**COMMON, "EchoTime": 30})
DIFFUSION = Phantom(series=f"{ROOT}.33", volumes=2, attributes={**COMMON, "EchoTime": 70})


def validate(dataset: Path) -> list[dict[str, Any]]:
    """The errors that the validator finds."""
    tool = Path(sys.executable).with_name("bids-validator-deno")
    if not tool.exists():
        pytest.skip("needs bids-validator-deno (make test installs it)")
    done = subprocess.run(
        [tool, "--json", dataset], capture_output=True, text=True, timeout=120, check=False
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    errors = [issue for issue in issues if issue["severity"] == "error"]
    assert (done.returncode != 0) == bool(errors)
    return errors


def weighted() -> list[Dataset]:
    """Two volumes, without and with diffusion weighting (PS3.3 C.8.13.5.9)."""
    made = DIFFUSION.instances()
    for one in made:
        one.DiffusionBValue = 1000.0 * (one.TemporalPositionIdentifier - 1)
        if one.DiffusionBValue:
            one.DiffusionGradientOrientation = [0.0, 0.6, 0.8]
    return made


def uneven() -> list[Dataset]:
    """Volumes of 2 s, the last one after a pause."""
    made = BOLD.but(series=f"{ROOT}.34", volumes=4).instances()
    for one in made:
        one.AcquisitionTime = ("100000", "100002", "100004", "100009")[
            one.TemporalPositionIdentifier - 1
        ]
        del one.TemporalPositionIdentifier
    return made


def spins() -> Dataset:
    made = labeled()
    for keyword, value in (COMMON | {"EchoTime": 12}).items():
        setattr(made, keyword, value)
    made.Manufacturer = "Some Other Maker"
    made.MRAcquisitionType = "3D"
    made.TemporalResolution = 2000  # of segments nobody else knows how many a volume takes
    made.SOPInstanceUID = made.SeriesInstanceUID = f"{ROOT}.35"
    return made


def convert(datasets: list[Dataset], folder: Path, name: str) -> None:
    save(datasets, folder / "in" / name)
    rasnode("convert", "-f", name, str(folder / "in" / name), str(folder / "out"), check=True)


def test_what_convert_makes_is_valid(tmp_path: Path) -> None:
    echoes = [*ANATOMY.instances(), *ANATOMY.but(size=(6, 5, 4)).instances()]
    for number, one in enumerate(echoes):
        one.SOPInstanceUID = f"{ANATOMY.series}.{number + 1}"
        one.EchoNumbers, one.EchoTime = (1, 4) if number < 4 else (2, 8)
    convert(echoes, tmp_path, "sub-01/anat/sub-01_MEGRE")
    convert(BOLD.instances(), tmp_path, "sub-01/func/sub-01_task-rest_bold")
    convert(uneven(), tmp_path, "sub-01/func/sub-01_task-sparse_bold")
    convert(weighted(), tmp_path, "sub-01/dwi/sub-01_dwi")
    convert([spins()], tmp_path, "sub-01/perf/sub-01_asl")
    made = {path.name for path in (tmp_path / "out").rglob("*.nii.gz")}
    assert made == {
        "sub-01_echo-1_MEGRE.nii.gz",
        "sub-01_echo-2_MEGRE.nii.gz",
        "sub-01_task-rest_bold.nii.gz",
        "sub-01_task-sparse_bold.nii.gz",
        "sub-01_dwi.nii.gz",
        "sub-01_asl.nii.gz",
    }
    assert validate(tmp_path / "out") == []
    perfusion = tmp_path / "out/sub-01/perf/sub-01_asl.json"
    table = perfusion.with_name("sub-01_aslcontext.tsv").read_text()
    assert table.split() == ["volume_type", "m0scan", "control", "label", "control", "label"]
    known = json.loads(perfusion.read_text())
    perfusion.write_text(
        json.dumps({**known, "BackgroundSuppression": True, "PostLabelingDelay": 1.8})
    )
    ignored = tmp_path / "out/.bidsignore"
    ignored.write_text(ignored.read_text().replace("perf/\n", ""))
    assert validate(tmp_path / "out") == []
    sidecar = tmp_path / "out/sub-01/func/sub-01_task-rest_bold.json"
    broken = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**broken, "RepetitionTime": "two seconds"}))
    assert "RepetitionTime" in {issue.get("subCode") for issue in validate(tmp_path / "out")}


@pytest.mark.parametrize(
    ("base", "suffix", "name"),
    [
        ("0003_MR", "_e2_ph", "0003_MR_e2_ph"),
        ("a/sub-1_T2w", "", "a/sub-1_T2w"),
        ("a/sub-1_run-2_MEGRE", "_e2_ph", "a/sub-1_run-2_echo-2_part-phase_MEGRE"),
        ("sub-1_dir-AP_dwi", "_ADC", "sub-1_dir-AP_ADC"),
        ("sub-1_fieldmap", "_e2_fieldmaphz", "sub-1_fieldmap"),
        ("sub-1_fieldmap", "_e1", "sub-1_magnitude"),
        ("sub-1_T1w", "_1a2b3c4d", "sub-1_rec-1a2b3c4d_T1w"),
    ],
)
def test_what_tells_volumes_apart_is_in_the_name(base: str, suffix: str, name: str) -> None:
    assert with_suffix(base, suffix) == name


def test_the_same_name_again_is_another_run() -> None:
    assert repeated("x/sub-1_task-a_bold", 1) == "x/sub-1_task-a_run-2_bold"
    assert repeated("x/sub-1_task-a_run-3_bold", 2) == "x/sub-1_task-a_run-5_bold"
    assert [repeated("0003_MR", times) for times in (0, 1, 26)] == [
        "0003_MR",
        "0003_MRa",
        "0003_MRz",
    ]
    assert task_of("x/sub-1_task-nback_bold") == "nback"


@pytest.mark.parametrize(("stated", "lasts"), [({"RepetitionTimeExcitation": 1.5}, 1.5), ({}, 2.0)])
def test_times_of_volumes_stand_instead_of_a_repetition(
    stated: dict[str, object], lasts: float
) -> None:
    given = {**stated, "RepetitionTime": 3.0, "DelayTime": 1.0, "VolumeTiming": [0.0, 2.0, 6.0]}
    assert completed("x/sub-1_T1w", given) == given
    assert completed("0003_bold", given) == given
    assert completed("x/sub-1_task-a_bold", given) == {
        **stated,
        "VolumeTiming": [0.0, 2.0, 6.0],
        "TaskName": "a",
        "FrameAcquisitionDuration": lasts,
    }
    timed = completed("x/sub-1_task-a_bold", {**given, "SliceTiming": [0.0, 1.0]})
    assert "FrameAcquisitionDuration" not in timed
