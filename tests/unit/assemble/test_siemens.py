"""What else Siemens says of an image: times, directions, acceleration, diffusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from node.assemble.series import plan
from node.assemble.sidecar.diffusion import gradients
from node.assemble.sidecar.sidecar import make_sidecar
from node.convert import convert_series, read_folder
from tests.phantom import Phantom, oblique, save
from tests.unit.assemble.build import header, headers
from tests.unit.assemble.siemens_scans import (
    CSA,
    IMAGE,
    MR_HEADER,
    SERIES,
    Mosaic,
    csa2,
    protocol,
    sheet,
)
from tests.unit.assemble.test_diffusion import in_patient, unit
from tests.unit.assemble.weighted import PLANES, private

Fields = dict[str, Any]


def sidecar(*datasets: Dataset) -> Fields:
    found = plan(headers(datasets))
    assert not found.refusals
    (volume,) = found.volumes
    return make_sidecar(volume, identifiers=False, software="test")


def times(milliseconds: Sequence[float]) -> Mapping[str, Any]:
    return {"MosaicRefAcqTimes": ("FD", [f"{time:.8f}" for time in milliseconds])}


@pytest.mark.parametrize("reverse", [False, True])
def test_slice_times_follow_the_slices(reverse: bool) -> None:
    """They are in the order of the tiles; the sidecar has them from below upwards."""
    stated = [0.0, 1000.0, 500.00000001, 1500.0]
    fields = sidecar(sheet(Phantom(), Mosaic(reverse=reverse, image=times(stated))))
    below = stated[::-1] if reverse else stated
    assert fields["SliceTiming"] == pytest.approx([time / 1000 for time in below])


def test_times_before_the_reference_are_of_the_day_before() -> None:
    fields = sidecar(sheet(Phantom(), Mosaic(image=times([0, 86_399_600.0, 80, 86_399_680.0]))))
    assert fields["SliceTiming"] == pytest.approx([0.4, 0, 0.48, 0.08])


@pytest.mark.parametrize(
    ("mode", "slices", "ranks"),
    [
        ("0x1", 4, [0, 1, 2, 3]),
        ("0x2", 4, [3, 2, 1, 0]),
        ("0x4", 4, [2, 0, 3, 1]),
        ("0x4", 5, [0, 3, 1, 4, 2]),
    ],
)
@pytest.mark.parametrize("numbering", [False, True])
def test_old_software_names_the_order_only(
    mode: str, slices: int, ranks: list[int], numbering: bool
) -> None:
    """The order is that of the protocol's slices, against which reversed numbering runs."""
    phantom = Phantom(size=(6, 5, slices))
    settings = {"sSliceArray.ucMode": mode, "sSliceArray.lConc": 1, "lDelayTimeInTR": 400_000}
    how = Mosaic(settings=settings, numbering=numbering, older=True)
    below = ranks[::-1] if numbering else ranks
    expected = [rank * 1.6 / slices for rank in below]
    assert sidecar(sheet(phantom, how))["SliceTiming"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("changes", [{"sSliceArray.lConc": 2}, {"sSliceArray.ucMode": "0x8"}])
def test_an_order_that_is_not_known_gives_no_times(changes: dict[str, object]) -> None:
    settings = {"sSliceArray.ucMode": "0x1"} | changes
    assert "SliceTiming" not in sidecar(sheet(Phantom(), Mosaic(settings=settings)))


def test_slices_of_their_own_have_times_of_day() -> None:
    datasets = Phantom().instances()
    for k, dataset in enumerate(datasets):
        dataset.Manufacturer, dataset.MRAcquisitionType = "SIEMENS", "2D"
        dataset.AcquisitionDate = "20200101" if k < 2 else "20200102"
        dataset.AcquisitionTime = ["235959.500000", "235959.900000", "000000.300000"][k % 3]
        dataset.RepetitionTime = 3000
    datasets[3].AcquisitionTime = "000000.700000"
    assert sidecar(*datasets)["SliceTiming"] == pytest.approx([0, 0.4, 0.8, 1.2])


@pytest.mark.parametrize(
    ("plane", "phase"), [("axial", "COL"), ("axial", "ROW"), ("coronal", "COL")]
)
@pytest.mark.parametrize("positive", [0, 1])
def test_polarity_is_towards_the_higher_index(plane: str, phase: str, positive: int) -> None:
    """Rows run to the left, columns to posterior or to the feet, against RAS."""
    image = {"PhaseEncodingDirectionPositive": ("IS", [positive])}
    dataset = sheet(Phantom(rotation=PLANES[plane]), Mosaic(image=image))
    dataset.InPlanePhaseEncodingDirection = phase
    axis = {("axial", "COL"): "j", ("axial", "ROW"): "i", ("coronal", "COL"): "k"}[plane, phase]
    assert sidecar(dataset)["PhaseEncodingDirection"] == axis + ("-" if positive else "")


def test_unknown_polarity_leaves_the_axis() -> None:
    fields = sidecar(sheet(Phantom(), Mosaic()))
    assert "PhaseEncodingDirection" not in fields
    assert fields["PhaseEncodingAxis"] == "j"


def test_echo_spacing_is_that_of_the_tile() -> None:
    phantom = Phantom(size=(72, 36, 5))
    settings = {"sPat.lAccelFactPE": 2, "sPat.lAccelFact3D": 1}
    image = {"BandwidthPerPixelPhaseEncode": ("FD", [27.778]), "RealDwellTime": ("IS", [3000])}
    fields = sidecar(sheet(phantom, Mosaic(image=image, settings=settings)))
    assert fields["ReconMatrixPE"] == 36
    assert fields["EffectiveEchoSpacing"] == pytest.approx(1 / (27.778 * 36))
    assert fields["TotalReadoutTime"] == pytest.approx(35 / (27.778 * 36))
    assert fields["DerivedVendorReportedEchoSpacing"] == pytest.approx(2 / (27.778 * 36))
    assert fields["ParallelReductionFactorInPlane"] == 2
    assert fields["DwellTime"] == pytest.approx(3e-6)


def test_echo_spacing_is_shorter_by_phase_oversampling() -> None:
    settings = {"sPat.lAccelFactPE": 2, "sKSpace.dPhaseOversamplingForDialog": 0.25}
    image = {"BandwidthPerPixelPhaseEncode": ("FD", [27.778])}
    fields = sidecar(sheet(Phantom(size=(72, 36, 5)), Mosaic(image=image, settings=settings)))
    assert fields["PhaseOversampling"] == 0.25
    assert fields["EffectiveEchoSpacing"] == pytest.approx(1 / (27.778 * 36))
    assert fields["DerivedVendorReportedEchoSpacing"] == pytest.approx(2 / 1.25 / (27.778 * 36))


@pytest.mark.parametrize(
    ("image", "settings", "comment", "expected"),
    [
        ({"ImaPATModeText": ("LO", ["p2 s3"])}, {}, "", 3),
        ({}, {"sSliceAcceleration.lMultiBandFactor": 2}, "", 2),
        ({}, {}, "Unaliased MB4/PE3/LB", 4),
        (times([0, 500, 0, 500]), {}, "", 2),
        (times([0, 500, 1000, 1500]), {"sSliceAcceleration.lMultiBandFactor": 1}, "", None),
        (times([0, 0, 0, 0]), {}, "", None),
        (times([0, 0, 0, 500]), {}, "", None),
    ],
)
def test_slices_at_once(
    image: Any, settings: dict[str, object], comment: str, expected: int | None
) -> None:
    dataset = sheet(Phantom(), Mosaic(image=image, settings=settings))
    dataset.ImageComments = comment
    assert sidecar(dataset).get("MultibandAccelerationFactor") == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("0x1", 0.5), ("0x2", 0.625), ("4", 0.75), ("8", 0.875), ("0x10", None)]
)
def test_partial_fourier(value: str, expected: float | None) -> None:
    settings = {"sKSpace.ucPhasePartialFourier": value}
    fields = sidecar(sheet(Phantom(), Mosaic(settings=settings)))
    assert fields.get("PartialFourier") == expected


