"""Slice times from times of acquisition, where these can be any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.phantom import Phantom
from tests.unit.assemble.build import changed
from tests.unit.assemble.test_enhanced import enhanced
from tests.unit.assemble.test_timing_fields import sidecar_of
from tests.unit.assemble.test_volume_times import clock

INTERLEAVED = (0, 1.2, 0.4, 1.6, 0.8)


def series(
    times: Sequence[float], *, volumes: int = 3, start: float = 36000.0, **more: Any
) -> list[Dataset]:
    """Volumes two seconds apart, whose slices have these times, s."""
    count = len(times)
    made = Phantom(size=(6, 5, count), volumes=volumes).instances()
    for index, dataset in enumerate(made):
        t, k = divmod(index, count)
        changed(dataset, AcquisitionTime=clock(2.0 * t + times[k], start), **more)
    return made


@pytest.mark.parametrize("maker", ["SIEMENS", "Philips Medical Systems", "", "CANON_MEC"])
def test_slices_that_have_each_a_time_of_its_own(maker: str) -> None:
    fields = sidecar_of(series(INTERLEAVED, Manufacturer=maker))
    assert fields["SliceTiming"] == list(INTERLEAVED)


@pytest.mark.parametrize("start", [36000.0, 86398.7])
def test_a_volume_begins_with_its_earliest_slice(start: float) -> None:
    times = (1.2, 0, 1.6, 0.4, 0.8)
    fields = sidecar_of(series(times, start=start))
    begin = clock(0, start)
    assert fields["AcquisitionTime"] == f"{begin[:2]}:{begin[2:4]}:{begin[4:]}"
    assert fields["SliceTiming"] == list(times)


def test_frames_of_an_enhanced_image_too() -> None:
    made = enhanced(Phantom(size=(6, 5, 5), volumes=3))
    for index, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        t, k = divmod(index, 5)
        at = clock(2.0 * t + ((*INTERLEAVED[1:], 0)[k]))
        group.FrameContentSequence[0].FrameAcquisitionDateTime = f"20200101{at}"
    fields = sidecar_of([made])
    assert fields["AcquisitionTime"] == "10:00:00.000000"
    assert fields["SliceTiming"] == [*INTERLEAVED[1:], 0]


def test_several_slices_at_once_lie_evenly() -> None:
    assert sidecar_of(series((0, 1, 0.5, 0, 1, 0.5)))["SliceTiming"] == [0, 1, 0.5, 0, 1, 0.5]


@pytest.mark.parametrize("maker", ["SIEMENS", ""])
@pytest.mark.parametrize(
    "times",
    [
        (0, 0, 0, 0, 0),  # of the volume
        (0, 0, 1, 1, 1),  # whole seconds
        (0, 0, 1, 0.5, 0.5, 1),  # two at once, side by side
        (0, 1, 2, 3, 4),  # one slice after the other, over several volumes
        (0, 0.1, 0.2, 0.3, 1.6),
    ],
)
def test_times_that_are_none_of_slices(times: tuple[float, ...], maker: str) -> None:
    made = series(times, Manufacturer=maker, MRAcquisitionType="2D")
    assert "SliceTiming" not in sidecar_of(made)


@pytest.mark.parametrize(
    "attributes",
    [{"MRAcquisitionType": "3D"}, {"Manufacturer": "GE MEDICAL SYSTEMS"}, {"Modality": "CT"}],
)
def test_images_that_have_no_slice_times(attributes: dict[str, Any]) -> None:
    assert "SliceTiming" not in sidecar_of(series(INTERLEAVED, **attributes))


def test_volumes_have_to_agree_but_for_the_first() -> None:
    def made(odd: int) -> list[Dataset]:
        datasets = series(INTERLEAVED, volumes=4)
        for k in range(5):
            datasets[odd * 5 + k].AcquisitionTime = clock(2.0 * odd + 0.4 * k)
        return datasets

    assert sidecar_of(made(0))["SliceTiming"] == list(INTERLEAVED)
    assert "SliceTiming" not in sidecar_of(made(2))


def test_a_single_volume_fits_in_one_repetition() -> None:
    long = series(INTERLEAVED, volumes=1, RepetitionTime=2000)
    assert sidecar_of(long)["SliceTiming"] == list(INTERLEAVED)
    short = series(INTERLEAVED, volumes=1, RepetitionTime=500)
    assert "SliceTiming" not in sidecar_of(short)
