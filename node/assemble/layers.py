"""A volume in the order of its file, some layers at a time.

A layer is one plane (i, j) of the array; the layers of all times follow each other in the file.
Where each slice becomes a layer, no more than one block of layers has to be in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from node.assemble.fill import dicom_view, voxels
from node.assemble.pixels import Image
from node.assemble.series import VolumePlan
from node.assemble.stacking import Piece
from node.assemble.values import Values, is_final

BLOCK_BYTES: Final = 1 << 18
"""Layers are taken together up to this; a layer that is larger is taken alone."""


def blocks(shape: tuple[int, ...], itemsize: int) -> Iterator[range]:
    """Yield the numbers of the layers that are taken together.

    Args:
        shape: (i, j, k, t).
        itemsize: bytes of a voxel.
    """
    i, j, k, t = shape
    step = max(1, BLOCK_BYTES // (i * j * itemsize))
    for start in range(0, k * t, step):
        yield range(start, min(start + step, k * t))


def cut(array: Image) -> Iterator[Image]:
    """Yield the blocks of a volume that is in memory: (i, j, layers), views of it.

    Args:
        array: (i, j, k, t) in RAS order, Fortran-contiguous.
    """
    layers = array.reshape((*array.shape[:2], -1), order="F")
    for block in blocks(array.shape, array.dtype.itemsize):
        yield layers[:, :, block.start : block.stop]


def flows(volume: VolumePlan, values: Values) -> bool:
    """Tell whether a volume can be written slice by slice: each is a layer, and final as read."""
    return bool(volume.orientation[2, 0] == 2) and is_final(values)


def flow(volume: VolumePlan, values: Values, read: Callable[[Piece], Image]) -> Iterator[Image]:
    """Read a volume and yield its blocks: (i, j, layers) in RAS order, Fortran-contiguous.

    The same that `cut` yields of the array that `fill` fills.

    Args:
        volume: one that `flows`, and is not resampled.
        values: voxel type and scale.
        read: returns the stored values of a frame, (rows, columns) or (rows, columns, 3).
    """
    i, j, k = volume.shape[:3]
    for block in blocks((i, j, k, len(volume.grid)), values.dtype.itemsize):
        array = np.empty((i, j, len(block)), values.dtype, order="F")
        for at, layer in enumerate(block):
            view = dicom_view(array[:, :, at, np.newaxis, np.newaxis], volume.orientation)
            view[:, :, 0, 0] = voxels(piece_of(volume, layer), values, read)
        yield array


def piece_of(volume: VolumePlan, layer: int) -> Piece:
    """Return the frame that becomes a layer of a volume whose slices are layers."""
    t, k = divmod(layer, volume.shape[2])
    row = volume.grid[t]
    return row[k] if volume.orientation[2, 1] > 0 else row[len(row) - 1 - k]
