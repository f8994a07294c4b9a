"""The 4th axis: whole volumes kept, the rest of an interrupted scan named."""

from __future__ import annotations

import random

from node.assemble.series import plan
from tests.phantom import Phantom
from tests.unit.assemble.build import headers
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