DIRECTION = tuple(unit((0.2, -0.5, 0.8)).tolist())


def in_csa(dataset: Dataset, b_value: int, gradient: Sequence[float] | None) -> None:
    tags: dict[str, Any] = {"B_value": ("IS", [b_value])}
    if gradient:
        tags["DiffusionGradientDirection"] = ("FD", [f"{value:.8f}" for value in gradient])
    private(dataset, 0x29, CSA, 0x10, "OB", csa2(tags))


def in_header(dataset: Dataset, b_value: int, gradient: Sequence[float] | None) -> None:
    private(dataset, 0x19, MR_HEADER, 0x0C, "IS", str(b_value))
    if gradient:
        private(dataset, 0x19, MR_HEADER, 0x0E, "FD", list(gradient))


def in_matrix(dataset: Dataset, b_value: int, gradient: Sequence[float] | None) -> None:
    matrix = b_value * np.outer(gradient or (0, 0, 0), gradient or (0, 0, 0))
    private(dataset, 0x19, MR_HEADER, 0x27, "FD", matrix[np.triu_indices(3)].tolist())


@pytest.mark.parametrize("write", [in_csa, in_header, in_matrix])
def test_directions_are_the_patients(write: Any) -> None:
    phantom = Phantom(rotation=oblique((0.4, 0.2, -0.3)), volumes=2)
    datasets = phantom.instances()
    for index, dataset in enumerate(datasets):
        weighted = index >= phantom.size[2]
        dataset.Manufacturer = "SIEMENS"
        dataset.AcquisitionNumber = index // phantom.size[2] + 1
        write(dataset, 1000 if weighted else 0, DIRECTION if weighted else None)
    (volume,) = plan(headers(datasets)).volumes
    found = gradients(volume)
    assert found is not None
    assert found.b_values == (0, 1000)
    assert found.directions[0] == (0, 0, 0)
    along = in_patient(volume, found.directions[1])
    if write is in_matrix:  # an axis has no sign
        along = along * np.sign(along @ DIRECTION)
    assert np.allclose(along, DIRECTION, atol=2e-5)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("numbering", [False, True])
