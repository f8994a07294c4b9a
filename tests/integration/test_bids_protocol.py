"""The protocol that docs/bids.md works through: the node makes a valid dataset of every kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydicom.dataset import Dataset

from tests.integration.test_bids import validate
from tests.phantom import PET, ROOT, Phantom, save
from tests.running import RunningNode
from tests.unit.assemble.test_enhanced import item
from tests.unit.assemble.test_spin_labeling import labeled

DOCUMENT = Path(__file__).parents[2] / "docs" / "bids.md"
COMMON: dict[str, Any] = {
    "PatientID": "p01",
    "StudyID": "01",
    "Manufacturer": "SIEMENS",
    "MagneticFieldStrength": 3,
    "FlipAngle": 9,
    "RepetitionTime": 2000,
    "EchoTime": 30,
    "MRAcquisitionType": "2D",
    "InPlanePhaseEncodingDirection": "COL",
    "AcquisitionDate": "20260105",
}
TRACER = {
    "PatientWeight": 70,
    "SeriesTime": "101400",
    "AcquisitionTime": "101400",
    "Units": "BQML",
    "DecayCorrection": "START",
    "ActualFrameDuration": 60000,
    "FrameReferenceTime": 30000,
    "AttenuationCorrectionMethod": "CT",
    "ReconstructionMethod": "OSEM3D 4i21s",
    "ConvolutionKernel": "XYZ Gauss4.00",
    "ScatterCorrectionMethod": "model based",
    "RandomsCorrectionMethod": "DLYD",
    "ManufacturerModelName": "Biograph",
    "RescaleIntercept": 0,
    "RescaleSlope": 1,
    "RadiopharmaceuticalInformationSequence": item(
        Radiopharmaceutical="FDG",
        RadionuclideTotalDose=350e6,
        RadionuclideHalfLife=6586.2,
        RadiopharmaceuticalStartTime="100000",
        RadionuclideCodeSequence=item(
            CodeValue="C-111A1", CodingSchemeDesignator="SRT", CodeMeaning="^18^Fluorine"
        ),
    ),
}
SERIES: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("localizer", 1, {}),
    ("t1_mprage_sag", 1, {}),
    ("t2_space_sag", 1, {}),
    ("t2_flair_sag", 1, {}),
    ("bold_rest_SBRef", 1, {}),
    ("bold_rest", 3, {}),
    ("dwi_AP", 2, {"polarity": 1}),
    ("dwi_rev_PA", 2, {"polarity": 0}),
    ("gre_field_mapping", 2, {"echoes": True}),
    ("gre_field_mapping", 1, {"ImageType": ["ORIGINAL", "PRIMARY", "P"], "EchoTime": 8}),
    ("se_epi_AP", 1, {"polarity": 1}),
    ("se_epi_PA", 1, {"polarity": 0}),
)
"""Series Description, volumes, and what is special, of each series of one frame an instance."""
NAMED = [
    "anat/sub-01_FLAIR",
    "anat/sub-01_T1w",
    "anat/sub-01_T2w",
    "dwi/sub-01_dir-AP_dwi",
    "dwi/sub-01_dir-PA_dwi",
    "fmap/sub-01_dir-AP_epi",
    "fmap/sub-01_dir-PA_epi",
    "fmap/sub-01_magnitude1",
    "fmap/sub-01_magnitude2",
    "fmap/sub-01_phasediff",
    "func/sub-01_task-rest_bold",
    "func/sub-01_task-rest_sbref",
    "perf/sub-01_asl",
    "pet/sub-01_pet",
]


NOT_IN_A_HEADER = {
    "InjectedMass": "n/a",
    "InjectedMassUnits": "n/a",
    "SpecificRadioactivity": "n/a",
    "SpecificRadioactivityUnits": "n/a",
    "ModeOfAdministration": "bolus",
    "AcquisitionMode": "list mode",
}


def session() -> list[list[Dataset]]:
    """Every series of the protocol."""
    made = [
        images(number, name, volumes, dict(special))
        for number, (name, volumes, special) in enumerate(SERIES, 1)
    ]
    perfusion = labeled()
    values = COMMON | {"Manufacturer": "Some Other Maker", "MRAcquisitionType": "3D"}
    identify(perfusion, 20, "asl_3d", values | {"EchoTime": 12, "TemporalResolution": 2000})
    perfusion.SOPInstanceUID = f"{perfusion.SeriesInstanceUID}.1"
    tracer = Phantom(series=f"{ROOT}.78.21", sop_class=PET, attributes=TRACER).instances()
    for one in tracer:
        identify(one, 21, "brain", {"PatientID": "p01", "StudyID": "01", "Manufacturer": "SIEMENS"})
        one.ImageType = ["ORIGINAL", "PRIMARY"]
    return [*made, [perfusion], tracer]


def images(number: int, name: str, volumes: int, special: dict[str, Any]) -> list[Dataset]:
    polarity, echoes = special.pop("polarity", None), special.pop("echoes", False)
    made = Phantom(series=f"{ROOT}.78.{number}", volumes=volumes).instances()
    for one in made:
        volume = int(one.get("TemporalPositionIdentifier", 1))
        identify(one, number, name, COMMON | special)
        one.AcquisitionTime = f"10{number:02d}{volume * 2:02d}"
        if echoes:
            del one.TemporalPositionIdentifier
            one.EchoNumbers, one.EchoTime = volume, 2.5 * volume
        if name.startswith("dwi"):
            one.DiffusionBValue = 1000.0 * (volume - 1)
            one.DiffusionGradientOrientation = [0.0, 0.6, 0.8] if volume > 1 else None
        if polarity is not None:
            block = one.private_block(0x21, "SIEMENS MR SDI 02", create=True)
            block.add_new(0x1C, "IS", polarity)
            block.add_new(0x53, "FD", 40.0)
    return made


def identify(one: Dataset, number: int, name: str, values: dict[str, Any]) -> None:
    one.StudyInstanceUID, one.SeriesInstanceUID = f"{ROOT}.78", f"{ROOT}.78.{number}"
    one.SeriesNumber, one.SeriesDescription, one.ProtocolName = number, name, name
    for keyword, value in values.items():
        setattr(one, keyword, value)


def documented() -> list[dict[str, Any]]:
    """The rules of the worked protocol, as docs/bids.md has them."""
    chapter = DOCUMENT.read_text("utf-8").partition("## A protocol worked through")[2]
    block = chapter.partition("```yaml\n")[2].partition("```")[0]
    rules: list[dict[str, Any]] = yaml.safe_load(block)["output"]["rules"]
    return rules


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """What a node with these rules makes of the session."""
    settings = {"completion": {"quiet_seconds": 0.5}, "output": {"rules": documented()}}
    node = RunningNode(tmp_path, settings).start()
    try:
        for number, series in enumerate(session()):
            save(series, tmp_path / f"in/{number}")
        node.send(tmp_path / "in")
        node.settle(seconds=240)
    finally:
        node.kill()
    return node.root / "nifti"


def test_the_worked_protocol_is_a_valid_dataset(dataset: Path) -> None:
    found = sorted(
        str(path.relative_to(dataset / "sub-01")).removesuffix(".nii.gz")
        for path in dataset.rglob("*.nii.gz")
    )
    assert found == NAMED
    assert validate(dataset) == []
    nearest = sidecar(dataset, "dwi/sub-01_dir-AP_dwi")["B0FieldIdentifier"]
    assert sidecar(dataset, "func/sub-01_task-rest_bold")["B0FieldSource"] == nearest
    complete(dataset, "perf/sub-01_asl", BackgroundSuppression=True, PostLabelingDelay=1.8)
    complete(dataset, "pet/sub-01_pet", **NOT_IN_A_HEADER)
    ignored = dataset / ".bidsignore"
    ignored.write_text(ignored.read_text().replace("perf/\npet/\n", ""))
    assert validate(dataset) == []


def sidecar(dataset: Path, name: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((dataset / "sub-01" / f"{name}.json").read_text())
    return fields


def complete(dataset: Path, name: str, **known: object) -> None:
    path = dataset / "sub-01" / f"{name}.json"
    path.write_text(json.dumps({**sidecar(dataset, name), **known}))
