"""A volume in the order of its file, some layers at a time.

A layer is one plane (i, j) of the array; the layers of all times follow each other in the file.
Where each slice becomes a layer, no more than one block of layers has to be in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from node.assemble.frames.model import InstanceHeader
from node.assemble.pixels.stored_values import Image
from node.assemble.pixels.voxel_values import Values, choose, decided
from node.assemble.series import VolumePlan
from node.assemble.space import Matrix, canonical_orientation, lps_to_ras
from node.assemble.stacks.geometry import DEFAULT_SPACING_MM, stack_affine
from node.assemble.stacks.slice_sorting import Piece, Stack, stacks_of, usable
from node.assemble.volumes.fill import dicom_view, put, voxels
from node.core.errors import AssemblyError

BLOCK_BYTES: Final = 1 << 17
"""Layers are taken together up to this; a layer of more than half of it is taken alone."""


MOST_PRESSED: Final = 8 << 20
"""Bytes that are compressed together at most; a larger layer is not compressed in advance."""


class Layer(NamedTuple):
    """How a frame becomes a layer.

    Attributes:
        piece: the frame.
        values: voxel type and scale.
        orientation: (3, 2) DICOM axes -> axes of the array.
    """

    piece: Piece
    values: Values
    orientation: Matrix

    @property
    def shape(self) -> tuple[int, int]:
        """(i, j)."""
        frame = self.piece.frame
        turned = bool(self.orientation[0, 0])
        return (frame.rows, frame.columns) if turned else (frame.columns, frame.rows)


class Block(NamedTuple):
    """Bytes that are compressed.

    Attributes:
        data: deflated, ending on a byte.
        crc: CRC-32 of what was deflated.
        size: how many bytes that was.
    """

    data: bytes | memoryview
    crc: int
    size: int


class Pressed(NamedTuple):
    """A layer that is compressed already, and what a picture shows of it.

    Attributes:
        block: the layer.
        across: (i,) its middle row of voxels.
        down: (j,) its middle column of voxels.
    """

    block: Block
    across: Image
    down: Image


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


def flows(volume: VolumePlan) -> bool:
    """Tell whether the slices of a volume are layers, and can be written one after the other."""
    return bool(volume.orientation[2, 0] == 2)


def extremes(volume: VolumePlan, values: Values, read: Callable[[Piece], Image]) -> tuple[int, int]:
    """Read all slices of a volume of integers; return the smallest and the largest value.

    Args:
        values: as the volume would be filled.
    """
    pieces = (piece for row in volume.grid for piece in row)
    parts = (part for piece in pieces for _, part in voxels(piece, values, read))
    ends = [(int(one.min()), int(one.max())) for one in parts]
    return min(low for low, _ in ends), max(high for _, high in ends)


def flow(
    volume: VolumePlan,
    values: Values,
    read: Callable[[Piece], Image],
    pressed: Callable[[Layer], Pressed | None] = lambda _: None,
) -> Iterator[Image | Pressed]:
    """Read a volume and yield its blocks: (i, j, layers) in RAS order, Fortran-contiguous.

    The same that `cut` yields of the array that `fill` fills, but for layers that are pressed.

    Args:
        volume: one that `flows`, and is not resampled.
        values: voxel type and scale, `decided`.
        read: returns the stored values of a frame, (rows, columns) or (rows, columns, 3).
        pressed: returns a layer that needs not be read, if there is such a one. A picture shows
            the whole middle layer, which is always read.
    """
    i, j, k = volume.shape[:3]
    for block in blocks((i, j, k, len(volume.grid)), values.dtype.itemsize):
        layers = [Layer(piece_of(volume, at), values, volume.orientation) for at in block]
        if len(block) == 1 and block.start % k != k // 2:
            ready = pressed(layers[0])
            if ready is not None:
                yield ready
                continue
        yield read_layers(layers, read)


def read_layers(layers: Sequence[Layer], read: Callable[[Piece], Image]) -> Image:
    """Return (i, j, layers) voxels, Fortran-contiguous."""
    first = layers[0]
    array = np.empty((*first.shape, len(layers)), first.values.dtype, order="F")
    for at, layer in enumerate(layers):
        view = dicom_view(array[:, :, at, np.newaxis, np.newaxis], layer.orientation)
        put(view[:, :, 0, 0], layer.piece, layer.values, read)
    return array


def piece_of(volume: VolumePlan, layer: int) -> Piece:
    """Return the frame that becomes a layer of a volume whose slices are layers."""
    t, k = divmod(layer, volume.shape[2])
    row = volume.grid[t]
    return row[k] if volume.orientation[2, 1] > 0 else row[len(row) - 1 - k]


def foreseen(headers: Sequence[InstanceHeader]) -> list[Layer]:
    """Return the layers that slices will most likely become, whatever else is still to come.

    Only slices that are a block of their own; whether they become these layers is only known when
    the volume is planned.
    """
    try:
        stacks = stacks_of(usable(headers)[0])
    except AssemblyError:
        return []
    return [layer for stack in stacks for layer in _foreseen(stack)]


def _foreseen(stack: Stack) -> list[Layer]:
    try:
        values = choose(stack.pieces)
    except AssemblyError:
        return []
    first = stack.pieces[0].frame
    between = first.between or first.thickness or DEFAULT_SPACING_MM
    heads = [indices[0] for indices in stack.at_each_position()]
    orientation = canonical_orientation(lps_to_ras(stack_affine(stack.planes.take(heads), between)))
    size = first.rows * first.columns * values.dtype.itemsize
    alone = BLOCK_BYTES // 2 < size <= MOST_PRESSED
    if orientation[2, 0] != 2 or not alone:
        return []
    values = decided(values, 0, 0)  # the shift mostly fits
    return [
        Layer(piece, values, orientation)
        for piece in stack.pieces
        if piece.header.pixels is not None and piece.header.pixels.frames == 1
    ]
