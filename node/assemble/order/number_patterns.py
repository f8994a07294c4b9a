"""Patterns of numbers and times of volumes: t volumes, the same k places in each."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

_STEADY: Final = 0.5
"""Part of the time to the next volume by which a slice's time may differ from its usual place in a
volume; a frame of the next volume differs by the whole of it."""
_FEWEST_PLACES: Final = 3
"""Places by which a step from place to place is known."""
_LONGEST: Final = 2.0
"""How many times the shortest heart beat the longest one is, from slice to slice."""
SAME_VALUE: Final = 1e-9
"""By how much values differ at most that are the same but for binary rounding."""


def shows_loss(numbers: Numbers) -> bool:
    """Tell whether (t, k) Instance Numbers count along volumes or places, and lack some unevenly.

    Numbers that are missing at the same places of all volumes, or at one step, are those of other
    images; others are those of frames that did not come.
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
    """Tell whether (t, k) numbers are alike at all places, and go on by one step between them.

    Two places show no step but that of numbers without a hole.
    """
    firsts = np.sort(values[0])
    if len(firsts) < _FEWEST_PLACES:
        return _has_no_hole(values)
    return is_steady(values.T, exact=True) and bool(np.ptp(np.diff(firsts)) == 0)


def is_steady(values: Numbers, *, exact: bool) -> bool:
    """Tell whether each slice has its usual place in every volume: (t, k) values."""
    offsets = values - values[:, :1]
    if exact:
        return _has_no_hole(values) or bool((np.ptp(offsets, axis=0) == 0).all())
    least = float(np.diff(values, axis=0).min(initial=np.inf))
    return bool((np.ptp(offsets, axis=0) < _STEADY * least - SAME_VALUE).all())


def follow_by_place(values: Numbers) -> bool:
    """Tell whether all (t, k) values at one place come before all at the next."""
    return follow(values.T[np.argsort(values[0])])


def is_alike(values: Numbers) -> bool:
    """Tell whether the (t, k) times at each place are those of the others, from its first on."""
    since = values - values[:1]
    spread = np.ptp(since, axis=1)
    return bool((spread <= _STEADY * _room(np.median(since, axis=1)) + SAME_VALUE).all())


def is_scaled(values: Numbers) -> bool:
    """Tell whether the (t, k) times at each place are those of the others, faster or slower."""
    since = values - values[:1]
    usual = np.median(since, axis=1)
    if usual[-1] <= 0 or since[-1].max() > _LONGEST * since[-1].min():
        return False
    scaled = since * (usual[-1] / since[-1])
    spread = np.ptp(scaled, axis=1)
    return bool((spread <= _STEADY * _room(usual) + SAME_VALUE).all())


def begin_together(values: Numbers) -> bool:
    """Tell whether the first of (t, k) times is the same at all places, but for jitter."""
    return bool(np.ptp(values[0]) <= _STEADY * _room(np.median(values, axis=1))[0])


def _room(times: Numbers) -> Numbers:
    """Return, for every volume, the time to the nearer of its neighbours."""
    steps = np.diff(times)
    before, after = np.concatenate([steps[:1], steps]), np.concatenate([steps, steps[-1:]])
    return np.asarray(np.minimum(before, after))
