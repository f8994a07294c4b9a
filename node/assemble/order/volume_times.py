"""When volumes began and the time between them, from evidence only: no value is guessed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from node.assemble.frames.model import FrameHeader
from node.assemble.order.dicom_times import SECOND, earliest, elapsed
from node.assemble.series import VolumePlan
from node.assemble.sidecar.standard_fields import BETWEEN_POSITIONS
from node.assemble.stacks.slice_sorting import Piece
from node.assemble.vendors.ge import ge

DIGITS: Final = 6
"""Decimals of intervals in s."""
SAME_INTERVAL: Final = 0.05
"""s; the error that clocks and rounded Acquisition Times make in a repetition time."""
SAME_PART: Final = 0.025
"""The same as a fraction of the interval; the smaller of the two counts."""
UNEVEN: Final = 0.01
"""Fraction of the mean interval by which an interval must differ to be uneven."""
CLOCK_ERROR: Final = 0.02
"""s; the largest error that rounded Acquisition Times make in even intervals."""
TRIGGER_ERROR: Final = 0.002
"""s; Trigger Times are whole ms, and an interval is the difference of two of them."""
SAME_HEARTBEAT: Final = 0.05
"""Fraction by which the intervals of cardiac phases may differ from slice to slice."""
PRECISE: Final = 0.01
"""Fraction of an interval that may stay unknown where the clock has whole seconds."""
SHORTEST_SLICE: Final = 0.01
"""s; no sequence excites and reads a whole slice in less; simultaneous slices count one by one."""
MOST_SHOTS: Final = 4
"""Phase encoding lines per echo of the train that one excitation may skip by acceleration and
partial Fourier; images with more take several repetitions."""
_TRIGGER: Final = "Trigger"
"""Part of the name of the attribute that ordered the volumes, if that is Trigger Time."""
_ONE_SHOT: Final = 10 * SHORTEST_SLICE
"""s; a shorter repetition acquires one line of an image, whatever the sequence is called."""


class Clock(NamedTuple):
    """When the volumes began.

    Attributes:
        starts: (t,) µs from the beginning of the first volume, rising.
        error: s by which the difference of two of them may be wrong.
    """

    starts: tuple[int, ...]
    error: float

    @property
    def steps(self) -> list[float]:
        """The intervals, s."""
        return [(after - before) / SECOND for before, after in pairwise(self.starts)]

    @property
    def mean(self) -> float:
        """The mean interval, s."""
        return self.starts[-1] / SECOND / (len(self.starts) - 1)

    @property
    def is_even(self) -> bool:
        """Whether all intervals are the same but for rounding."""
        limit = max(UNEVEN * self.mean, self.error)
        return all(abs(step - self.mean) <= limit for step in self.steps)


class Times(NamedTuple):
    """What is known about the time from one volume to the next.

    Attributes:
        stated: Repetition Time (0018,0080), s; None if it is not the same in all frames.
        measured: when the volumes began; None if no attribute measured it.
        interval: s from the beginning of a volume to that of the next; None if not known.
    """

    stated: float | None
    measured: Clock | None
    interval: float | None


def times_of(volume: VolumePlan) -> Times:
    """Return what is known about the time from one volume to the next.

    Repetition Time (0018,0080) is that time only if each volume takes one repetition and nothing
    contradicts it. Measured times count more: Trigger Time of cardiac phases, Acquisition Time
    (PS3.3 C.7.6.1), Frame Reference Time; then Temporal Resolution (0020,0110). Where intervals
    differ there is no such time.

    Args:
        volume: the plan.
    """
    stated, measured = one_value(volume.grid, "RepetitionTime") or None, _clock(volume)
    return Times(stated, measured, _interval(volume, stated, measured))


def _interval(volume: VolumePlan, stated: float | None, measured: Clock | None) -> float | None:
    if len(volume.grid) < 2:
        return None
    if measured is None:
        single = stated if stated is not None and takes_one_repetition(volume, stated) else None
        between = one_value(volume.grid, BETWEEN_POSITIONS)
        if between is not None and between >= (single or 0.0) - SAME_INTERVAL:
            return between
        return single
    if stated is not None and (_agrees(measured, stated) or _is_prepared(volume, measured, stated)):
        return stated
    if not measured.is_even or not _is_precise(measured):
        return None
    return round(measured.mean, DIGITS)


def _clock(volume: VolumePlan) -> Clock | None:
    """Return when volumes began, by the attribute that measured it; None if none did.

    Where Trigger Time and Acquisition Time disagree, the one that made the order of volumes counts:
    a delay after the R wave jitters and is not the time since the scan began (C.7.6.18.1).
    """
    if len(volume.grid) < 2:
        return None
    triggered, acquired = _triggered(volume), _acquired(volume)
    if triggered is None or acquired is None:
        return triggered or acquired or _referred(volume)
    apart = abs(triggered.mean - acquired.mean)
    if _TRIGGER in volume.defined_by or apart <= acquired.error:
        return triggered
    return acquired


def one_value(rows: Sequence[Sequence[Piece]], name: str) -> float | None:
    """Return the value of a fact that is the same in all frames but for rounding.

    Args:
        rows: [t][k] the frames.
        name: name of the fact.

    Returns:
        None if the frames differ, or some have no value.
    """
    pieces = [piece for row in rows for piece in row]
    values = {piece.fact(name) for piece in pieces}
    known = [value for value in values if isinstance(value, int | float)]
    if not known or len(known) < len(values) or max(known) - min(known) > PRECISE * max(known):
        return None
    first = rows[0][0].fact(name)
    return float(first) if isinstance(first, int | float) else None


def takes_one_repetition(volume: VolumePlan, stated: float) -> bool:
    """Tell whether the sequence can have acquired each volume in one repetition.

    Echo-planar and diffusion-weighted sequences do; three-dimensional ones, cardiac phases,
    averages and sequences with several excitations do not.

    Args:
        volume: the plan.
        stated: Repetition Time, s.
    """
    piece = volume.first
    if piece.header.modality != "MR" or _is_of_several(volume):
        return False
    if stated < SHORTEST_SLICE * max(len(volume.grid[0]) / _slices_at_once(piece), 1):
        return False
    sequence = str(piece.fact("ScanningSequence") or "").split("\\")
    weighted = any(one.frame.b_value is not None for row in volume.grid for one in row)
    if "EP" in sequence or weighted or piece.frame.tile is not None:
        return True
    train = piece.fact("EchoTrainLength")
    lines = piece.fact("PhaseEncodingSteps") or piece.fact("AcquisitionMatrixPE")
    if isinstance(train, int) and train > 1:
        many = lines if isinstance(lines, int) else max(piece.frame.rows, piece.frame.columns)
        return many <= MOST_SHOTS * train
    return stated >= _ONE_SHOT and not {"SE", "IR"} & set(sequence)


def _is_of_several(volume: VolumePlan) -> bool:
    """Tell whether a volume takes several repetitions, or volumes have different repetitions."""
    piece = volume.first
    averages = piece.fact("NumberOfAverages")
    inversions = {row[0].fact("InversionTime") for row in volume.grid}
    return (
        piece.fact("MRAcquisitionType") == "3D"
        or _TRIGGER in volume.defined_by
        or len(inversions) > 1
        or (isinstance(averages, int | float) and averages > 1)
    )


def _slices_at_once(piece: Piece) -> float:
    factor = piece.fact("MultibandAccelerationFactor")
    return float(factor) if isinstance(factor, int | float) and factor > 1 else 1.0


def _agrees(found: Clock, stated: float) -> bool:
    """Tell whether volumes began as if each took one repetition, but for the clock's error."""
    if found.error >= 1.0:  # whole seconds, cut off
        late = [start / SECOND - index * stated for index, start in enumerate(found.starts)]
        return max(late) - min(late) < found.error
    if not found.is_even:
        return False
    drift = found.error / (len(found.starts) - 1)
    limit = min(SAME_INTERVAL, max(SAME_PART * found.mean, drift))
    return abs(found.mean - stated) < limit


