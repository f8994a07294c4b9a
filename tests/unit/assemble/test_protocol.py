"""A protocol is compared with what came: every planted change is found, jitter is none."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from node.assemble.protocol import described, deviations, missing
from node.assemble.series import plan
from tests.phantom import Phantom, oblique
from tests.unit.assemble.build import header

PHANTOM = Phantom(
    volumes=3,
    size=(8, 8, 6),
    attributes={
        "SeriesDescription": "bold",
        "EchoTime": 30.0,
        "FlipAngle": 70.0,
        "RepetitionTime": 2000.0,
        "ReceiveCoilName": "Head_64",
        "Manufacturer": "SIEMENS",
    },
)


def entry(phantom: Phantom, change: Callable[[Dataset], None] = lambda _: None) -> dict[str, Any]:
    made = phantom.instances()
    for one in made:
        change(one)
    (volume,) = plan([header(one) for one in made]).volumes
    return described(volume)


def put(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda one: setattr(one, keyword, value)


REFERENCE = entry(PHANTOM)


@pytest.mark.parametrize(
    ("parameter", "changed"),
    [
        ("RepetitionTime", lambda: entry(PHANTOM, put("RepetitionTime", 2010))),
        ("EchoTime", lambda: entry(PHANTOM, put("EchoTime", 30.5))),
        ("InversionTime", lambda: entry(PHANTOM, put("InversionTime", 900))),
        ("FlipAngle", lambda: entry(PHANTOM, put("FlipAngle", 71))),
        ("ReceiveCoilName", lambda: entry(PHANTOM, put("ReceiveCoilName", "Head_20"))),
        ("matrix", lambda: entry(PHANTOM.but(size=(9, 8, 6)))),
        ("matrix", lambda: entry(PHANTOM.but(size=(8, 8, 5)))),
        ("volumes", lambda: entry(PHANTOM.but(volumes=2))),
        ("spacing", lambda: entry(PHANTOM.but(spacing=(1.5, 2.0, 3.1)))),
        ("spacing", lambda: entry(PHANTOM.but(spacing=(1.55, 2.0, 3.0)))),
        ("orientation", lambda: entry(PHANTOM.but(rotation=oblique([0.35, 0, 0])))),
    ],
)
def test_each_planted_change_is_found_alone(
    parameter: str, changed: Callable[[], dict[str, Any]]
) -> None:
    found = deviations([REFERENCE], changed())
    assert found is not None
    assert [one.parameter for one in found] == [parameter]
    assert parameter in found[0].sentence


@pytest.mark.parametrize("seed", range(50))
def test_repeats_with_a_scanners_jitter_are_no_drift(seed: int) -> None:
    chance = random.Random(seed)
    turned = oblique([chance.uniform(-0.1, 0.1) for _ in range(3)])
    origin = tuple(chance.uniform(-30, 30) for _ in range(3))

    def jitter(one: Dataset) -> None:
        one.RepetitionTime = 2000 + echo[0]
        one.EchoTime, one.FlipAngle = 30 + echo[1], 70 + echo[2]

    echo = [chance.uniform(-1.0, 1.0), chance.uniform(-0.05, 0.05), chance.uniform(-0.2, 0.2)]
    found = entry(PHANTOM.but(rotation=turned, origin=origin), jitter)
    assert deviations([REFERENCE], found) == []


def test_the_nearest_of_several_runs_counts() -> None:
    longer = {**REFERENCE, "volumes": 9}
    assert deviations([longer, REFERENCE], REFERENCE) == []


def test_a_series_of_another_name_is_not_compared() -> None:
    assert deviations([REFERENCE], {**REFERENCE, "series": "T1"}) is None


def test_tolerances_can_be_set() -> None:
    found = entry(PHANTOM, put("FlipAngle", 75))
    assert deviations([REFERENCE], found, {"FlipAngle": 5}) == []


def test_missing_series_are_counted() -> None:
    (found,) = missing([REFERENCE, REFERENCE], [REFERENCE])
    assert (found.parameter, found.expected, found.found, found.unit) == (
        "missing series",
        2,
        1,
        "series",
    )
    assert found.sentence == "bold: the series is missing; there are 1 of 2"
    assert missing([REFERENCE], [REFERENCE, REFERENCE]) == []
    (none,) = missing([REFERENCE], [])
    assert none.sentence == "bold: the series is missing"


def test_a_series_whose_volumes_are_not_known_stands_for_one_of_each_kind() -> None:
    phase = {**REFERENCE, "kind": "_ph"}
    assert missing([REFERENCE, phase], [{"series": "bold"}]) == []
    (found,) = missing([REFERENCE, phase], [{"series": "bold", "kind": ""}])
    assert found.series == "bold_ph"


def test_orientation_is_the_angle() -> None:
    found = deviations([REFERENCE], entry(PHANTOM.but(rotation=oblique([0, 0, np.pi / 2]))))
    assert found is not None
    assert ("orientation", 90.0) in [(one.parameter, one.difference) for one in found]