def test_directions_of_mosaics(reverse: bool, numbering: bool) -> None:
    """A direction and its opposite are one; all of a series are turned round, or none."""
    phantom = Phantom(rotation=oblique((0.4, 0.2, -0.3)), volumes=2)
    datasets = []
    for t, b_value in enumerate((0, 700)):
        image: dict[str, Any] = {"B_value": ("IS", [b_value])}
        if b_value:
            image["DiffusionGradientDirection"] = ("FD", [f"{value:.8f}" for value in DIRECTION])
        how = Mosaic(reverse=reverse, numbering=numbering, image=image)
        datasets.append(sheet(phantom, how, t))
    (volume,) = plan(headers(datasets)).volumes
    found = gradients(volume)
    assert found is not None
    assert found.b_values == (0, 700)
    expected = unit(DIRECTION) * (-1 if reverse and not numbering else 1)
    assert np.allclose(in_patient(volume, found.directions[1]), expected, atol=2e-5)


@pytest.mark.parametrize(
    ("kind", "made"), [("ADC", "ADC"), ("FA", "FA"), ("TRACEW", "trace"), ("TENSOR_B0", "tensor")]
)
def test_what_was_computed_is_no_measurement(kind: str, made: str) -> None:
    dataset = Phantom().instance(0)
    dataset.Manufacturer = "SIEMENS"
    dataset.ImageType = ["DERIVED", "PRIMARY", "DIFFUSION", kind, "ND"]
    in_csa(dataset, 1000, None)
    assert header(dataset).frames[0].derived == made


@pytest.mark.parametrize("kind", ["TRACEW", "ADC", "FA"])
def test_traces_have_b_values_and_maps_have_none(tmp_path: Path, kind: str) -> None:
    made = []
    for t, b_value in enumerate((0, 1000)):
        for k in range(4):
            dataset = Phantom(volumes=2).instance(k, t)
            dataset.Manufacturer = "SIEMENS"
            dataset.ImageType = ["DERIVED", "PRIMARY", "DIFFUSION", kind, "ND"]
            dataset.AcquisitionNumber = t + 1
            in_csa(dataset, b_value, None)
            made.append(dataset)
    save(made, tmp_path / "in")
    (series,) = read_folder([tmp_path / "in"])[0]
    assert not convert_series(series.instances, tmp_path, "dwi").refusals
    found = {path.suffix: path.read_text() for path in tmp_path.glob("dwi*.bv*")}
    assert found == ({".bval": "0 1000\n"} if kind == "TRACEW" else {})


def test_diffusion_says_nothing_of_its_kind() -> None:
    dataset = Phantom().instance(0)
    dataset.Manufacturer = "SIEMENS"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE", "ND"]
    in_csa(dataset, 1000, DIRECTION)
    assert sidecar(dataset)["ImageType"] == ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE", "ND"]


def test_an_isotropic_weighting_is_a_trace() -> None:
    dataset = Phantom().instance(0)
    dataset.Manufacturer = "SIEMENS"
    in_header(dataset, 1000, None)
    private(dataset, 0x19, MR_HEADER, 0x0D, "CS", "ISOTROPIC")
    assert header(dataset).frames[0].derived == "trace"


