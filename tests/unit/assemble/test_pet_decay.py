"""PET: to which moment activities were corrected, by what the header can confirm."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.phantom import PET, Phantom
from tests.unit.assemble.build import changed
from tests.unit.assemble.test_timing_fields import sidecar_of
from tests.unit.assemble.test_volume_times import clock

HALF_LIFE = 6586.2
SCAN = 36000.0
LASTING = 1200.0


def factor(since: float, lasting: float = LASTING) -> str:
    """Decay Factor of a frame that begins so many s after the reference."""
    decay = math.log(2) / HALF_LIFE
    return f"{math.exp(decay * since) * decay * lasting / (1 - math.exp(-decay * lasting)):.6g}"


def series(starts: tuple[float, ...] = (0.0,), **more: Any) -> list[Dataset]:
    """Frames that were acquired so many s after ten o'clock."""
    volumes = len(starts)
    made = Phantom(sop_class=PET, volumes=volumes).instances()
    injection = {key: more.pop(key) for key in tuple(more) if key.startswith("Radio")}
    for index, dataset in enumerate(made):
        dose = changed(Dataset(), RadionuclideHalfLife=HALF_LIFE)
        changed(dose, **{"RadiopharmaceuticalStartTime": clock(-3000, SCAN), **injection})
        changed(
            dataset,
            AcquisitionDate="20240102",
            AcquisitionTime=clock(starts[index // 4], SCAN),
            SeriesDate="20240102",
            SeriesTime=clock(0, SCAN),
            ActualFrameDuration=str(int(LASTING * 1000)),
            DecayCorrection="START",
            RadiopharmaceuticalInformationSequence=[dose],
        )
        changed(dataset, **more)
    return made


def corrected(datasets: list[Dataset]) -> float | None:
    fields = sidecar_of(datasets)
    assert fields["ImageDecayCorrected"] is True
    value = fields.get("ImageDecayCorrectionTime")
    assert value is None or isinstance(value, float)
    return value


@pytest.mark.parametrize(
    ("series_time", "more", "expected"),
    [
        (0, {}, 0),
        (-3000, {}, -3000),  # at the injection, as SUVs want it
        (-3000, {"DecayFactor": factor(3000)}, -3000),
        (-3000, {"DecayFactor": f"{math.exp(math.log(2) / HALF_LIFE * 3000):.6g}"}, -3000),
        (-3000, {"DecayFactor": factor(0)}, 0),
        (0, {"DecayFactor": factor(3000)}, -3000),
        (0, {"DecayFactor": "3"}, None),
        (-3000, {"FrameReferenceTime": 3600000}, -3000),
        (-3000, {"FrameReferenceTime": 600000}, 0),
        (-3000, {"FrameReferenceTime": 0}, -3000),  # not said
        (7200, {}, None),  # of a series that was made later
        (7200, {"FrameReferenceTime": 600000}, None),
        (7200, {"DecayFactor": factor(0)}, 0),
        (7200, {"DecayFactor": factor(3000)}, -3000),
    ],
)
def test_start_is_the_series_that_the_factors_confirm(
    series_time: float, more: dict[str, Any], expected: float | None
) -> None:
    assert corrected(series(SeriesTime=clock(series_time, SCAN), **more)) == expected


def test_without_series_time_something_else_has_to_say() -> None:
    assert corrected(series(SeriesTime=None)) is None
    assert corrected(series(SeriesTime=None, DecayFactor=factor(0))) == 0


def test_all_frames_have_to_confirm_it() -> None:
    starts = (0.0, 1200.0, 2400.0)

    def made(*factors: str) -> list[Dataset]:
        datasets = series(starts)
        for index, dataset in enumerate(datasets):
            dataset.DecayFactor = factors[index // 4]
        return datasets

    assert corrected(made(*(factor(start) for start in starts))) == 0
    assert corrected(made(factor(0), factor(0), factor(0))) is None  # each to its own beginning


def test_beds_are_corrected_to_one_moment() -> None:
    datasets = series()
    for k, dataset in enumerate(datasets):
        late = 1200.0 * (k < 2)  # from the feet up: the first slice is of the second bed
        changed(dataset, AcquisitionTime=clock(late, SCAN), DecayFactor=factor(late))
    fields = sidecar_of(datasets)
    assert (fields["TimeZero"], fields["FrameTimesStart"]) == ("10:00:00", [0])
    assert fields["ImageDecayCorrectionTime"] == 0
    assert "DecayFactor" not in fields
    assert fields["FrameDuration"] == [1200]


@pytest.mark.parametrize("day", ["20240102", "20240101", None])
def test_a_series_that_began_before_midnight(day: str | None) -> None:
    """On its day, or on the one day that was written everywhere, or on none."""
    made = series(AcquisitionTime="000500", SeriesTime="235500", SeriesDate=day)
    assert corrected(made) == -600


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"RadiopharmaceuticalStartDateTime": "20240102091000"}, -3000),
        (
            {
                "RadiopharmaceuticalStartDateTime": "20240102090000",
                "RadiopharmaceuticalStartTime": "093000",
            },
            -3600,
        ),
        ({"RadiopharmaceuticalStartDateTime": "19000101091000"}, -3000),  # no such day
        ({"RadionuclideHalfLife": 282000}, None),  # of days, and no day
        (
            {
                "RadionuclideHalfLife": 282000,
                "RadiopharmaceuticalStartDateTime": "20231230100000",
            },
            -3 * 86400,
        ),
    ],
)
def test_injection(more: dict[str, Any], expected: float | None) -> None:
    fields = sidecar_of(series(DecayCorrection="ADMIN", **more))
    assert fields.get("InjectionStart") == expected
    assert fields.get("ImageDecayCorrectionTime") == expected
    assert not [name for name in fields if "Moment" in name or "Seconds" in name]


def test_frames_over_midnight() -> None:
    datasets = series((0.0, 60.0, 180.0), AcquisitionDate="19000101")
    for index, dataset in enumerate(datasets):
        dataset.AcquisitionTime = clock((0, 60, 180)[index // 4], 86370)
    assert sidecar_of(datasets)["FrameTimesStart"] == [0, 60, 180]


def test_no_correction_has_no_time() -> None:
    fields = sidecar_of(series(DecayCorrection="NONE"))
    assert fields["ImageDecayCorrected"] is False
    assert "ImageDecayCorrectionTime" not in fields
