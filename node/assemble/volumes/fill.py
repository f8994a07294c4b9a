"""Fill an array in RAS order slice by slice, with the memory of one more slice at most."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from node.assemble.pixels.codecs import STRIP_BYTES, strips
from node.assemble.pixels.rescale import check_zero, too_large
from node.assemble.pixels.stored_values import RGB, Image
from node.assemble.pixels.voxel_values import Values, wrapped
from node.assemble.series import VolumePlan
from node.assemble.space import Matrix
from node.assemble.stacks.slice_sorting import Piece

_ALL: Final = slice(None)


def dicom_view(array: Image, orientation: Matrix) -> Image:
    """Return a view of a RAS array whose axes are DICOM's.

    Args:
        array: (i, j, k, t) in RAS order.
        orientation: (3, 2) DICOM axes (column, row, slice) -> axes of the array.

    Returns:
        (column, row, slice, t), sharing the array's memory.
    """
    view = array.transpose([*(int(axis) for axis in orientation[:, 0]), 3])
    steps = tuple(slice(None, None, -1 if sign < 0 else 1) for sign in orientation[:, 1])
    return view[steps]


def fill(volume: VolumePlan, values: Values, read: Callable[[Piece], Image]) -> Image:
    """Read every frame of a volume and put it where it belongs.

    Args:
        volume: the plan.
        values: voxel type and scale.
        read: returns the stored values of a frame, (rows, columns) or (rows, columns, 3).

    Returns:
        (i, j, k, t) in RAS order, Fortran-contiguous as NIfTI stores it.
    """
    array = np.empty((*volume.shape[:3], len(volume.grid)), values.dtype, order="F")
    view = dicom_view(array, volume.orientation)
    for t, row in enumerate(volume.grid):
        for k, piece in enumerate(row):
            put(view[:, :, k, t], piece, values, read)
    return array


def put(target: Image, piece: Piece, values: Values, read: Callable[[Piece], Image]) -> None:
    """Read one frame and write its voxel values into an array.

    Args:
        target: (columns, rows) view of the array.
        piece: the frame.
        values: voxel type and scale.
        read: returns the stored values of a frame, (rows, columns) or (rows, columns, 3).
    """
    for rows, part in voxels(piece, values, read):
        target[:, rows] = part


def voxels(
    piece: Piece, values: Values, read: Callable[[Piece], Image]
) -> Iterable[tuple[slice, Image]]:
    """Read one frame and return its voxel values, some rows at a time if the frame is large.

    Args:
        piece: the frame.
        values: voxel type and scale.
        read: returns the stored values of a frame, (rows, columns) or (rows, columns, 3).

    Returns:
        the rows, and their (columns, rows) voxel values.
    """
    image = read(piece)
    if values.scaled and piece.frame.slope == 0.0 and values.dtype != RGB:
        check_zero(piece, image)
    if image.nbytes <= STRIP_BYTES:  # a series has thousands of small frames
        return ((_ALL, _voxels_of(image, piece, values)),)
    parts = strips(len(image), image[:1].nbytes)
    return ((rows, _voxels_of(image[rows], piece, values)) for rows in parts)


def _voxels_of(image: Image, piece: Piece, values: Values) -> Image:
    if values.dtype == RGB:
        image = np.ascontiguousarray(image, np.uint8).view(RGB)[..., 0]
    elif values.scaled:
        image = _scaled(image, piece, values.dtype)
    return image.T


def _scaled(image: Image, piece: Piece, dtype: np.dtype[np.generic]) -> Image:
    slope, intercept = piece.frame.slope, piece.frame.intercept
    if slope == 1.0 and intercept == 0.0:
        return image
    if dtype.kind in "iu":
        # an intermediate value that is too large wraps around and back again: the result fits
        whole = image.astype(dtype)
        if slope != 1.0:
            whole *= wrapped(int(slope), dtype)
        if intercept:
            whole += wrapped(int(intercept), dtype)
        return whole
    with np.errstate(over="ignore", invalid="ignore"):  # infinite floating point pixels are checked
        scaled = (image.astype(np.float64) * slope + intercept).astype(dtype)
    if image.dtype.kind == "f" and (np.isfinite(image) & ~np.isfinite(scaled)).any():
        raise too_large([piece])
    return scaled