def test_xa_keeps_the_same_in_groups_of_its_own() -> None:
    """Classic images of XA have the private groups at their top level, in sequences."""
    dataset = Phantom(size=(64, 48, 1)).instance(0)
    dataset.Manufacturer = "SIEMENS"
    dataset.InPlanePhaseEncodingDirection = "COL"
    series, image = Dataset(), Dataset()
    private(series, 0x21, SERIES, 0x19, "OB", protocol({"sKSpace.ucPhasePartialFourier": 8}))
    private(series, 0x21, SERIES, 0x5A, "CS", "EP")
    private(series, 0x21, SERIES, 0x5B, "CS", ["SK", "SS"])
    private(series, 0x21, SERIES, 0x09, "LO", "p3")
    private(image, 0x21, IMAGE, 0x1C, "IS", "1")
    private(image, 0x21, IMAGE, 0x53, "FD", 25.0)
    private(image, 0x21, IMAGE, 0x75, "CS", ["ORIGINAL", "PRIMARY", "M", "DIS2D"])
    private(dataset, 0x21, SERIES, 0xFE, "SQ", Items([series]))
    private(dataset, 0x21, IMAGE, 0xFE, "SQ", Items([image]))
    fields = sidecar(dataset)
    assert fields["PhaseEncodingDirection"] == "j-"
    assert fields["EffectiveEchoSpacing"] == pytest.approx(1 / (25 * 48))
    assert fields["PartialFourier"] == 0.875
    assert fields["ParallelReductionFactorInPlane"] == 3
    assert (fields["ScanningSequence"], fields["SequenceVariant"]) == ("EP", "SK\\SS")
    assert fields["NonlinearGradientCorrection"] is True


@pytest.mark.parametrize(
    "prefix", ["asCoilSelectMeas[0].", "sCoilSelectMeas.aRxCoilSelectData[0]."]
)
def test_settings_of_the_protocol(prefix: str) -> None:
    settings: dict[str, object] = {
        f"{prefix}asList[0].sCoilElementID.tCoilID": '""HeadMatrix""',
        "tSequenceFileName": '""%SiemensSeq%\\ep2d_bold""',
        "ucCoilCombineMode": "0x2",
        "lDelayTimeInTR": 500_000,
        "sKSpace.lBaseResolution": 64,
        "sTXSPEC.asNucleusInfo[0].flReferenceAmplitude": 317.5,
        "sGRADSPEC.asGPAData[0].lOffsetX": -3717,
        "sGRADSPEC.alShimCurrent[4]": 250,
    }
    fields = sidecar(sheet(Phantom(), Mosaic(settings=settings)))
    expected = {
        "ReceiveCoilName": "HeadMatrix",
        "PulseSequenceDetails": "%SiemensSeq%\\ep2d_bold",
        "CoilCombinationMethod": "Adaptive Combine",
        "DelayTime": 0.5,
        "BaseResolution": 64,
        "TxRefAmp": 317.5,
        "ShimSetting": [-3717, 0, 0, 0, 0, 0, 0, 250],
        "PulseSequenceType": "Gradient Echo EPI",
    }
    assert {name: fields.get(name) for name in expected} == expected


def test_labeling_of_arterial_spins() -> None:
    dataset = Phantom().instance(0)
    dataset.Manufacturer = "SIEMENS"
    private(dataset, 0x21, SERIES, 0x55, "CS", "PSEUDOCONTINUOUS")
    private(dataset, 0x21, IMAGE, 0x89, "FD", 1800.0)
    assert "PostLabelingDelay" not in sidecar(dataset)  # of another kind of scan
    macro, slab = Dataset(), Dataset()
    slab.ASLPulseTrainDuration = 1500
    macro.ASLSlabSequence = Items([slab])
    dataset.MRArterialSpinLabelingSequence = Items([macro])
    fields = sidecar(dataset)
    assert fields["ArterialSpinLabelingType"] == "PCASL"
    assert (fields["LabelingDuration"], fields["PostLabelingDelay"]) == (1.5, 1.8)


def test_a_later_echo_alone_in_its_series_has_its_number() -> None:
    dataset = Phantom().instance(0)
    dataset.Manufacturer = "SIEMENS"
    assert "EchoNumber" not in sidecar(dataset)
    private(dataset, 0x21, IMAGE, 0x06, "LO", "X_2_1_1_1_1_1_1_1_1_1_1_629")
    assert sidecar(dataset)["EchoNumber"] == 2
    dataset.EchoNumbers = 3
    assert sidecar(dataset)["EchoNumber"] == 3


def test_a_phase_difference_names_both_echoes() -> None:
    dataset = Phantom().instance(0)
    dataset.Manufacturer = "SIEMENS"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "P", "ND"]
    text = protocol({"lContrasts": 2, "alTE[0]": 4920, "alTE[1]": 7380})
    private(dataset, 0x29, CSA, 0x20, "OB", text + b"\0" * (len(text) % 2))
    fields = sidecar(dataset)
    assert (fields["EchoTime1"], fields["EchoTime2"]) == (0.00492, 0.00738)


def test_other_modalities_are_left_alone() -> None:
    dataset = Phantom(sop_class="1.2.840.10008.5.1.4.1.1.2").instance(0)
    dataset.Manufacturer = "SIEMENS"
    frame = header(dataset).frames[0]
    assert frame.facts == {}