def _is_prepared(volume: VolumePlan, found: Clock, stated: float) -> bool:
    """Tell whether only the first interval is longer than one repetition.

    Scanners count preparation, such as reference scans for simultaneous slices, to the first
    volume. With two volumes this is assumed for mosaics only, each of which is one repetition.
    """
    if found.steps[0] < stated or not takes_one_repetition(volume, stated):
        return False
    if len(found.starts) == 2:
        return volume.first.frame.tile is not None
    later = tuple(start - found.starts[1] for start in found.starts[1:])
    return found.error < 1.0 and _agrees(Clock(later, found.error), stated)


def _is_precise(found: Clock) -> bool:
    """Tell whether a clock of whole seconds is precise enough to give the interval."""
    if found.error < 1.0 or len(set(found.steps)) == 1:
        return True
    return found.error / (len(found.starts) - 1) <= PRECISE * found.mean


def _acquired(volume: VolumePlan) -> Clock | None:
    """Return when the first slice of each volume was acquired.

    GE's MR does not measure it by Acquisition Time; `vendors.ge` reads the elements that do.
    """
    header = volume.first.header
    if (header.vendor, header.modality) == (ge.NAME, "MR"):
        return None
    firsts = [earliest(piece.frame.acquired for piece in row) for row in volume.grid]
    known = [first for first in firsts if first is not None]
    steps = [elapsed(one, other) for one, other in pairwise(known)]
    if len(known) < len(firsts) or min(steps) <= 0:
        return None
    whole = all(first % SECOND == 0 for first in known)
    return Clock(tuple(accumulate(steps, initial=0)), 1.0 if whole else CLOCK_ERROR)


def _triggered(volume: VolumePlan) -> Clock | None:
    return _by_slice(volume, lambda frame: frame.trigger_time)


def _referred(volume: VolumePlan) -> Clock | None:
    return _by_slice(volume, lambda frame: frame.reference_time)


def _by_slice(volume: VolumePlan, value: Callable[[FrameHeader], float | None]) -> Clock | None:
    """Return when volumes began, by a time in ms that rises by the same steps at every slice."""
    starts = [0]
    for before, after in pairwise(volume.grid):
        steps = []
        for one, other in zip(before, after, strict=True):
            since, until = value(one.frame), value(other.frame)
            if since is None or until is None or until <= since:
                return None
            steps.append((until - since) / 1000.0)
        mean = sum(steps) / len(steps)
        if max(steps) - min(steps) > max(2 * TRIGGER_ERROR, SAME_HEARTBEAT * mean):
            return None
        starts.append(starts[-1] + round(mean * SECOND))
    return Clock(tuple(starts), TRIGGER_ERROR)
