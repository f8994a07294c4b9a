"""An image on another grid of the same world: nearest, linear or cubic.

A voxel of the new grid has a value if its centre lies in the field of view, which reaches half a
voxel beyond the centres of the outermost voxels; there the outermost values hold. Every other voxel
has the value for outside, and that value is mixed with nothing.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from node.assemble.space import Array, Matrix, voxel_map
from node.core.supervision import in_parallel
from node.core.system.machine import available_processors

HALF: Final = 0.5
"""Voxels; how far the field of view reaches beyond the centres of the outermost voxels."""
SNAP_VOXELS: Final = 1e-10
"""Voxels; what rounding leaves of a whole number, when one affine is divided by another."""
BLOCK_VOXELS: Final = 1 << 15
"""Taken at a time: what is computed of them stays in the processor's cache."""
SLAB_VOXELS: Final = 1 << 22
"""Taken at a time where splines are fitted, in double precision."""
ALONE_VOXELS: Final = 1 << 18
"""Up to so many it takes longer to start a thread than to do it all."""
MARGIN_VOXELS: Final = 1e-6
"""Voxels; rows of the new grid are cut so much outside of the field of view, never inside."""

Span = tuple[int, int]
Inside = npt.NDArray[np.bool_] | None


def resample(
    data: Array,
    affine: Matrix,
    like_affine: Matrix,
    like_shape: tuple[int, int, int],
    *,
    order: int = 1,
    outside: float = 0.0,
) -> Array:
    """Sample an image on another grid of the same world.

    Args:
        data: (i, j, k) or (i, j, k, t).
        affine: (4, 4) its voxel -> mm.
        like_affine: (4, 4) voxel -> mm of the wanted grid.
        like_shape: (i, j, k) of the wanted grid.
        order: 0 nearest (labels), 1 linear, 3 cubic.
        outside: value of voxels whose centres lie outside the image's field of view.

    Returns:
        `like_shape` (and t), in the type of `data`, Fortran-contiguous; integers are rounded.
    """
    pull = voxel_map(like_affine, affine)
    whole = np.rint(pull)
    pull = np.where(np.abs(pull - whole) < SNAP_VOXELS, whole, pull)
    volumes = data[..., np.newaxis] if data.ndim == 3 else data
    shape = (*like_shape, volumes.shape[3])
    filling = _fitting(np.full(1, outside, np.float64), data.dtype)[0]
    result: Array = np.full(shape, filling, data.dtype, order="F")
    for t in range(volumes.shape[3]):
        if order > 1:
            _splined(volumes[..., t], pull, result[..., t], order)
        else:
            _sampled(volumes[..., t], pull, result[..., t], linear=order == 1)
    return result[..., 0] if data.ndim == 3 else result


def _sampled(source: Array, pull: Matrix, target: Array, *, linear: bool) -> None:
    """Fill the voxels in the field of view, with several processors where it is worth it."""
    layers = target.shape[2]
    threads = min(available_processors(), layers) if target.size > ALONE_VOXELS else 1

    def part(number: int) -> None:
        sampler = _Sampler(source, pull, target, linear=linear)
        for k in range(number, layers, threads):
            sampler.layer(k)

    in_parallel(part, threads)


