"""Label numbers of an image: that they are whole, and which there are; slice by slice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from node.assemble.space import Array
from node.convert.results.grid import SourceGrid, Voxels
from node.convert.results.labels import LARGEST, Label, named
from node.convert.results.refusals import Refusal, ResultError

WHOLE: Final = 1e-4
"""How far a label number may be from a whole one: float32 scale factors are off by less."""
_TABLE: Final = 1 << 16
"""Numbers below this are counted and mapped by a table."""


def check_finite(slices: Array) -> None:
    """Refuse values that are not finite.

    Args:
        slices: (slice, row, column).

    Raises:
        ResultError: `not-finite`, with their count.
    """
    if slices.dtype.kind != "f":
        return
    wrong = sum(int(np.size(one) - np.isfinite(one).sum()) for one in slices)
    if wrong:
        raise ResultError(
            Refusal.NOT_FINITE, f"{wrong} voxels are not a finite number (NaN or infinite)."
        )


def label_slices(grid: SourceGrid, mask: Voxels) -> Array:
    """Return a mask as whole numbers in the order of the source's pixels.

    Args:
        grid: the volume's grid.
        mask: (i, j, k) on it, or (slice, row, column) from `grid.sampled`.

    Returns:
        (slice, row, column) integers from 0; a view where they are integers already.

    Raises:
        ResultError: `not-finite`, `not-integer`, or as `SourceGrid.slices`.
    """
    slices = grid.in_slices(mask)
    if slices.dtype.kind == "b":
        return slices.view(np.uint8)
    if slices.dtype.kind in "iu":
        low, high = int(slices.min()), int(slices.max())
        _check_range(low, high)
        return slices
    check_finite(slices)
    low, high = float(slices.min()), float(slices.max())
    _check_range(low, high)
    whole = np.empty(slices.shape, np.uint16 if high < _TABLE else np.int64)
    for target, one in zip(whole, slices, strict=True):
        rounded = np.rint(one)
        apart = float(np.abs(one - rounded).max())
        if apart > WHOLE:
            at = np.unravel_index(np.abs(one - rounded).argmax(), one.shape)
            raise ResultError(
                Refusal.NOT_INTEGER,
                f"Label numbers are whole, and a voxel has {one[at]:g}. A probability map needs "
                "--form fractional, or --as map.",
            )
        target[:] = rounded
    return whole


def _check_range(low: float, high: float) -> None:
    if low < 0 or high > LARGEST:
        raise ResultError(
            Refusal.NOT_INTEGER,
            f"Label numbers are whole, from 0 to {LARGEST}, and the mask has {low:g} to {high:g}.",
        )


def present(slices: Array) -> list[int]:
    """Return the label numbers that there are, rising.

    Args:
        slices: (slice, row, column) integers from 0.

    Raises:
        ResultError: `empty-result`, if there is none.
    """
    if int(slices.max()) < _TABLE:
        counts = np.zeros(_TABLE, np.int64)
        for one in slices:
            found = np.bincount(one.ravel())
            counts[: len(found)] += found
        values = np.flatnonzero(counts)
    else:
        values = np.unique(np.concatenate([np.unique(one) for one in slices]))
    found = [int(value) for value in values if value]
    if not found:
        raise ResultError(Refusal.EMPTY_RESULT, "No voxel has a label.")
    return found


def numbered(slices: Array, labels: Sequence[Label] | None) -> tuple[Array, list[Label]]:
    """Number the labels that there are from 1.

    Args:
        slices: (slice, row, column) integers from 0.
        labels: what they mean.

    Returns:
        (slice, row, column) with the new numbers, C order; and the label of each number, from 1.

    Raises:
        ResultError: `empty-result` or `unknown-label`.
    """
    values = present(slices)
    found = named(values, labels)
    kind = np.uint8 if len(values) < 256 else np.uint16
    result = np.empty(slices.shape, kind)
    if values[-1] < _TABLE:
        table = np.zeros(values[-1] + 1, kind)
        table[values] = np.arange(1, len(values) + 1)
        for target, one in zip(result, slices, strict=True):
            target[:] = table[one]
    else:
        for target, one in zip(result, slices, strict=True):
            target[:] = np.where(one > 0, np.searchsorted(values, one) + 1, 0)
    return result, found
