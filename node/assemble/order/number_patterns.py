"""Patterns of numbers and times of volumes: t volumes, the same k places in each."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

_STEADY: Final = 0.5
"""Fraction of the time to the next volume by which a slice's time may differ from its usual place
in a volume; a frame of the next volume differs by all of it."""
_FEWEST_PLACES: Final = 3
"""Number of positions from which on the step between positions is known."""
_LONGEST: Final = 2.0
"""Ratio of the longest to the shortest heart beat between slices."""
SAME_VALUE: Final = 1e-9
"""Largest difference of values that are the same but for binary rounding."""


def shows_loss(numbers: Numbers) -> bool:
    """Tell whether (t, k) Instance Numbers show that frames are missing.

    Numbers that are missing at the same positions of all volumes, or at one step, belong to other
    images. Any other missing numbers belong to missing frames.
    """
    if len(np.unique(numbers)) < numbers.size or numbers.shape[0] < 2 or numbers.shape[1] < 2:
        return False
    if follow(numbers):
        return not is_steady(numbers, exact=True)
    if follow_by_place(numbers):
        return not is_even_by_place(numbers)
    return False


def follow(groups: Numbers) -> bool:
    """Tell whether all of each row comes before all of the next."""
    return bool((groups[:-1].max(axis=1) < groups[1:].min(axis=1)).all())


def _has_no_hole(numbers: Numbers) -> bool:
    """Tell whether numbers follow each other at one step."""
    steps = np.diff(np.sort(numbers, axis=None))
    return bool(steps.size == 0 or np.ptp(steps) == 0)


def is_even_by_place(values: Numbers) -> bool:
    """Tell whether (t, k) numbers follow one pattern at all positions, a constant step apart.

    With two positions the numbers must have no gap, as two positions show no constant step.
    """
    firsts = np.sort(values[0])
    if len(firsts) < _FEWEST_PLACES:
        return _has_no_hole(values)
    return is_steady(values.T, exact=True) and bool(np.ptp(np.diff(firsts)) == 0)


def is_steady(values: Numbers, *, exact: bool) -> bool:
    """Tell whether each slice has the same place in every volume.

    Args:
        values: (t, k) numbers, or times in one unit.
        exact: they are numbers, which must fit exactly.
    """
    offsets = values - values[:, :1]
    if exact:
        return _has_no_hole(values) or bool((np.ptp(offsets, axis=0) == 0).all())
    least = float(np.diff(values, axis=0).min(initial=np.inf))
    return bool((np.ptp(offsets, axis=0) < _STEADY * least - SAME_VALUE).all())


def follow_by_place(values: Numbers) -> bool:
    """Tell whether all (t, k) values at one position come before all at the next."""
    return follow(values.T[np.argsort(values[0])])


def is_alike(values: Numbers) -> bool:
    """Tell whether the (t, k) times since the first volume are the same at all positions."""
    since = values - values[:1]
    spread = np.ptp(since, axis=1)
    return bool((spread <= _STEADY * _room(np.median(since, axis=1)) + SAME_VALUE).all())


def is_scaled(values: Numbers) -> bool:
    """Tell whether the (t, k) times are the same at all positions but for the heart rate."""
    since = values - values[:1]
    usual = np.median(since, axis=1)
    if usual[-1] <= 0 or since[-1].max() > _LONGEST * since[-1].min():
        return False
    scaled = since * (usual[-1] / since[-1])
    spread = np.ptp(scaled, axis=1)
    return bool((spread <= _STEADY * _room(usual) + SAME_VALUE).all())


def begin_together(values: Numbers) -> bool:
    """Tell whether the first of (t, k) times is the same at all positions, but for jitter."""
    return bool(np.ptp(values[0]) <= _STEADY * _room(np.median(values, axis=1))[0])


def _room(times: Numbers) -> Numbers:
    """Return (t,) the time from every volume to the nearer of its neighbours."""
    steps = np.diff(times)
    before, after = np.concatenate([steps[:1], steps]), np.concatenate([steps, steps[-1:]])
    return np.asarray(np.minimum(before, after))