class _Sampler:
    """Fills layers of the new grid, a few rows at a time, in buffers that are used again.

    Args:
        source: (i, j, k).
        pull: (4, 4) voxel of the new grid -> voxel of the source.
        target: (i, j, k) of the new grid; voxels outside the field of view are left as they are.
        linear: interpolate; otherwise take the nearest.
    """

    def __init__(self, source: Array, pull: Matrix, target: Array, *, linear: bool) -> None:
        self._pull, self._target, self._linear = pull, target, linear
        self._sizes = source.shape
        order = "F" if source.flags.f_contiguous else "C"
        self._flat: Array = source.reshape(-1, order=order)  # type: ignore[call-overload]
        i, j, k = source.shape
        steps = (1, i, i * j) if order == "F" else (j * k, k, 1)
        self._steps = tuple(
            step if size > 1 else 0 for step, size in zip(steps, source.shape, strict=True)
        )
        columns, rows, _ = target.shape
        self._rows = max(1, BLOCK_VOXELS // max(1, columns))
        most = min(self._rows, max(rows, 1)) * columns
        exact = source.dtype.itemsize > 4 or source.dtype in (np.int32, np.uint32)
        self._work = np.dtype(np.float64 if exact else np.float32)
        self._place, self._floor, self._flat_place = (np.empty(most) for _ in range(3))
        self._index = self._floor.view(np.int64)  # when the floors are not needed any more
        self._raw = np.empty(most, source.dtype)
        if linear:
            self._value = np.empty(most, self._work)
            self._weights = [np.empty(most, self._work) for _ in range(3)]
            self._beyond = [np.empty(most, self._work) for _ in range(3)]

    def layer(self, k: int) -> None:
        """Fill one layer."""
        columns, rows, _ = self._target.shape
        start = self._pull[:3, 3] + k * self._pull[:3, 2]
        for low in range(0, rows, self._rows):
            high = min(low + self._rows, rows)
            first, last = self._span(start, (low, high), columns)
            if first < last:
                inside = self._locate(start, (low, high), (first, last))
                values = self._interpolated() if self._linear else self._nearest()
                values = values.reshape(high - low, last - first)
                part = self._target[first:last, low:high, k].T
                if inside is None:
                    part[...] = values
                else:
                    part[inside] = values[inside]

    def _span(self, start: Matrix, rows: Span, columns: int) -> Span:
        """Return which columns of some rows may lie in the field of view."""
        low, high = 0.0, columns - 1.0
        for axis, size in enumerate(self._sizes):
            step, down = self._pull[axis, :2].tolist()
            ends = (start[axis] + down * rows[0], start[axis] + down * (rows[1] - 1))
            least = -HALF - MARGIN_VOXELS - max(ends)
            most = size - HALF + MARGIN_VOXELS - min(ends)
            if step:
                low = max(low, min(least / step, most / step))
                high = min(high, max(least / step, most / step))
            elif least > 0.0 or most < 0.0:
                return 0, 0
        return int(np.ceil(low)), int(np.floor(high)) + 1

    def _locate(self, start: Matrix, rows: Span, columns: Span) -> Inside:
        """Find the source's voxels for some rows of a layer, and the weights of their neighbours.

        Returns:
            (rows, columns) which lie in the field of view; None: all of them.
        """
        shape = (rows[1] - rows[0], columns[1] - columns[0])
        size = self._size = shape[0] * shape[1]
        right, down = np.arange(*columns), np.arange(*rows)[:, np.newaxis]
        place, floor = (one[:size].reshape(shape) for one in (self._place, self._floor))
        flat = self._flat_place[:size].reshape(shape)
        inside: Inside = None
        for axis, count in enumerate(self._sizes):
            step, below = self._pull[axis, :2]
            np.add(step * right, start[axis] + below * down, out=place)
            corners = place[:: max(shape[0] - 1, 1), :: max(shape[1] - 1, 1)]
            least, most = corners.min(), corners.max()
            if least < -HALF or most >= count - HALF:
                within = (place >= -HALF) & (place < count - HALF)
                inside = within if inside is None else inside & within
            if least < 0.0 or most > count - 1:
                np.clip(place, 0.0, count - 1, out=place)
            if self._linear:
                np.floor(place, out=floor)
                if most >= count - 1:
                    np.minimum(floor, max(count - 2, 0), out=floor)
                weight = self._weights[axis][:size].reshape(shape)
                np.subtract(place, floor, out=weight, casting="same_kind")
            else:
                place += HALF
                np.floor(place, out=floor)
            if axis == 0:
                np.multiply(floor, self._steps[axis], out=flat)
            else:
                floor *= self._steps[axis]
                flat += floor
        self._index[:size] = self._flat_place[:size]
        return inside

    def _nearest(self) -> Array:
        """Return the values of the nearest voxels; of two that are as near, of the later one."""
        value: Array = self._raw[: self._size]
        self._take(0, value)
        return value

    def _interpolated(self) -> Array:
        value = self._value[: self._size]
        self._mix(3, 0, value)
        return _fitting(value, self._target.dtype)

    def _mix(self, axes: int, offset: int, value: Array) -> None:
        """Interpolate along the first axes, from voxels so far behind those that were found."""
        if not axes:
            self._take(offset, value)
            return
        beyond = self._beyond[axes - 1][: self._size]
        self._mix(axes - 1, offset, value)
        self._mix(axes - 1, offset + self._steps[axes - 1], beyond)
        beyond -= value
        beyond *= self._weights[axes - 1][: self._size]
        value += beyond

    def _take(self, offset: int, value: Array) -> None:
        raw = value if value.dtype == self._raw.dtype else self._raw[: self._size]
        np.take(self._flat[offset:], self._index[: self._size], out=raw, mode="clip")
        if raw is not value:
            value[...] = raw


def _splined(source: Array, pull: Matrix, target: Array, order: int) -> None:
    """Fill the voxels in the field of view from splines, which go on mirrored beyond it."""
    # Takes longer to import than all the rest, and no process that receives needs it.
    from scipy.ndimage import affine_transform, spline_filter  # noqa: PLC0415

    fitted = spline_filter(source, order, output=np.float64, mode="mirror")
    i, j, k = target.shape
    step = max(1, SLAB_VOXELS // max(1, i * j))
    for low in range(0, k, step):
        count = min(step, k - low)
        start = pull[:3, 3] + low * pull[:3, 2]
        sampled = affine_transform(
            fitted,
            pull[:3, :3],
            start,
            output_shape=(i, j, count),
            output=np.float64,
            order=order,
            mode="mirror",
            prefilter=False,
        )
        inside = np.ones((i, j, count), np.bool_)
        axes = np.ogrid[:i, :j, :count]
        for row, size in zip(range(3), source.shape, strict=True):
            place: Any = start[row] + sum(pull[row, axis] * axes[axis] for axis in range(3))
            inside &= (place >= -HALF) & (place < size - HALF)
        target[:, :, low : low + count][inside] = _fitting(sampled, target.dtype)[inside]


def _fitting(values: Array, dtype: np.dtype[Any]) -> Array:
    """Round values to what an integer type can hold; others stay as they are."""
    if dtype.kind not in "iu":
        return values
    limits = np.iinfo(dtype)
    np.rint(values, out=values)
    if values.dtype.itemsize > 4:
        least, most = float(limits.min), float(limits.max)
        most = most if int(most) <= limits.max else float(np.nextafter(most, 0.0))
        np.clip(values, least, most, out=values)
    return values
