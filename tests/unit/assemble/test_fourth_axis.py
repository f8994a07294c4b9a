"""The 4th axis: whole volumes kept, the rest of an interrupted scan named."""

from __future__ import annotations

import random

import pytest

from node.assemble.series import plan
from node.core.errors import Reason
from tests.phantom import Phantom
from tests.unit.assemble.build import changed, headers
from tests.unit.assemble.weighted import series, uih

PHANTOM = Phantom(size=(6, 5, 4), volumes=4)


def test_an_interrupted_scan_keeps_its_whole_volumes() -> None:
    datasets = PHANTOM.instances()[:-2]
    (volume,) = plan(headers(datasets)).volumes
    assert len(volume.grid) == 3
    assert sorted(item.sop_instance_uid for item in volume.left_out) == [
        f"{PHANTOM.series}.13",
        f"{PHANTOM.series}.14",
    ]


def test_the_attribute_decides_whatever_the_numbers_say() -> None:
    datasets = PHANTOM.instances()
    numbers = list(range(1, len(datasets) + 1))
    random.Random(4).shuffle(numbers)
    for dataset, number in zip(datasets, numbers, strict=True):
        dataset.InstanceNumber = number
    (volume,) = plan(headers(datasets)).volumes
    assert volume.defined_by == "Temporal Position"
    assert [[piece.frame.temporal for piece in row] for row in volume.grid] == [
        [t] * 4 for t in (1, 2, 3, 4)
    ]


def test_an_order_that_would_mix_weightings_gives_way_to_one_that_does_not() -> None:
    datasets = series(PHANTOM.but(volumes=1), [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)], uih)
    for index, dataset in enumerate(datasets):
        dataset.AcquisitionNumber = 1 + (index + index // 4) % 2
    (volume,) = plan(headers(datasets)).volumes
    assert volume.defined_by == "Instance Number"
    assert [len({piece.frame.gradient for piece in row}) for row in volume.grid] == [1, 1]


@pytest.mark.parametrize("slices", [1, 4])
def test_numbers_that_contradict_each_other_are_no_order(slices: int) -> None:
    datasets = PHANTOM.but(size=(6, 5, slices)).instances()
    for index, dataset in enumerate(datasets):
        volume = index // slices
        changed(dataset, TemporalPositionIdentifier=None, AcquisitionNumber=9 - volume)
    result = plan(headers(datasets))
    assert not result.volumes
    (refusal,) = result.refusals
    assert refusal.reason is Reason.AMBIGUOUS_ORDER
    assert "opposite" in refusal.sentence
    for index, dataset in enumerate(datasets):
        dataset.AcquisitionTime = f"1000{index // slices:02d}"
    (made,) = plan(headers(datasets)).volumes
    assert made.defined_by == "Acquisition Time"
    assert [row[0].frame.acquisition for row in made.grid] == [9, 8, 7, 6]


def test_attributes_that_contradict_each_other_are_refused_by_what_each_says() -> None:
    datasets = PHANTOM.instances()
    for index, dataset in enumerate(datasets):
        changed(dataset, AcquisitionTime=f"1000{40 - index // 4 * 10:02d}")
    (refusal,) = plan(headers(datasets)).refusals
    assert refusal.reason is Reason.AMBIGUOUS_ORDER
    assert "Temporal Position makes 4 volumes" in refusal.sentence
    assert "Acquisition Time the same in another order" in refusal.sentence


@pytest.mark.parametrize("timed", [False, True])
def test_one_whole_volume_of_an_interrupted_scan_is_kept(timed: bool) -> None:
    """Temporal Position says so; times, which alone would be too little, do not contradict it."""
    datasets = PHANTOM.but(volumes=2).instances()[:-2]
    for index, dataset in enumerate(datasets if timed else []):
        changed(dataset, AcquisitionTime=f"1000{index // 4 * 2:02d}")
    (volume,) = plan(headers(datasets)).volumes
    assert len(volume.grid) == 1
    assert len(volume.left_out) == 2


@pytest.mark.parametrize(
    ("lost", "reason"), [(1, Reason.INCOMPLETE_GRID), (3, Reason.DUPLICATE_POSITION)]
)
def test_a_refusal_names_every_image_that_is_in_no_volume(lost: int, reason: Reason) -> None:
    datasets = PHANTOM.but(volumes=2).instances()[:-lost]
    for dataset in datasets:
        changed(dataset, TemporalPositionIdentifier=None, InstanceNumber=None, AcquisitionNumber=1)
    result = plan(headers(datasets))
    assert not result.volumes
    (refusal,) = result.refusals
    assert refusal.reason is reason
    assert set(refusal.instances) == {dataset.SOPInstanceUID for dataset in datasets}
