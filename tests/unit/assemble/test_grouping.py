"""Which frames are one image: what parts them, and what never does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from pydicom.dataset import Dataset

from node.assemble.series import SeriesPlan, plan
from node.assemble.stacks.grouping import same_values
from node.core.errors import Reason
from tests.phantom import CT, Phantom
from tests.unit.assemble.build import changed, headers

EIGHT = Phantom(size=(6, 5, 8), spacing=(1.5, 2.0, 3.0))


def by_turns(sop_class: str, one: dict[str, Any], other: dict[str, Any]) -> list[Dataset]:
    """Eight slices, every second of which has other attributes."""
    datasets = EIGHT.but(sop_class=sop_class).instances()
    return [changed(each, **(other if k % 2 else one)) for k, each in enumerate(datasets)]


def shapes(found: SeriesPlan) -> list[tuple[int, ...]]:
    return sorted(volume.shape for volume in found.volumes)


def reasons(found: SeriesPlan) -> list[Reason]:
    return [error.reason for error in found.refusals]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"EchoTime": "3.634"}, {"EchoTime": "3.636"}),
        ({"FlipAngle": "11.95"}, {"FlipAngle": "12.05"}),
        (
            {"ImageType": ["ORIGINAL", "PRIMARY", "M"]},
            {"ImageType": ["ORIGINAL", "PRIMARY", "M", "X"]},
        ),
        ({"SeriesNumber": ""}, {"SeriesNumber": "7"}),
        ({"FrameOfReferenceUID": None}, {}),
        ({"PixelSpacing": ["2.0", "1.5"]}, {"PixelSpacing": ["2.0004", "1.5004"]}),
        ({}, {"ImageOrientationPatient": [1, 0.0015, 0, -0.0015, 1, 0]}),
        ({"ImageType": ["ORIGINAL", "PRIMARY", ""]}, {}),
        ({"AcquisitionNumber": "1"}, {"AcquisitionNumber": "2"}),
        ({"ReceiveCoilName": "H1"}, {"ReceiveCoilName": "H1;H2"}),
    ],
)
def test_what_never_tears_an_image_apart(one: dict[str, Any], other: dict[str, Any]) -> None:
    found = plan(headers(by_turns(Phantom().sop_class, one, other)))
    assert not found.refusals
    assert shapes(found) == [(6, 5, 8)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"ConvolutionKernel": "B30f"}, {"ConvolutionKernel": "B70f"}),
        ({"KVP": "80"}, {"KVP": "140"}),
        ({"SliceThickness": "3"}, {"SliceThickness": "5"}),
        ({"ContrastBolusAgent": None}, {"ContrastBolusAgent": "iodine"}),
    ],
)
def test_reconstructions_between_each_others_slices_are_two_images(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    found = plan(headers(by_turns(CT, one, other)))
    assert not found.refusals
    assert shapes(found) == [(6, 5, 4), (6, 5, 4)]


def test_acquisitions_whose_thick_slices_take_turns_are_two_images() -> None:
    thick = {"SliceThickness": "6"}
    found = plan(
        headers(
            by_turns(CT, {"AcquisitionNumber": "1", **thick}, {"AcquisitionNumber": "2", **thick})
        )
    )
    assert shapes(found) == [(6, 5, 4), (6, 5, 4)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"EchoTime": "10"}, {"EchoTime": "20"}),
        ({"FrameOfReferenceUID": "1.2.3"}, {"FrameOfReferenceUID": "1.2.4"}),
        ({"FlipAngle": "5"}, {"FlipAngle": "15"}),
    ],
)
def test_halves_of_one_image_are_named(one: dict[str, Any], other: dict[str, Any]) -> None:
    found = plan(headers(by_turns(Phantom().sop_class, one, other)))
    assert not found.volumes
    assert set(reasons(found)) == {Reason.INCONSISTENT_FRAMES}


def test_a_frame_of_reference_for_each_slice_is_named() -> None:
    datasets = [
        changed(each, FrameOfReferenceUID=f"1.2.{k}") for k, each in enumerate(EIGHT.instances())
    ]
    found = plan(headers(datasets))
    assert not found.volumes
    assert "Frame of Reference UID" in found.refusals[0].sentence


def twice(vary: Callable[[int], dict[str, Any]], sop_class: str = CT) -> list[Dataset]:
    """Every slice two times; what varies is a function of which of them it is."""
    found: list[Dataset] = []
    for which in range(2):
        for each in EIGHT.but(sop_class=sop_class).instances():
            each.SOPInstanceUID += f".{which}"
            each.InstanceNumber += 8 * which
            found.append(changed(each, **vary(which)))
    return found


@pytest.mark.parametrize(
    "values",
    [
        {"ConvolutionKernel": ("soft", "lung")},
        {"KVP": ("80", "140")},
        {"SliceThickness": ("1", "3")},
        {"ContrastBolusAgent": ("", "iodine")},
        {"InversionTime": ("700", "2500")},
        {"ReceiveCoilName": ("A", "B")},
        {"ImageType": (["ORIGINAL", "PRIMARY", "M", "ONE"], ["ORIGINAL", "PRIMARY", "M", "TWO"])},
    ],
)
def test_images_of_one_place_are_no_time_series(values: dict[str, Any]) -> None:
    (name, pair), *_ = values.items()
    found = plan(headers(twice(lambda which: {name: pair[which]})))
    assert not found.refusals
    assert shapes(found) == [(6, 5, 8), (6, 5, 8)]


def test_a_number_alone_makes_no_time_series_of_a_ct() -> None:
    assert reasons(plan(headers(twice(lambda _: {})))) == [Reason.AMBIGUOUS_ORDER]
    assert shapes(plan(headers(twice(lambda _: {}, Phantom().sop_class)))) == [(6, 5, 8, 2)]


def moved(datasets: Iterable[Dataset], by: tuple[float, float, float], name: str) -> list[Dataset]:
    found = []
    for each in datasets:
        place = [a + b for a, b in zip(each.ImagePositionPatient, by, strict=True)]
        each.SOPInstanceUID += name
        found.append(changed(each, ImagePositionPatient=place))
    return found


def test_images_side_by_side_are_two_volumes() -> None:
    both = [*EIGHT.instances(), *moved(EIGHT.instances(), (100, 0, 0), ".2")]
    found = plan(headers(both))
    assert not found.refusals
    assert shapes(found) == [(6, 5, 8), (6, 5, 8)]


def test_groups_of_slices_are_volumes_and_a_lost_slice_is_a_gap() -> None:
    apart = [*EIGHT.instances(), *moved(EIGHT.instances(), (0, 0, 40.3), ".2")]
    assert shapes(plan(headers(apart))) == [(6, 5, 8), (6, 5, 8)]
    gap = [*EIGHT.instances(), *moved(EIGHT.instances(), (0, 0, 27), ".2")]
    assert reasons(plan(headers(gap))) == [Reason.MISSING_SLICE]


def test_acquisitions_that_meet_in_one_place_are_two_volumes() -> None:
    datasets = [
        *(changed(each, AcquisitionNumber=1) for each in EIGHT.instances()),
        *(changed(e, AcquisitionNumber=2) for e in moved(EIGHT.instances(), (0, 0, 21), ".2")),
    ]
    found = plan(headers(datasets))
    assert not found.refusals
    assert shapes(found) == [(6, 5, 8), (6, 5, 8)]


def test_thick_slices_after_thin_ones_are_no_gap() -> None:
    datasets = EIGHT.instances()
    for each in datasets[5:]:
        x, y, z = each.ImagePositionPatient
        moved_on = [x, y, z + 3 * (each.InstanceNumber - 5)]
        changed(each, ImagePositionPatient=moved_on, SliceThickness=6)
    assert reasons(plan(headers(datasets))) == [Reason.UNEQUAL_SPACING]
    (volume,) = plan(headers(datasets), even_out=True).volumes
    assert volume.places[-1] == 10


def test_many_echoes_are_no_orientations() -> None:
    datasets = []
    for echo in range(48):
        for each in Phantom().instances():
            each.SOPInstanceUID += f".{echo}"
            datasets.append(changed(each, EchoNumbers=echo + 1, EchoTime=10 * (echo + 1)))
    assert len(plan(headers(datasets)).volumes) == 48


def test_values_that_differ_by_rounding_are_one() -> None:
    assert same_values([1.0, 1.01, 1.02, 5.0, None], 0.015) == {1.0: 0, 1.01: 0, 1.02: 0, 5.0: 1}
    assert len(set(same_values(["a", "b", 3.0], 0).values())) == 3
