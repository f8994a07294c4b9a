"""Interpolate a volume to even slices or to a grid at right angles, if the settings ask for it."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from node.assemble.pixels.codecs import strips
from node.assemble.pixels.stored_values import RGB, Image
from node.assemble.resampling import resample
from node.assemble.series import VolumePlan
from node.assemble.space import canonical_affine, is_sheared, lps_to_ras, orthogonal_grid
from node.core.errors import AssemblyError, Reason

EVENED: str = "slices interpolated to even spacing"
SQUARED: str = "resampled from a tilted grid"
_WORKED_ON_BYTES: int = 64 << 20
"""Bytes of double precision numbers that are worked on at a time."""
HALF: float = 0.5
"""Fraction of the way to the next slice, up to which a voxel has the label of the slice before."""


def is_resampled(volume: VolumePlan, *, square: bool) -> bool:
    """Tell whether `regrid` changes a volume.

    Args:
        volume: the plan.
        square: as for `regrid`.
    """
    return bool(volume.places) or (square and is_sheared(volume.affine))


def regrid(
    volume: VolumePlan, array: Image, *, square: bool, labels: bool = False
) -> tuple[VolumePlan, Image]:
    """Interpolate slices at uneven places to even ones, and a sheared grid to right angles.

    Args:
        volume: the plan; if it has `places` its slices are always interpolated.
        array: (i, j, k, t) in RAS order, from `fill`.
        square: resample a sheared grid to right angles.
        labels: the voxels are segment numbers: the nearest one is taken, none are mixed.

    Returns:
        the plan and the array after interpolation, (i, j, k, t) in RAS order.

    Raises:
        AssemblyError: the voxels are colours.
    """
    if volume.places:
        _check_interpolable(array)
        volume, array = _evened(volume, array, labels=labels)
    if square and is_sheared(volume.affine):
        _check_interpolable(array)
        volume, array = _squared(volume, array, labels=labels)
    return volume, array


def regrid_room(volume: VolumePlan, dtype: np.dtype[np.generic], *, square: bool) -> int:
    """Return how many bytes of memory `regrid` takes besides the volume.

    Args:
        volume: the plan.
        dtype: type of the voxels.
        square: as for `regrid`.
    """
    voxels = 0
    if volume.places:
        voxels = prod(volume.shape) // len(volume.places) * (int(volume.places[-1]) + 1)
    if square and is_sheared(volume.affine):
        i, j, k = volume.shape[:3]
        _, shape = orthogonal_grid(volume.affine, (i, j, k), int(volume.orientation[2, 0]))
        voxels += prod(shape) * len(volume.grid)
    return voxels * dtype.itemsize + _WORKED_ON_BYTES


def _check_interpolable(array: Image) -> None:
    if array.dtype == RGB:
        raise AssemblyError(
            Reason.UNSUPPORTED_PIXELS,
            "A colour image cannot be interpolated. Convert it without assembly.resample_tilt and "
            "assembly.resample_unequal.",
        )


def _evened(volume: VolumePlan, array: Image, *, labels: bool) -> tuple[VolumePlan, Image]:
    """Interpolate linearly along the slices, each between its two neighbours."""
    axis, sign = int(volume.orientation[2, 0]), volume.orientation[2, 1]
    slices = np.moveaxis(array, axis, 0)[:: -1 if sign < 0 else 1]
    places = np.array(volume.places)
    count = int(places[-1] + 1e-6) + 1
    shape = list(array.shape)
    shape[axis] = count
    result = np.empty(shape, array.dtype, order="F")
    target = np.moveaxis(result, axis, 0)[:: -1 if sign < 0 else 1]
    for k in range(count):
        upper = int(np.clip(np.searchsorted(places, k), 1, places.size - 1))
        weight = (k - places[upper - 1]) / (places[upper] - places[upper - 1])
        weight = float(weight > HALF) if labels else weight
        for rows in strips(slices.shape[1], slices[0, :1].nbytes):
            below, above = slices[upper - 1, rows], slices[upper, rows]
            mixed = below * (1.0 - weight) + above * weight
            target[k, rows] = np.rint(mixed) if array.dtype.kind in "iu" else mixed
    i, j, n = (shape[int(to)] for to in volume.orientation[:, 0])
    affine = canonical_affine(lps_to_ras(volume.lps), (i, j, n), volume.orientation)
    return _changed(volume, result, affine, EVENED), result


def _squared(volume: VolumePlan, array: Image, *, labels: bool) -> tuple[VolumePlan, Image]:
    i, j, k = array.shape[:3]
    affine, shape = orthogonal_grid(volume.affine, (i, j, k), int(volume.orientation[2, 0]))
    outside = min(float(array.min()), 0.0)
    order = 0 if labels else 1
    sampled = resample(array, volume.affine, affine, shape, order=order, outside=outside)
    result = np.asfortranarray(sampled)
    return _changed(volume, result, affine, SQUARED), result


def _changed(volume: VolumePlan, array: Image, affine: Image, how: str) -> VolumePlan:
    shape = array.shape if len(volume.shape) > 3 else array.shape[:3]
    return replace(volume, shape=shape, affine=affine, resampled=(*volume.resampled, how))
