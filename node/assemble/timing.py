"""Slice times, phase encoding and uneven frames, on the axes of the array as written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from node.assemble.facts import SECOND, elapsed
from node.assemble.series import VolumePlan
from node.assemble.stacking import Piece, begin
from node.assemble.vendors import ge

SLICE_TIME_DIGITS: Final = 6
SAME_SLICE_TIME: Final = 0.006
"""s; times are rounded to 2.5 ms by some vendors, and to 5 by clocks."""
SAME_INTERVAL: Final = 0.05
"""s; what clocks, and rounding of times of acquisition, make of a repetition time."""
UNEVEN: Final = 0.01
"""Part of the mean interval by which an interval must differ to be called uneven."""
CLOCK_ERROR: Final = 0.02
"""s; at worst what rounded times of acquisition make of even intervals."""
_MILLISECOND: Final = 1000
"""µs."""
_TIMES: Final = frozenset({"Trigger Time", "Frame Reference Time", "Acquisition Time"})
_AXIS_OF_PHASE: Final = {"ROW": 0, "COL": 1}
"""In-plane Phase Encoding Direction (0018,1312) -> DICOM axis (column index, row index, slice)."""


def timing_fields(volume: VolumePlan) -> dict[str, object]:
    """Return the sidecar fields that depend on which axis is which.

    Args:
        volume: the plan; its orientation says where DICOM's axes went.
    """
    fields: dict[str, object] = {}
    piece = volume.first
    if piece.header.modality == "MR":
        fields |= _phase_encoding(volume, piece)
        fields |= _slice_timing(volume)
    fields |= _uneven(volume)
    return fields


def interval(volume: VolumePlan, piece: Piece) -> float | None:
    """Return the time in s between volumes; None where it is not known.

    That is Repetition Time only if each volume takes one; pauses, segments and three-dimensional
    scans have it measured by Acquisition Time (PS3.3 C.7.6.1), when the image began.

    Args:
        volume: the plan.
        piece: the one that speaks for the volume; what its frame says counts before the instance.
    """
    stated, measured = _stated(piece), _measured(volume)
    if measured is None or (stated is not None and abs(measured - stated) < SAME_INTERVAL):
        return stated
    return measured


def repetition_fields(volume: VolumePlan, piece: Piece) -> dict[str, object]:
    """Return the sidecar's times of repetition where the header's is not that of volumes."""
    stated, between = _stated(piece), interval(volume, piece)
    if between is None or between == stated or piece.header.modality == "PT":
        return {}
    excitation = {} if stated is None else {"RepetitionTimeExcitation": stated}
    return {"RepetitionTime": between, **excitation}


def _stated(piece: Piece) -> float | None:
    value = (piece.header.facts | piece.frame.facts).get("RepetitionTime")
    return float(value) if isinstance(value, int | float) and value else None


def _measured(volume: VolumePlan) -> float | None:
    """Return the mean time in s from the beginning of one volume to that of the next.

    Acquisition Time of GE's MR is no measure of it; its own elements are (`vendors.ge`). An image
    that is a whole volume states how long that takes.
    """
    header, frame = volume.first
    untimed = (header.vendor, header.modality) == (ge.NAME, "MR")
    if len(volume.grid) < 2 or untimed or frame.tile is not None:
        return None
    starts = [begin(row) for row in volume.grid]
    known = [start for start in starts if start is not None]
    steps = [elapsed(one, other) / SECOND for one, other in pairwise(known)]
    if len(known) < len(starts) or min(steps) <= 0:
        return None
    mean = sum(steps) / len(steps)
    limit = max(UNEVEN * mean, CLOCK_ERROR)
    if header.modality == "PT" and any(abs(step - mean) > limit for step in steps):
        return None  # frames of a dynamic scan grow longer; the sidecar has them all
    return round(mean, SLICE_TIME_DIGITS)


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


def _slice_timing(volume: VolumePlan) -> dict[str, object]:
    """Return when each slice was excited, s from the first, by index along the slice axis.

    The first volume of some scanners has times that were never measured; where the second one
    differs, it speaks.
    """
    times = [_times(row) for row in volume.grid[:2]]
    chosen = times[0]
    if len(times) > 1 and times[1] is not None and (chosen is None or _differ(chosen, times[1])):
        chosen = times[1]
    if chosen is None or len(chosen) < 2 or max(chosen) == 0:
        return {}
    repetition = interval(volume, volume.first)
    if repetition is not None and max(chosen) >= repetition:
        return {}
    axis = "ijk"[int(volume.orientation[2, 0])]
    fields: dict[str, object] = {
        "SliceTiming": chosen[::-1] if volume.orientation[2, 1] < 0 else chosen
    }
    if axis != "k":
        fields["SliceEncodingDirection"] = axis
    return fields


def _times(row: Sequence[Piece]) -> list[float] | None:
    times = [piece.frame.slice_time for piece in row]
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        return None
    first = min(known)
    return [round(time - first, SLICE_TIME_DIGITS) for time in known]


def _differ(one: Sequence[float], other: Sequence[float]) -> bool:
    return any(abs(a - b) > SAME_SLICE_TIME for a, b in zip(one, other, strict=True))


def _uneven(volume: VolumePlan) -> dict[str, object]:
    """Return when each volume began, s from the first, if the intervals are not all the same."""
    starts = [_start(row, volume.defined_by) for row in volume.grid]
    known = [start for start in starts if start is not None]
    if len(known) < len(starts) or len(known) < 3:
        return {}
    steps = [(b - a) / SECOND for a, b in pairwise(known)]
    mean = sum(steps) / len(steps)
    limit = max(UNEVEN * mean, CLOCK_ERROR)
    if min(steps) <= 0 or all(abs(step - mean) <= limit for step in steps):
        return {}
    return {"VolumeTiming": [(start - known[0]) / SECOND for start in known]}


def _start(row: Sequence[Piece], defined_by: str) -> int | None:
    """Return when a volume began, µs, by the attribute that defined the order of volumes."""
    if defined_by not in _TIMES:
        return None
    times: list[int] = []
    for _, frame in row:
        value, unit = {
            "Trigger Time": (frame.trigger_time, _MILLISECOND),
            "Frame Reference Time": (frame.reference_time, _MILLISECOND),
            "Acquisition Time": (frame.acquired, 1),
        }[defined_by]
        if value is None:
            return None
        times.append(round(value * unit))
    return min(times)
