"""The moment to which the activities of a PET series were decay corrected (PS3.3 C.8.9.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from node.assemble.order.dicom_times import DAY, LONGEST_PAUSE, SECOND, earliest, elapsed
from node.assemble.series import VolumePlan
from node.assemble.sidecar.standard_fields import INJECTED, INJECTED_MOMENT, SERIES_START
from node.assemble.stacks.slice_sorting import Piece

SAME_ACTIVITY: Final = 0.02
"""Fraction by which stated decay factors may differ from those computed from times."""
SAME_MOMENT: Final = 5.0
"""s by which times may differ if no half-life is known."""
CLOCK_STEP: Final = 1.0
"""s by which Series Time may be later than the scan, as some scanners write whole seconds."""
LONG_LIVED: Final = 12 * 3600.0
"""s; with this half-life or more the injection may have been on another day."""
_MOST_DAYS: Final = 30
"""Days from injection to scan; larger differences are dates that were changed."""


class _Frame(NamedTuple):
    """The attributes of one image that depend on decay; times in s since the scan began.

    Attributes:
        factor: Decay Factor (0054,1321), by which the image was multiplied.
        start: when the image was acquired.
        lasting: Actual Frame Duration (0018,1242).
        reference: Frame Reference Time (0054,1300): from the reference of the series to the moment
            whose activity the image has.
    """

    factor: float | None
    start: float
    lasting: float
    reference: float | None


def injected(volume: VolumePlan, zero: int) -> float | None:
    """Return when the tracer was injected, s since the scan began.

    Radiopharmaceutical Start DateTime (0018,1078) has a date. Radiopharmaceutical Start Time
    (0018,1072) has none and is taken as the nearest such time, unless the half-life is long.

    Args:
        volume: the plan.
        zero: when the scan began, µs.

    Returns:
        None if not known.
    """
    piece = volume.first
    whole, clock = piece.fact(INJECTED_MOMENT), piece.fact(INJECTED)
    lives = _number(piece.fact("RadionuclideHalfLife"))
    long = lives is not None and lives > LONG_LIVED
    if isinstance(whole, int):
        after = whole - zero
        if min(whole, zero) >= DAY and abs(after) <= (_MOST_DAYS * DAY if long else LONGEST_PAUSE):
            return after / SECOND
        clock = whole % DAY / SECOND if clock is None else clock
    return None if long or not isinstance(clock, int | float) else nearest(clock, zero)


def nearest(clock: float, zero: int) -> float:
    """Return the s from a moment to the nearest moment with a given time of day.

    Args:
        clock: s since midnight.
        zero: the moment, µs.

    Examples:
        >>> nearest(60.0, 86_340_000_000)  # 00:01, seen from 23:59
        120.0
    """
    later = round(clock * SECOND) - zero + LONGEST_PAUSE
    return (later % DAY - LONGEST_PAUSE) / SECOND


def corrected_to(volume: VolumePlan, zero: int) -> float | None:
    """Return the moment to which decay was corrected, s since the scan began.

    ADMIN is the injection. START is the start of the series, by Series Time, which "is the
    reference time for all PET attributes that are temporally related" (C.8.9.1.1.4) and may be
    long before the scan, at the injection. It counts if Decay Factor, or else Frame Reference
    Time, does not contradict it. A Series Time after the scan began is of a series that was derived
    from another one; then only Decay Factor gives the moment.

    Args:
        volume: the plan.
        zero: when the scan began, µs.

    Returns:
        None if no attribute gives the moment, or the attributes contradict each other.
    """
    stated = volume.first.fact("DecayCorrection")
    injection = injected(volume, zero)
    if stated == "ADMIN":
        return injection
    if stated != "START":
        return None
    lives = _number(volume.first.fact("RadionuclideHalfLife"))
    decay = math.log(2) / lives if lives and lives > 0 else None
    frames = {_frame(piece, zero) for row in volume.grid for piece in row}
    series = _series(volume, zero)
    late = series is not None and series > CLOCK_STEP
    found = [frame for frame in frames if frame is not None]
    known = len(found) == len(frames)
    candidates = [one for one in (None if late else series, 0.0, injection) if one is not None]
    if decay and known and all(frame.factor for frame in found):
        return next((one for one in candidates if _reproduces(found, decay, one)), None)
    if late:
        return None
    if known and all(frame.reference for frame in found):
        return next((one for one in candidates if _refers(found, decay, one)), None)
    return series


def _series(volume: VolumePlan, zero: int) -> float | None:
    """Return Series Time, s since the scan began."""
    moment = volume.first.fact(SERIES_START)
    if not isinstance(moment, int):
        return None
    one_day = moment // DAY == zero // DAY
    after = (moment - zero) / SECOND
    if one_day or min(moment, zero) < DAY:
        return nearest(moment % DAY / SECOND, zero)
    return after if abs(after) <= DAY / SECOND else None


def _frame(piece: Piece, zero: int) -> _Frame | None:
    acquired = piece.frame.acquired
    if acquired is None:
        return None
    reference = piece.frame.reference_time
    return _Frame(
        _number(piece.fact("DecayFactor")),
        elapsed(zero, acquired) / SECOND,
        _number(piece.fact("FrameDuration")) or 0.0,
        None if reference is None else reference / 1000.0,
    )


def _reproduces(frames: Sequence[_Frame], decay: float, moment: float) -> bool:
    """Tell whether decay since a moment gives the factors, with or without decay in the frame.

    Args:
        frames: all have a factor.
        decay: decay constant, 1/s.
        moment: s since the scan began.
    """
    for within in (True, False):
        right = [
            math.exp(decay * (frame.start - moment)) * (_average(frame, decay) if within else 1.0)
            for frame in frames
        ]
        if all(
            abs((frame.factor or 0.0) / one - 1.0) <= SAME_ACTIVITY
            for frame, one in zip(frames, right, strict=True)
        ):
            return True
    return False


def _average(frame: _Frame, decay: float) -> float:
    """Return the activity at the beginning of a frame as a multiple of its mean."""
    exponent = decay * frame.lasting
    return exponent / -math.expm1(-exponent) if exponent > 0 else 1.0


def _refers(frames: Sequence[_Frame], decay: float | None, moment: float) -> bool:
    """Tell whether Frame Reference Times count from a moment to a time within each frame.

    Args:
        frames: all have a reference time.
        decay: decay constant, 1/s; None if not known.
        moment: s since the scan began.
    """
    slack = SAME_ACTIVITY / decay if decay else SAME_MOMENT
    return all(
        -slack <= moment + (frame.reference or 0.0) - frame.start <= frame.lasting + slack
        for frame in frames
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def began(rows: Sequence[Sequence[Piece]]) -> list[int] | None:
    """Return when the first image of each volume was acquired, µs; None if any is not known."""
    starts = [earliest(piece.frame.acquired for piece in row) for row in rows]
    known = [start for start in starts if start is not None]
    return known if len(known) == len(starts) else None
