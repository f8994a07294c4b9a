"""Label numbers of an image: that they are whole, and which there are; slice by slice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from node.assemble.space import Array
from node.convert.results.grid import SourceGrid, Voxels
from node.convert.results.labels import LARGEST, Label, named
from node.convert.results.refusals import Refusal, ResultError

WHOLE: Final = 1e-4
"""How far a label number may be from a whole one: float32 scale factors are off by less."""
_TABLE: Final = 1 << 16
"""Numbers below this are counted and mapped by a table."""


class Numbered(NamedTuple):
    """A mask whose labels are numbered from 1.

    Attributes:
        numbers: (slice, row, column) in the order of the source frames, C order; 0 is no label.
        labels: of each number, from 1.
    """

    numbers: Array
    labels: list[Label]


Mask = Voxels | Numbered
"""Label numbers on a volume's grid, or what was made of them already."""


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
    return whole(slices)


def whole(values: Array) -> Array:
    """Return values as whole numbers from 0; a view where they are integers already.

    Args:
        values: (…, rows, columns), or blocks of an image.

    Raises:
        ResultError: `not-finite` or `not-integer`.
    """
    if values.dtype.kind == "b":
        return values.view(np.uint8)
    if values.dtype.kind in "iu":
        _check_range(int(values.min()), int(values.max()))
        return values
    check_finite(values)
    high = float(values.max())
    _check_range(float(values.min()), high)
    found = np.empty(values.shape, np.uint16 if high < _TABLE else np.int64)
    for target, one in zip(found, values, strict=True):
        rounded = np.rint(one)
        apart = np.abs(one - rounded)
        if float(apart.max()) > WHOLE:
            at = np.unravel_index(apart.argmax(), one.shape)
            raise ResultError(
                Refusal.NOT_INTEGER,
                f"Label numbers are whole, and a voxel has {one[at]:g}. A probability map needs "
                "--form fractional, or --as map.",
            )
        target[:] = rounded
    return found


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
            some = np.bincount(one.ravel())
            counts[: len(some)] += some
        values: Array = np.flatnonzero(counts)
    else:
        values = np.unique(np.concatenate([np.unique(one) for one in slices]))
    found = [int(value) for value in values if value]
    if not found:
        raise ResultError(Refusal.EMPTY_RESULT, "No voxel has a label.")
    return found


def gathered(blocks: Iterable[Array], shape: tuple[int, int, int]) -> tuple[Array, dict[int, int]]:
    """Bring label numbers into as few bytes as they need, block by block.

    Args:
        blocks: (i, j, layers) values, in order.
        shape: (i, j, k) of all of them.

    Returns:
        (i, j, k) numbers, Fortran order; and which of them stands for each label number, 0 for 0.
        Those that are small enough stand for themselves.

    Raises:
        ResultError: `not-finite`, `not-integer`, or `out-of-range`, if there are too many.
    """
    known = {0: 0}
    small: Array = np.zeros(shape, np.uint8, order="F")
    at = 0
    for block in blocks:
        numbers = whole(block)
        found = different(numbers)
        if len(known.keys() | set(found)) > 256 and small.dtype == np.uint8:
            small = small.astype(np.uint16)
        _stand_for(found, known, int(np.iinfo(small.dtype).max))
        layers = block.shape[2]
        part = small[:, :, at : at + layers]
        if all(known[value] == value for value in found):
            part[:] = numbers
        else:
            part[:] = _looked_up(numbers, known, small.dtype)
        at += layers
    return small, known


def _stand_for(values: Sequence[int], known: dict[int, int], most: int) -> None:
    """Add label numbers to those known, as themselves if they are free and small enough."""
    taken = set(known.values())
    free = iter(range(most, 0, -1))
    for value in values:
        if value in known:
            continue
        code = value if value <= most and value not in taken else None
        while code is None or code in taken:
            code = next(free, None)
            if code is None:
                raise ResultError(Refusal.OUT_OF_RANGE, f"More than {most} different labels.")
        known[value] = code
        taken.add(code)


def different(numbers: Array) -> list[int]:
    """Return the different numbers of an array but 0, rising.

    Args:
        numbers: whole numbers from 0, in any shape.
    """
    flat = numbers.ravel(order="K")
    if flat.nbytes % 8:
        some = flat[flat != 0]
    else:  # eight bytes of zeros are left out at once, and masks have little else
        words = flat.view(np.uint64)
        some = words[words != 0].view(flat.dtype)
    if len(some) and int(some.max()) < _TABLE:
        found: Array = np.flatnonzero(np.bincount(some))
    else:
        found = np.unique(some)
    return [int(value) for value in found if value]


def _looked_up(numbers: Array, known: Mapping[int, int], dtype: Any) -> Array:
    values = np.array(sorted(known))
    to = np.array([known[value] for value in values.tolist()], dtype)
    if values[-1] < _TABLE:
        table = np.zeros(_TABLE, dtype)
        table[values] = to
        return np.asarray(table[numbers])
    return np.asarray(to[np.searchsorted(values, numbers)])


def renumbered(slices: Array, known: Mapping[int, int], labels: Sequence[Label] | None) -> Numbered:
    """Number the labels from 1 as they rise.

    Args:
        slices: (slice, row, column) numbers as `gathered` returned them.
        known: which of them stands for each label number.
        labels: what they mean; None: `Label N`.

    Raises:
        ResultError: `empty-result` or `unknown-label`.
    """
    there = sorted(value for value in known if value)
    if not there:
        raise ResultError(Refusal.EMPTY_RESULT, "No voxel has a label.")
    found = named(there, labels)
    table = np.zeros(np.iinfo(slices.dtype).max + 1, slices.dtype)
    for number, value in enumerate(there, 1):
        table[known[value]] = number
    if all(known[value] == number for number, value in enumerate(there, 1)):
        return Numbered(np.ascontiguousarray(slices), found)
    result = np.empty(slices.shape, slices.dtype)
    for target, one in zip(result, slices, strict=True):
        target[:] = table[one]
    return Numbered(result, found)


def numbered(grid: SourceGrid, mask: Mask, labels: Sequence[Label] | None) -> Numbered:
    """Number the labels that there are from 1.

    Args:
        grid: the volume's grid.
        mask: label numbers on it.
        labels: what they mean; None: `Label N`.

    Raises:
        ResultError: `empty-result`, `unknown-label`, or as `label_slices`.
    """
    if isinstance(mask, Numbered):
        return mask
    slices = label_slices(grid, mask)
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
    return Numbered(result, found)
