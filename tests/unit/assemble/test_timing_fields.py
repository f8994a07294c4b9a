"""Slice times and phase encoding name the axes of the array as written."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from node.assemble.order.volume_times import times_of
from node.assemble.series import VolumePlan, plan
from node.assemble.sidecar.sidecar import make_sidecar
from node.assemble.vendors.ge.protocol import slice_times
from tests.phantom import CT, PET, Phantom
from tests.unit.assemble.build import changed, headers
from tests.unit.assemble.ge_scans import epi, protocol
from tests.unit.assemble.weighted import PLANES

SINCE_27 = (27, 3)


def volume_of(datasets: list[Dataset]) -> VolumePlan:
    found = plan(headers(datasets))
    assert not found.refusals
    (volume,) = found.volumes
    return volume


def sidecar_of(datasets: list[Dataset]) -> dict[str, Any]:
    return make_sidecar(volume_of(datasets), identifiers=False, software="test")


@pytest.mark.parametrize(
    ("plane", "phase", "reordering", "direction"),
    [
        ("axial", "COL", "REVERSE_LINEAR", "j-"),  # towards P, against A
        ("axial", "COL", "LINEAR", "j"),
        ("axial", "ROW", "REVERSE_LINEAR", "i-"),  # towards L
        ("axial", "ROW", "LINEAR", "i"),
        ("prone", "COL", "REVERSE_LINEAR", "j"),
        ("sagittal", "COL", "REVERSE_LINEAR", "k-"),  # towards F
        ("sagittal", "ROW", "REVERSE_LINEAR", "j-"),  # towards P
        ("coronal", "COL", "LINEAR", "k"),
        ("coronal", "ROW", "LINEAR", "i"),
        ("decubitus", "COL", "LINEAR", "i"),
    ],
)
def test_phase_polarity_on_the_axes_as_written(
    plane: str, phase: str, reordering: str, direction: str
) -> None:
    datasets = epi(Phantom(rotation=PLANES[plane], volumes=2), phase=phase)
    for dataset in datasets:
        dataset.RectilinearPhaseEncodeReordering = reordering
    assert sidecar_of(datasets)["PhaseEncodingDirection"] == direction


def test_without_polarity_only_the_axis_is_known() -> None:
    fields = sidecar_of(epi(Phantom(volumes=2)))
    assert fields["PhaseEncodingAxis"] == "j"
    assert "PhaseEncodingDirection" not in fields


def test_slice_times_follow_the_slices_wherever_they_go() -> None:
    up = Phantom(size=(6, 5, 5), volumes=2)
    down = up.but(rotation=np.diag([1.0, -1.0, -1.0]))
    assert sidecar_of(epi(up))["SliceTiming"] == [0, 1.2, 0.4, 1.6, 0.8]
    assert sidecar_of(epi(down))["SliceTiming"] == [0.8, 1.6, 0.4, 1.2, 0]
    assert "SliceEncodingDirection" not in sidecar_of(epi(up))


def test_slices_along_another_axis_are_named() -> None:
    fields = sidecar_of(epi(Phantom(rotation=PLANES["sagittal"], size=(6, 5, 5), volumes=2)))
    assert fields["SliceEncodingDirection"] == "i"
    assert fields["SliceTiming"] == [0, 1.2, 0.4, 1.6, 0.8]  # the normal is towards the right


def test_a_pause_between_volumes_counts_for_volumes_not_for_slices() -> None:
    datasets = epi(Phantom(size=(6, 5, 5), volumes=2), text='DELACQ "0.35"\n')
    fields = sidecar_of(datasets)
    assert fields["RepetitionTime"] == 2.35
    assert fields["SliceTiming"] == [0, 1.2, 0.4, 1.6, 0.8]
    assert times_of(volume_of(datasets)).interval == 2.35


def test_uneven_pauses_have_no_slice_times() -> None:
    datasets = epi(Phantom(volumes=2), text='PHASEDELAYS1 "0 1 3"\n')
    assert "SliceTiming" not in sidecar_of(datasets)


def test_a_block_that_is_none_gives_nothing() -> None:
    datasets = epi(Phantom(volumes=2))
    for dataset in datasets:
        dataset[0x0025101B].value = protocol("")[:20]
    assert "SliceTiming" not in sidecar_of(datasets)


def test_slices_of_the_second_volume_where_the_first_was_not_measured() -> None:
    datasets = epi(Phantom(size=(6, 5, 3), volumes=2))
    for index, dataset in enumerate(datasets):
        dataset.ScanOptions = ["MP_GEMS", "EPI_GEMS"]
        dataset.TriggerTime = 0 if index < 3 else 2000 + 500 * (index % 3)
        del dataset[0x0025101B]
    assert sidecar_of(datasets)["SliceTiming"] == [0, 0.5, 1.0]


def test_readout_of_the_stored_matrix() -> None:
    fields = sidecar_of(epi(Phantom(size=(64, 64, 2), volumes=2), spacing=388))
    assert fields["TotalReadoutTime"] == pytest.approx(0.024444)
    assert fields["EffectiveEchoSpacing"] == pytest.approx(0.000388)


@pytest.mark.parametrize(
    ("count", "bands", "release", "expected"),
    [
        (5, 1, (26, 1), [0, 3, 1, 4, 2]),
        (6, 1, (26, 1), [0, 3, 1, 4, 2, 5]),
        (10, 2, (26, 1), [0, 3, 1, 4, 2] * 2),
        (12, 2, (26, 1), [0, 4, 1, 5, 2, 6, 3, 0, 4, 1, 5, 2]),  # a seventh is thrown away
        (12, 2, SINCE_27, [0, 3, 1, 5, 2, 4] * 2),
    ],
)
def test_ge_excites_interleaved(
    count: int, bands: int, release: tuple[int, int], expected: list[int]
) -> None:
    excitations = max(expected) + 1
    times = slice_times(count, bands, float(excitations), interleaved=True, release=release)
    assert list(times) == pytest.approx(expected)


def test_ge_excites_in_sequence() -> None:
    assert slice_times(4, 1, 2.0, interleaved=False, release=(0, 0)) == (0, 0.5, 1.0, 1.5)


def test_uneven_volumes_are_said_to_be() -> None:
    datasets = Phantom(volumes=4).instances()
    starts = [0, 1000, 2000, 6000]
    for index, dataset in enumerate(datasets):
        del dataset.TemporalPositionIdentifier
        dataset.TriggerTime = starts[index // 4]
    assert sidecar_of(datasets)["VolumeTiming"] == [0, 1, 2, 6]
    for index, dataset in enumerate(datasets):
        dataset.TriggerTime = index // 4 * 1000
    assert "VolumeTiming" not in sidecar_of(datasets)


@pytest.mark.parametrize(
    ("starts", "repetition", "between", "excitation"),
    [
        ((0, 2.04, 4.08), 2000, 2.0, None),  # the clock's
        ((0, 2.5, 5), 2000, 2.5, 2.0),  # a pause after each volume
        ((0, 10, 20), 5, 10.0, 0.005),  # a three-dimensional scan
        ((0, 10, 20), None, 10.0, None),
        ((0, 2, 5), 2000, None, 2.0),  # neither, and whole seconds do not tell
        ((0, 2.25, 5.5), 2000, None, 2.0),
        ((0, 0, 0), 2000, 2.0, None),  # nothing is said of volumes
        ((None, 10, 20), 2000, 2.0, None),
    ],
)
def test_volumes_follow_each_other_as_they_were_acquired(
    starts: tuple[float | None, ...],
    repetition: float | None,
    between: float | None,
    excitation: float | None,
) -> None:
    datasets = Phantom(volumes=3).instances()
    for index, dataset in enumerate(datasets):
        start = starts[index // 4]
        stated = None if start is None else f"10{int(start) // 60:02d}{start % 60:09.6f}"
        changed(dataset, RepetitionTime=repetition, AcquisitionTime=stated)
    fields = sidecar_of(datasets)
    assert fields.get("RepetitionTime") == between
    assert fields.get("RepetitionTimeExcitation") == excitation
    assert times_of(volume_of(datasets)).interval == between


@pytest.mark.parametrize("maker", ["SIEMENS", "GE MEDICAL SYSTEMS"])
@pytest.mark.parametrize("sop_class", [CT, PET])
def test_intervals_where_nothing_repeats(sop_class: str, maker: str) -> None:
    datasets = Phantom(volumes=3, sop_class=sop_class).instances()
    for index, dataset in enumerate(datasets):
        changed(dataset, RepetitionTime=None, AcquisitionTime=f"1000{index // 4 * 15:02d}")
        dataset.Manufacturer = maker
    assert times_of(volume_of(datasets)).interval == 15.0
    assert ("RepetitionTime" in sidecar_of(datasets)) is (sop_class == CT)


def test_growing_frames_of_a_dynamic_scan_have_no_interval() -> None:
    datasets = Phantom(volumes=3, sop_class=PET).instances()
    for index, dataset in enumerate(datasets):
        changed(dataset, RepetitionTime=None, AcquisitionTime=f"1000{(0, 10, 40)[index // 4]:02d}")
    assert times_of(volume_of(datasets)).interval is None
    assert sidecar_of(datasets)["FrameTimesStart"] == [0.0, 10.0, 40.0]


def test_times_of_ge_are_its_own() -> None:
    datasets = epi(Phantom(volumes=3))
    for index, dataset in enumerate(datasets):
        dataset.AcquisitionTime = f"1000{index // 4 * 15:02d}"
    assert times_of(volume_of(datasets)).interval == 2.0


@pytest.mark.parametrize("micro", [1, 345_678, 999_999])
@pytest.mark.parametrize("day", ["19000101", "20260228"])
def test_dated_times_are_exact_to_the_microsecond(day: str, micro: int) -> None:
    """Slices of Siemens have nothing but their times of acquisition, here over midnight."""
    datasets = Phantom(size=(6, 5, 3)).instances()
    begin = datetime.fromisoformat(f"{day}T235959").replace(microsecond=micro)
    for k, dataset in enumerate(datasets):
        at = begin + timedelta(microseconds=600_001 * k)
        dataset.Manufacturer, dataset.MRAcquisitionType = "SIEMENS", "2D"
        dataset.ScanningSequence, dataset.RepetitionTime = "EP", 3000
        dataset.AcquisitionDate = at.strftime("%Y%m%d")
        dataset.AcquisitionTime = at.strftime("%H%M%S.%f")
    fields = make_sidecar(volume_of(datasets), identifiers=True, software="test")
    assert fields["SliceTiming"] == [0.0, 0.600001, 1.200002]
    assert fields["AcquisitionTime"] == begin.strftime("%H:%M:%S.%f")
    assert fields["AcquisitionDateTime"] == begin.isoformat()
