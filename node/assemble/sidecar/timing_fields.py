"""Slice times, phase encoding and uneven frames, on the axes of the array as written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from node.assemble.order.dicom_times import SECOND
from node.assemble.order.slice_times import (
    SAME_SLICE_TIME,
    SLICE_TIME_DIGITS,
    acquired_slices,
    is_acquisition,
)
from node.assemble.order.volume_times import Times
from node.assemble.series import VolumePlan
from node.assemble.stacks.slice_sorting import Piece

_AXIS_OF_PHASE: Final = {"ROW": 0, "COL": 1}
"""In-plane Phase Encoding Direction (0018,1312) -> DICOM axis (column index, row index, slice)."""


def timing_fields(volume: VolumePlan, times: Times) -> dict[str, object]:
    """Return slice times, phase encoding and volume times, on the axes of the array as written.

    Args:
        volume: the plan; its orientation maps DICOM's axes to those of the array.
        times: the time from one volume to the next.
    """
    fields: dict[str, object] = {}
    piece = volume.first
    if piece.header.modality == "MR":
        fields |= _phase_encoding(volume, piece)
        fields |= _slice_timing(volume, times)
    fields |= _uneven(volume, times)
    return fields


def repetition_fields(volume: VolumePlan, times: Times) -> dict[str, object]:
    """Return the repetition times where the header's is not the time between volumes.

    Without a known interval there is no RepetitionTime: the header states that of excitations.

    Args:
        volume: the plan.
        times: the time from one volume to the next.
    """
    piece = volume.first
    if len(volume.grid) < 2 or piece.header.modality == "PT":
        return {}
    if times.interval == times.stated:
        return {}
    return {"RepetitionTime": times.interval, "RepetitionTimeExcitation": times.stated}


def _phase_encoding(volume: VolumePlan, piece: Piece) -> dict[str, object]:
    facts = piece.header.facts | piece.frame.facts
    stated = str(facts.get("InPlanePhaseEncodingDirectionDICOM", "")).upper()[:3]
    if stated not in _AXIS_OF_PHASE:
        return {}
    axis = _AXIS_OF_PHASE[stated]
    name = "ijk"[int(volume.orientation[axis, 0])]
    sign = piece.frame.phase_polarity * volume.orientation[axis, 1]
    if sign:
        return {"PhaseEncodingDirection": name + ("-" if sign < 0 else "")}
    return {"PhaseEncodingAxis": name}


def _slice_timing(volume: VolumePlan, known: Times) -> dict[str, object]:
    """Return when each slice was excited, s from the first, by index along the slice axis.

    Some scanners do not measure the times of the first volume; if the second one differs, its times
    are taken.
    """
    times = [_times(row) for row in volume.grid[:2]]
    chosen = times[0]
    if len(times) > 1 and times[1] is not None and (chosen is None or _differ(chosen, times[1])):
        chosen = times[1]
    longest = _longest(known)
    if chosen is None or is_acquisition(volume, chosen):
        chosen = acquired_slices(volume, longest)
    if chosen is None or len(chosen) < 2 or max(chosen) == 0:
        return {}
    if longest is not None and max(chosen) >= longest:
        return {}
    axis = "ijk"[int(volume.orientation[2, 0])]
    fields: dict[str, object] = {
        "SliceTiming": chosen[::-1] if volume.orientation[2, 1] < 0 else chosen
    }
    if axis != "k":
        fields["SliceEncodingDirection"] = axis
    return fields


def _longest(times: Times) -> float | None:
    """Return the longest time, s, that the slices of a volume can take: until the next begins."""
    if times.interval is not None:
        return times.interval
    return times.stated if times.measured is None else min(times.measured.steps)


def _times(row: Sequence[Piece]) -> list[float] | None:
    times = [piece.frame.slice_time for piece in row]
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        return None
    first = min(known)
    return [round(time - first, SLICE_TIME_DIGITS) for time in known]


def _differ(one: Sequence[float], other: Sequence[float]) -> bool:
    return any(abs(a - b) > SAME_SLICE_TIME for a, b in zip(one, other, strict=True))


def _uneven(volume: VolumePlan, times: Times) -> dict[str, object]:
    """Return when each volume began, s from the first, if the intervals are not all the same.

    PET has FrameTimesStart instead.
    """
    found = times.measured
    if found is None or len(found.starts) < 3 or volume.first.header.modality == "PT":
        return {}
    if found.is_even or times.interval is not None:
        return {}
    return {"VolumeTiming": [start / SECOND for start in found.starts]}
