"""An image on another grid of the same world: nearest, linear or cubic.

A voxel of the new grid has a value if its centre lies in the field of view, which reaches half a
voxel beyond the centres of the outermost voxels; there the outermost values hold. Every other voxel
has the value for outside, and that value is mixed with nothing.
"""

from __future__ import annotations

from math import prod
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
BRICK: Final = (64, 32, 16)
"""Voxels of the new grid that are taken at a time, along i, j and k: what is computed of them stays
in the processor's cache, and so does the part of the source that they lie in."""
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
    columns, rows, layers = target.shape
    across, down, deep = BRICK
    slabs = range(0, layers, deep)
    threads = min(available_processors(), len(slabs)) if target.size > ALONE_VOXELS else 1

    def part(number: int) -> None:
        sampler = _Sampler(source, pull, target, linear=linear)
        for k in slabs[number::threads]:
            for j in range(0, rows, down):
                for i in range(0, columns, across):
                    sampler.brick((i, i + across), (j, j + down), (k, k + deep))

    in_parallel(part, max(threads, 1))


class _Sampler:
    """Fills bricks of the new grid, in buffers that are used again.

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
        exact = source.dtype.itemsize > 4 or source.dtype in (np.int32, np.uint32)
        self._work = np.dtype(np.float64 if exact else np.float32)
        most = prod(BRICK)
        self._place, self._floor, self._flat_place = (np.empty(most) for _ in range(3))
        self._index = self._floor.view(np.int64)  # when the floors are not needed any more
        self._raw = np.empty(most, source.dtype)
        if linear:
            self._value = np.empty(most, self._work)
            self._weights = [np.empty(most, self._work) for _ in range(3)]
            self._beyond = [np.empty(most, self._work) for _ in range(3)]

    def brick(self, columns: Span, rows: Span, layers: Span) -> None:
        """Fill one brick, as far as it is in the grid and in the field of view.

        Args:
            columns, rows, layers: from, and up to but not including; voxels of the new grid.
        """
        i, j, k = self._target.shape
        rows, layers = (rows[0], min(rows[1], j)), (layers[0], min(layers[1], k))
        first, last = self._span((columns[0], min(columns[1], i)), rows, layers)
        if first >= last:
            return
        inside = self._locate((first, last), rows, layers)
        values = self._interpolated() if self._linear else self._nearest()
        part = self._target[first:last, slice(*rows), slice(*layers)].T
        where: Any = True if inside is None else inside
        np.copyto(part, values.reshape(part.shape), "unsafe", where=where)

    def _span(self, columns: Span, rows: Span, layers: Span) -> Span:
        """Return which columns of a brick may lie in the field of view."""
        low, high = float(columns[0]), columns[1] - 1.0
        for axis, size in enumerate(self._sizes):
            step, down, deep, start = self._pull[axis].tolist()
            downs = (down * rows[0], down * (rows[1] - 1))
            deeps = (deep * layers[0], deep * (layers[1] - 1))
            least = -HALF - MARGIN_VOXELS - (start + max(downs) + max(deeps))
            most = size - HALF + MARGIN_VOXELS - (start + min(downs) + min(deeps))
            if step:
                low = max(low, min(least / step, most / step))
                high = min(high, max(least / step, most / step))
            elif least > 0.0 or most < 0.0:
                return 0, 0
        return int(np.ceil(low)), int(np.floor(high)) + 1

    def _locate(self, columns: Span, rows: Span, layers: Span) -> Inside:
        """Find the source's voxels for a brick, and the weights of their neighbours.

        Returns:
            (layers, rows, columns) which lie in the field of view; None: all of them.
        """
        right = np.arange(*columns)
        down = np.arange(*rows)[:, np.newaxis]
        deep = np.arange(*layers)[:, np.newaxis, np.newaxis]
        shape = (len(deep), len(down), len(right))
        size = self._size = prod(shape)
        place, floor = (one[:size].reshape(shape) for one in (self._place, self._floor))
        flat = self._flat_place[:size].reshape(shape)
        inside: Inside = None
        for axis, count in enumerate(self._sizes):
            step, below, behind, start = self._pull[axis]
            np.add(step * right, (start + behind * deep) + below * down, out=place)
            corners = place[tuple(slice(None, None, max(length - 1, 1)) for length in shape)]
            least, most = corners.min(), corners.max()
            if least < -HALF or most >= count - HALF:
                within = (place >= -HALF) & (place < count - HALF)
                inside = within if inside is None else inside & within
            if least < 0.0:
                np.maximum(place, 0.0, out=place)
            if most > count - 1:
                np.minimum(place, count - 1, out=place)
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
