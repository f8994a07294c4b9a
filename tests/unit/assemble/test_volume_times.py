"""The time between volumes: measured, or stated where nothing contradicts it, or not there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from node.assemble.order.volume_times import times_of
from node.assemble.series import plan
from node.assemble.volumes.nifti import make_header
from tests.phantom import CT, PET, Phantom
from tests.unit.assemble.build import changed, header, headers
from tests.unit.assemble.siemens_scans import Mosaic, sheet
from tests.unit.assemble.test_enhanced import enhanced, item
from tests.unit.assemble.test_timing_fields import sidecar_of, volume_of

SLICES = 4


def clock(seconds: float, start: float = 36000.0) -> str:
    """TM, so many s after another time of day."""
    at = (start + seconds) % 86400
    return f"{int(at // 3600):02d}{int(at // 60) % 60:02d}{at % 60:09.6f}"


def series(starts: Sequence[float | None], *, sop_class: str = "", **more: Any) -> list[Dataset]:
    """Volumes with these times of acquisition, s; None where there is none."""
    phantom = Phantom(volumes=len(starts), **({"sop_class": sop_class} if sop_class else {}))
    made = phantom.instances()
    for index, dataset in enumerate(made):
        start = starts[index // SLICES]
        changed(dataset, AcquisitionTime=None if start is None else clock(start), **more)
    return made


def between(datasets: list[Dataset]) -> float | None:
    return times_of(volume_of(datasets)).interval


def cine(trigger: Sequence[float], **more: Any) -> list[Dataset]:
    made = series([0.0] * len(trigger), **more)
    for index, dataset in enumerate(made):
        changed(dataset, TriggerTime=trigger[index // SLICES], TemporalPositionIdentifier=None)
    return made


@pytest.mark.parametrize(
    ("triggers", "expected"),
    [
        ((0, 33, 67, 100), 0.033333),
        ((0, 33, 66, 99), 0.033),
        ((0, 33, 66, 132), None),  # a phase is not there
    ],
)
def test_phases_are_as_far_apart_as_their_triggers(
    triggers: tuple[float, ...], expected: float | None
) -> None:
    fields = sidecar_of(cine(triggers, RepetitionTime=3.2))
    assert between(cine(triggers, RepetitionTime=3.2)) == expected
    assert fields.get("RepetitionTime") == expected
    assert fields["RepetitionTimeExcitation"] == 0.0032


def test_phases_of_slices_with_other_heartbeats() -> None:
    def made(shortest: float) -> list[Dataset]:
        datasets = cine((0, 1, 2, 3), RepetitionTime=3.2)
        for index, dataset in enumerate(datasets):
            dataset.TriggerTime = index // SLICES * (40 if index % SLICES else shortest)
        return datasets

    assert between(made(39.8)) == pytest.approx(0.04, rel=0.01)
    assert between(made(30)) is None


def test_delays_that_jitter_are_no_time_between_volumes() -> None:
    datasets = series([0.0, 0.8, 1.6, 2.4], RepetitionTime=180)
    for index, dataset in enumerate(datasets):
        dataset.TriggerTime = (500, 507.5, 515, 522.5)[index // SLICES]
    assert between(datasets) == 0.8


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"ScanningSequence": "EP", "MRAcquisitionType": "2D"}, 2.0),
        ({"MRAcquisitionType": "3D", "ScanningSequence": "EP"}, None),
        ({"ScanningSequence": "SE"}, None),
        ({"ScanningSequence": "GR", "EchoTrainLength": 31, "Rows": 5}, 2.0),
        (
            {"ScanningSequence": "GR", "EchoTrainLength": 8, "AcquisitionMatrix": [64, 0, 0, 64]},
            None,
        ),
        ({"ScanningSequence": "EP", "NumberOfAverages": 2}, None),
        ({"RepetitionTime": 3.2}, None),
        ({"TemporalResolution": 3000}, 3.0),
        ({"TemporalResolution": 3000, "MRAcquisitionType": "3D", "RepetitionTime": 5}, 3.0),
        ({"TemporalResolution": 2}, 2.0),  # less than one repetition: of something else
    ],
)
def test_a_repetition_is_a_volume_only_where_it_can_be(
    attributes: dict[str, Any], expected: float | None
) -> None:
    datasets = series([None] * 3, **attributes)
    fields = sidecar_of(datasets)
    assert between(datasets) == expected
    assert fields.get("RepetitionTime") == expected
    assert "TemporalResolution" not in fields


def test_inversion_times_are_images_of_their_own() -> None:
    datasets = series([None] * 3, ScanningSequence="EP")
    for index, dataset in enumerate(datasets):
        dataset.InversionTime = 100 + index // SLICES * 400
    found = plan(headers(datasets)).volumes
    assert [volume.first.frame.settings[-1] for volume in found] == [
        ("Inversion Time", 100.0),
        ("Inversion Time", 500.0),
        ("Inversion Time", 900.0),
    ]


@pytest.mark.parametrize(
    ("starts", "repetition", "expected"),
    [
        ((0, 2, 5, 7, 10), 2400, 2.4),  # whole seconds of 2.4 s
        ((0, 2, 4, 7, 9), 5, None),  # of what they do not tell exactly
        ((0, 3, 6, 9), 5, 3.0),
        ((0.5, 3.01, 5.49, 8.0), 5, 2.5),
    ],
)
def test_whole_seconds_leave_doubt(
    starts: tuple[float, ...], repetition: float, expected: float | None
) -> None:
    datasets = series(starts, RepetitionTime=repetition)
    assert between(datasets) == expected
    assert "VolumeTiming" not in sidecar_of(datasets)


def test_uneven_volumes_have_no_interval_but_times() -> None:
    datasets = series((0.5, 2.5, 4.5, 9.5), RepetitionTime=2000)
    fields = sidecar_of(datasets)
    assert between(datasets) is None
    assert fields["VolumeTiming"] == [0, 2, 4, 9]
    assert fields["RepetitionTimeExcitation"] == 2.0


def test_what_prepares_a_run_is_no_interval() -> None:
    datasets = series((0.5, 14.5, 16.5, 18.5), RepetitionTime=2000, ScanningSequence="EP")
    assert between(datasets) == 2.0
    assert "VolumeTiming" not in sidecar_of(datasets)


@pytest.mark.parametrize(
    ("kind", "starts", "expected"),
    [
        ("3D", (0.0, 21.6, 43.2), 21.6),  # segments
        ("2D", (0.0, 14.55), 3.0),  # references before the first volume
        ("2D", (0.0, 4.5, 9.0), 4.5),  # a pause after each
    ],
)
def test_mosaics_are_timed_as_others(kind: str, starts: tuple[float, ...], expected: float) -> None:
    datasets = [
        changed(
            sheet(Phantom(size=(6, 6, 4), volumes=len(starts)), Mosaic(), t),
            AcquisitionTime=clock(start),
            AcquisitionNumber=t + 1,
            InstanceNumber=t + 1,
            MRAcquisitionType=kind,
            ScanningSequence="EP",
            RepetitionTime=3000,
        )
        for t, start in enumerate(starts)
    ]
    assert between(datasets) == expected
    assert sidecar_of(datasets)["RepetitionTime"] == expected


@pytest.mark.parametrize("day", [None, "19000101"])
def test_intervals_over_midnight_without_days(day: str | None) -> None:
    datasets = series([None] * 5, AcquisitionDate=day, RepetitionTime=2000)
    for index, dataset in enumerate(datasets):
        dataset.AcquisitionTime = clock(3.0 * (index // SLICES), 86393.5)
    assert between(datasets) == 3.0
    assert sidecar_of(datasets)["AcquisitionTime"] == "23:59:53.500000"


@pytest.mark.parametrize("sop_class", [CT, PET])
def test_a_single_volume_has_no_interval(sop_class: str) -> None:
    assert between(Phantom(sop_class=sop_class).instances()) is None
    made = Phantom(attributes={"RepetitionTime": 6.2}).instances()
    assert between(made) is None
    assert sidecar_of(made)["RepetitionTime"] == 0.0062


def test_gates_are_as_far_apart_as_their_triggers() -> None:
    datasets = cine((0, 250, 500, 750), sop_class=PET, FrameReferenceTime=300000)
    assert between(datasets) == 0.25


@pytest.mark.parametrize(("step", "expected"), [(10.0, 10.0), (0.0, None)])
def test_pet_without_times_of_acquisition(step: float, expected: float | None) -> None:
    datasets = series([None] * 3, sop_class=PET, RepetitionTime=None)
    for index, dataset in enumerate(datasets):
        dataset.FrameReferenceTime = 5000 + 1000 * step * (index // SLICES)
    assert between(datasets) == expected


def test_what_is_not_known_is_zero_in_the_header() -> None:
    unknown = make_header((2, 2, 2, 3), np.dtype(np.int16), np.eye(4))
    assert unknown["pixdim"][4] == 0


def test_times_of_an_enhanced_frame_are_those_of_its_volume() -> None:
    made = enhanced(Phantom(volumes=2))
    changed(made, RepetitionTime=None)
    for index, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        group.MRTimingAndRelatedParametersSequence = item(RepetitionTime=2000.0)
        group.MRModifierSequence = item(InversionTimes=[100.0, 900.0][index // SLICES])
    _, later = plan([header(made)]).volumes
    assert {piece.frame.facts["InversionTime"] for piece in later.grid[0]} == {0.9}
    assert "RepetitionTime" not in header(made).frames[0].facts  # kept once
