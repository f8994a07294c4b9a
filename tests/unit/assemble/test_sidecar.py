"""Sidecars: names and units as dcm2niix and BIDS have them; persons only when asked for."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset

from node.assemble.series import plan
from node.assemble.sidecar.sidecar import make_sidecar
from tests.phantom import CT, PET, Phantom
from tests.unit.assemble.build import header, headers
from tests.unit.assemble.test_enhanced import enhanced, item


def sidecar(phantom: Phantom, *, identifiers: bool = False, **attributes: Any) -> dict[str, object]:
    made = phantom.but(attributes=attributes).instances()
    (volume,) = plan(headers(made)).volumes
    return make_sidecar(volume, identifiers=identifiers, software="1")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["ORIGINAL", "PRIMARY", "M_SE", "M", "SE"], "ORIGINAL PRIMARY M SE M SE MAGNITUDE"),
        (["ORIGINAL", "PRIMARY", "P", "ND"], "ORIGINAL PRIMARY P ND PHASE"),
        (["ORIGINAL", "PRIMARY", "REAL"], "ORIGINAL PRIMARY REAL"),
        (["DERIVED", "SECONDARY", "", "MPR"], "DERIVED SECONDARY MPR"),
    ],
)
def test_image_type_is_split_and_says_what_it_shows(values: list[str], expected: str) -> None:
    assert sidecar(Phantom(), ImageType=values)["ImageType"] == expected.split()


def test_image_type_of_an_enhanced_image_is_that_of_the_instance() -> None:
    made = enhanced(Phantom())
    made.ImageType = ["ORIGINAL", "PRIMARY", "T1", "MIXED"]
    made.Manufacturer = "Philips Medical Systems"
    for group in made.PerFrameFunctionalGroupsSequence:
        kind = item(FrameType=["ORIGINAL", "PRIMARY", "T1", "FIELD_MAP"])
        group.MRImageFrameTypeSequence = kind
    (volume,) = plan([header(made)]).volumes
    fields = make_sidecar(volume, identifiers=False, software="1")
    assert fields["ImageType"] == ["ORIGINAL", "PRIMARY", "T1", "MIXED", "FIELDMAPHZ"]
    assert fields["Units"] == "Hz"


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("NONE", {"SpoilingState": False}),
        ("RF", {"SpoilingState": True, "SpoilingType": "RF"}),
        ("RF_AND_GRADIENT", {"SpoilingState": True, "SpoilingType": "COMBINED"}),
    ],
)
def test_spoiling_is_a_state_and_a_type(stated: str, expected: dict[str, object]) -> None:
    """PS3.3 C.8.13.5.2; BIDS wants a boolean."""
    made = sidecar(Phantom(), Spoiling=stated, MagnetizationTransfer="OFF_RESONANCE")
    assert {key: made[key] for key in made if key.startswith("Spoiling")} == expected
    assert made["MTState"] is True


def test_times_of_zero_say_that_there_is_none() -> None:
    made = sidecar(Phantom(), EchoTime=0, InversionTime=0)
    assert "EchoTime" not in made
    assert "InversionTime" not in made


def test_a_scanner_without_a_word_for_it_means_magnitude() -> None:
    values = ["ORIGINAL", "PRIMARY", "OTHER"]
    made = sidecar(Phantom(), ImageType=values, Manufacturer="GE MEDICAL SYSTEMS")
    assert made["ImageType"] == [*values, "MAGNITUDE"]
    assert sidecar(Phantom(sop_class=CT), ImageType=values)["ImageType"] == values


@pytest.mark.parametrize(("direction", "lines"), [("COL", 5), ("ROW", 6), (None, None)])
def test_lines_along_the_phase_encoding(direction: str | None, lines: int | None) -> None:
    known = {"InPlanePhaseEncodingDirection": direction} if direction else {}
    made = sidecar(Phantom(), AcquisitionMatrix=[0, 8, 7, 0], **known)
    assert made.get("ReconMatrixPE") == lines
    assert made["AcquisitionMatrixPE"] == 7


def test_protocol_name_has_stand_ins() -> None:
    assert sidecar(Phantom(), SequenceName="tfl")["ProtocolName"] == "tfl"
    both = {"SequenceName": "tfl", "SeriesDescription": "T1"}
    assert sidecar(Phantom(), **both)["ProtocolName"] == "T1"
    assert sidecar(Phantom(), **both, ProtocolName="own")["ProtocolName"] == "own"


def test_times_are_in_seconds() -> None:
    made = sidecar(Phantom(), RepetitionTime=2000, EchoTime=30, InversionTime=900)
    assert (made["RepetitionTime"], made["EchoTime"], made["InversionTime"]) == (2.0, 0.03, 0.9)


def test_persons_and_days_only_when_asked_for() -> None:
    known = {"AcquisitionDate": "20200131", "AcquisitionTime": "235959.5", "PatientAge": "040Y"}
    hidden = {"PatientName", "PatientAge", "AcquisitionDateTime"}
    made = sidecar(Phantom(), **known)
    assert not hidden & set(made)
    assert made["AcquisitionTime"] == "23:59:59.500000"
    assert made["SeriesInstanceUID"]
    assert made["StudyInstanceUID"]
    told = sidecar(Phantom(), identifiers=True, **known)
    assert hidden <= set(told)
    assert told["AcquisitionDateTime"] == "2020-01-31T23:59:59.500000"


def test_pet_frames_and_what_was_injected() -> None:
    phantom = Phantom(sop_class=PET, volumes=2)
    made = phantom.instances()
    for dataset in made:
        late = dataset.TemporalPositionIdentifier == 2
        dataset.AcquisitionDate = "20200131"
        dataset.AcquisitionTime = "100130" if late else "100000"
        dataset.ActualFrameDuration = "120000" if late else "90000"
        dataset.DecayFactor = "1.2" if late else "1.1"
        dataset.Units = "BQML"
        dose = Dataset()
        dose.Radiopharmaceutical = "FDG"
        dose.RadionuclideTotalDose = "370000000"
        dose.RadionuclideHalfLife = "6586.2"
        dose.RadiopharmaceuticalStartTime = "090000"
        dataset.DecayCorrection = "ADMIN"
        dataset.ReconstructionMethod = "OSEM3D 4i21s"
        dataset.ConvolutionKernel = "XYZ Gauss2.00"
        dataset.FrameReferenceTime = 150000 if late else 45000
        isotope = Dataset()
        isotope.CodeMeaning = "^18^Fluorine"
        dose.RadionuclideCodeSequence = [isotope]
        dataset.RadiopharmaceuticalInformationSequence = [dose]
    (volume,) = plan(headers(made)).volumes
    fields = make_sidecar(volume, identifiers=False, software="1")
    assert fields["FrameTimesStart"] == [0.0, 90.0]
    assert fields["FrameDuration"] == [90, 120]
    assert fields["DecayFactor"] == [1.1, 1.2]
    assert fields["Radiopharmaceutical"] == "FDG"
    assert fields["RadionuclideTotalDose"] == 370000000
    assert (fields["InjectedRadioactivity"], fields["InjectedRadioactivityUnits"]) == (370, "MBq")
    assert fields["TracerRadionuclide"] == "^18^Fluorine"
    assert fields["Units"] == "Bq/mL"
    assert fields["DecayCorrectionFactor"] == [1.1, 1.2]
    assert (fields["TimeZero"], fields["ScanStart"]) == ("10:00:00", 0)
    assert fields["InjectionStart"] == -3600.0
    assert (fields["ImageDecayCorrected"], fields["ImageDecayCorrectionTime"]) == (True, -3600.0)
    assert fields["TracerName"] == "FDG"
    assert fields["FrameReferenceTime"] == [45.0, 150.0]
    assert fields["ReconMethodParameterValues"] == [21, 4]
    assert (fields["ReconFilterType"], fields["ReconFilterSize"]) == ("XYZ Gauss", 2.0)
    assert not {"PatientID", "RadiopharmaceuticalStartSeconds"} & fields.keys()


def test_what_enhanced_images_say_elsewhere() -> None:
    made = sidecar(
        Phantom(),
        MRAcquisitionPhaseEncodingStepsInPlane=96,
        InversionTimes=900.0,
        ParallelAcquisition="NO",
        InPlanePhaseEncodingDirection="COLUMN",
    )
    assert (made["AcquisitionMatrixPE"], made["InversionTime"]) == (96, 0.9)
    assert made["ParallelReductionFactorInPlane"] == 1
    assert made["InPlanePhaseEncodingDirectionDICOM"] == "COL"
    assert made["ReconMatrixPE"] == 5


def test_echoes_without_numbers_are_numbered_by_their_time() -> None:
    made = Phantom().instances()
    for late in Phantom(attributes={"EchoTime": 12.5}).instances():
        late.SOPInstanceUID += ".2"
        made.append(late)
    for dataset in made[:4]:
        dataset.EchoTime = 4.9
    volumes = plan(headers(made)).volumes
    assert [volume.suffix for volume in volumes] == ["_e1", "_e2"]
    fields = [make_sidecar(volume, identifiers=False, software="1") for volume in volumes]
    assert [one["EchoNumber"] for one in fields] == [1, 2]
    assert [one["EchoTime"] for one in fields] == pytest.approx([0.0049, 0.0125])


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"RescaleSlope": 2, "RescaleIntercept": -4096}, "arbitrary"),
        ({}, "arbitrary"),
        ({"RescaleSlope": "1.534066", "RescaleIntercept": "-3141.59"}, "arbitrary"),
        ({"RescaleSlope": "0.00153435", "RescaleIntercept": "-3.14159265"}, "rad"),
        ({"RescaleSlope": "0.00153398"}, "rad"),
        ({"RescaleSlope": "0.00153398", "PixelRepresentation": 1}, "rad"),
        ({"RescaleSlope": "0.00153398", "BitsStored": 16, "HighBit": 15}, "arbitrary"),
        ({"RescaleSlope": "0.00153398", "RescaleIntercept": "-3.14159", "BitsStored": 16}, "rad"),
    ],
)
def test_phase_is_in_radians_where_its_scale_makes_them(
    attributes: dict[str, Any], expected: str
) -> None:
    assert sidecar(Phantom(), ImageType=["ORIGINAL", "PRIMARY", "P"], **attributes)["Units"] == (
        expected
    )
    assert "Units" not in sidecar(Phantom(), **attributes)


def test_the_frequency_of_enhanced_images_is_the_transmitters() -> None:
    made = enhanced(Phantom())
    modifier = item(TransmitterFrequency=123.262377)
    made.SharedFunctionalGroupsSequence[0].MRImagingModifierSequence = modifier
    (volume,) = plan([header(made)]).volumes
    fields = make_sidecar(volume, identifiers=False, software="1")
    assert fields["ImagingFrequency"] == 123.262377
