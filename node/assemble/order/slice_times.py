"""Slice times from Acquisition Time, where the maker states none."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from node.assemble.order.dicom_times import SECOND, earliest, elapsed
from node.assemble.series import VolumePlan
from node.assemble.stacks.slice_sorting import Piece
from node.assemble.vendors.ge import ge

SLICE_TIME_DIGITS: Final = 6
SAME_SLICE_TIME: Final = 0.006
"""s; some vendors round times to 2.5 ms, and clocks to 5."""
EVEN_STEP: Final = 0.1
"""Fraction by which the times between the excitations of one volume may differ."""


def acquired_slices(volume: VolumePlan, longest: float | None) -> list[float] | None:
    """Return when each slice was excited, by Acquisition Time.

    Acquisition Time is when the data of an image began (PS3.3 C.7.6.1). It is a slice time only if
    the times follow each other evenly, with the same number of slices at each, and are the same in
    all volumes. Some scanners do not measure the first volume; it is left out if the others agree.

    Args:
        volume: the plan.
        longest: s from one volume to the next; None if not known.

    Returns:
        s from the first excitation, by slice along the stack's normal; None if Acquisition Times
        are not slice times.
    """
    header, frame = volume.first
    planar = volume.first.fact("MRAcquisitionType") != "3D"
    if header.vendor == ge.NAME or not planar or frame.tile is not None or longest is None:
        return None
    rows = [_from_first(row) for row in volume.grid]
    known = [row for row in rows if row is not None]
    if len(known) < len(rows):
        return None
    others = known[1:] if len(known) > 2 else known
    chosen = known[0] if _alike(known) else others[0]
    return chosen if _alike(others) and _is_a_sequence(chosen, longest) else None


def is_acquisition(volume: VolumePlan, times: Sequence[float]) -> bool:
    """Tell whether slice times that a vendor states are only a copy of Acquisition Time.

    Args:
        volume: the plan.
        times: s from the first excitation, by slice.
    """
    rows = [_from_first(row) for row in volume.grid[:2]]
    return volume.first.frame.tile is None and list(times) in rows


def _from_first(row: Sequence[Piece]) -> list[float] | None:
    times = [piece.frame.acquired for piece in row]
    known = [time for time in times if time is not None]
    first = earliest(known)
    if first is None or len(known) < len(times):
        return None
    return [round(elapsed(first, time) / SECOND, SLICE_TIME_DIGITS) for time in known]


def _alike(rows: Sequence[Sequence[float]]) -> bool:
    return all(
        abs(one - other) <= SAME_SLICE_TIME
        for row in rows[1:]
        for one, other in zip(rows[0], row, strict=True)
    )


def _is_a_sequence(times: Sequence[float], longest: float) -> bool:
    """Tell whether slices can have been excited at these times, one by one or several at once.

    Slices that are excited at once are equally far apart.
    """
    order = sorted(range(len(times)), key=lambda k: times[k])
    shots: list[list[int]] = []
    for k in order:
        if shots and times[k] - times[shots[-1][0]] <= SAME_SLICE_TIME:
            shots[-1].append(k)
        else:
            shots.append([k])
    together = len(times) // len(shots)
    if len(shots) < 2 or any(len(shot) != together for shot in shots):
        return False
    if any(b - a != len(shots) for shot in shots for a, b in pairwise(sorted(shot))):
        return False
    starts = [times[shot[0]] for shot in shots]
    mean = starts[-1] / (len(starts) - 1)
    limit = max(EVEN_STEP * mean, SAME_SLICE_TIME)
    even = all(abs(b - a - mean) <= limit for a, b in pairwise(starts))
    return even and starts[-1] + mean <= longest + limit
