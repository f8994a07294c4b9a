"""Philips' private elements: order, weighting, scale and what can be estimated of readout."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from node.assemble.series import plan
from node.assemble.sidecar.spin_labeling import volume_types
from tests.phantom import Phantom
from tests.unit.assemble.build import header, headers
from tests.unit.assemble.weighted import old_philips, private, series

IMAGING, MR_1, MR_5 = (
    "Philips Imaging DD 001",
    "Philips MR Imaging DD 001",
    "Philips MR Imaging DD 005",
)


def philips() -> Dataset:
    dataset = Phantom(size=(80, 80, 2)).instance(0)
    dataset.Manufacturer = "Philips Medical Systems"
    dataset.InPlanePhaseEncodingDirection = "COL"
    dataset.ImagingFrequency = "127.763568"
    private(dataset, 0x2001, IMAGING, 0x22, "FL", 7.955749988555908)
    private(dataset, 0x2001, IMAGING, 0x13, "SL", 31)
    return dataset


def test_readout_is_estimated_from_the_water_fat_shift() -> None:
    facts = header(philips()).frames[0].facts
    assert facts["EstimatedTotalReadoutTime"] == pytest.approx(0.0177422, rel=1e-5)
    assert facts["EstimatedEffectiveEchoSpacing"] == pytest.approx(0.000224585, rel=1e-5)
    assert "TotalReadoutTime" not in facts


def test_a_single_line_has_no_readout_train() -> None:
    dataset = philips()
    dataset[0x20011013].value = 1
    assert "EstimatedTotalReadoutTime" not in header(dataset).frames[0].facts


def test_acceleration_is_in_the_private_sequence() -> None:
    dataset, item = philips(), Dataset()
    item.ParallelReductionFactorInPlane = 2.5
    private(dataset, 0x2005, MR_5, 0x0F, "SQ", Sequence([item]))
    assert header(dataset).frames[0].facts["ParallelReductionFactorInPlane"] == 2.5


def test_the_classic_words_of_an_enhanced_image_are_in_the_private_sequence() -> None:
    dataset, item = philips(), Dataset()
    item.ScanningSequence, item.SequenceVariant = "GR", ["SS", "OSP"]
    private(dataset, 0x2005, MR_5, 0x0F, "SQ", Sequence([item]))
    facts = header(dataset).frames[0].facts
    assert (facts["ScanningSequence"], facts["SequenceVariant"]) == ("GR", "SS\\OSP")
    dataset.ScanningSequence = "SE"
    assert "ScanningSequence" not in header(dataset).frames[0].facts


def test_volumes_go_by_phase_where_nothing_else_differs() -> None:
    phantom = Phantom(volumes=3)
    datasets = phantom.instances()
    for index, dataset in enumerate(datasets):
        dataset.Manufacturer = "Philips Medical Systems"
        dataset.TemporalPositionIdentifier = 1
        dataset.TriggerTime = 100 + index * 7  # another delay in every slice
        private(dataset, 0x2001, IMAGING, 0x08, "IS", str(3 - index // 4))
    (volume,) = plan(headers(datasets)).volumes
    assert volume.defined_by == "the vendor's volume index"
    assert [row[0].frame.number for row in volume.grid] == [9, 5, 1]


def test_control_comes_before_label() -> None:
    phantom = Phantom(volumes=2)
    datasets = phantom.instances()
    for index, dataset in enumerate(datasets):
        dataset.Manufacturer = "Philips Medical Systems"
        dataset.TemporalPositionIdentifier = 1
        private(dataset, 0x2005, MR_5, 0x29, "CS", "LABEL" if index < 4 else "CONTROL")
    (volume,) = plan(headers(datasets)).volumes
    assert [row[0].frame.number for row in volume.grid] == [5, 1]
    assert volume_types(volume) == ["control", "label"]


def test_a_trace_is_apart() -> None:
    directions = [None, (1.0, 0.0, 0.0), (0.0, 0.0, 0.0)]
    datasets = series(Phantom(), directions, old_philips)
    for dataset in datasets[8:]:
        dataset[0x20011003].value = 1000.0
        private(dataset, 0x2001, IMAGING, 0x04, "CS", "I")
    volumes = plan(headers(datasets)).volumes
    assert sorted((volume.suffix, len(volume.grid)) for volume in volumes) == [
        ("", 2),
        ("_trace", 1),
    ]
