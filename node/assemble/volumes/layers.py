"""The layers of a volume in the order of its file, a block of layers at a time.

A layer is one plane (i, j) of the array; the layers of all times follow each other in the file.
Where slices are layers, only one block has to be in memory.
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
"""Bytes of a block; a layer of more than half of it is a block by itself."""
MOST_COMPRESSED_BYTES: Final = 8 << 20
"""Largest number of bytes that are compressed together; larger layers are not compressed ahead."""


class Layer(NamedTuple):
    """How a frame becomes a layer.

    Attributes:
        piece: the frame.
        values: voxel type and scale.
        orientation: (3, 2) DICOM axes (column, row, k) -> axes of the array.
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
    """Compressed bytes.

    Attributes:
        data: deflated, ending on a whole byte.
        crc: CRC-32 of the bytes before compression.
        size: number of bytes before compression.
    """

    data: bytes | memoryview
    crc: int
    size: int


class CompressedLayer(NamedTuple):
    """A layer that is compressed already, with the voxels that the preview shows of it.

    Attributes:
        block: the layer.
        across: (i,) voxels at the middle of j.
        down: (j,) voxels at the middle of i.
    """

    block: Block
    across: Image
    down: Image


def blocks(shape: tuple[int, ...], itemsize: int) -> Iterator[range]:
    """Yield the numbers of the layers of each block.

    Args:
        shape: (i, j, k, t).
        itemsize: bytes of a voxel.
    """
    i, j, k, t = shape
    step = max(1, BLOCK_BYTES // (i * j * itemsize))
    for start in range(0, k * t, step):
        yield range(start, min(start + step, k * t))


def cut(array: Image) -> Iterator[Image]:
    """Yield the blocks of a volume that is in memory.

    Args:
        array: (i, j, k, t) in RAS order, Fortran-contiguous.

    Yields:
        (i, j, layers) views of the array.
    """
    layers = array.reshape((*array.shape[:2], -1), order="F")
    for block in blocks(array.shape, array.dtype.itemsize):
        yield layers[:, :, block.start : block.stop]


def slices_are_layers(volume: VolumePlan) -> bool:
    """Tell whether the slices of a volume are layers, so that they can be written one by one."""
    return bool(volume.orientation[2, 0] == 2)


def extremes(volume: VolumePlan, values: Values, read: Callable[[Piece], Image]) -> tuple[int, int]:
    """Return the smallest and the largest voxel value of a volume of integers; reads all slices.

    Args:
        volume: the plan.
        values: voxel type and scale.
        read: returns the stored values of a frame, (rows, columns).
    """
    pieces = (piece for row in volume.grid for piece in row)
    parts = (part for piece in pieces for _, part in voxels(piece, values, read))
    ends = [(int(one.min()), int(one.max())) for one in parts]
    return min(low for low, _ in ends), max(high for _, high in ends)


def stream_blocks(
    volume: VolumePlan,
    values: Values,
    read: Callable[[Piece], Image],
    cached: Callable[[Layer], CompressedLayer | None] = lambda _: None,
) -> Iterator[Image | CompressedLayer]:
    """Read a volume slice by slice and yield its blocks.

    The blocks are those that `cut` yields of the array from `fill`, except compressed layers.

    Args:
        volume: a plan for which `slices_are_layers`, and which is not resampled.
        values: voxel type and scale, `decided`.
        read: returns the stored values of a frame, (rows, columns) or (rows, columns, 3).
        cached: returns a layer that is compressed already, or None. The preview shows the whole
            middle layer, so that one is always read.

    Yields:
        (i, j, layers) voxels in RAS order, Fortran-contiguous, or a compressed layer.
    """
    i, j, k = volume.shape[:3]
    for block in blocks((i, j, k, len(volume.grid)), values.dtype.itemsize):
        layers = [Layer(piece_of(volume, at), values, volume.orientation) for at in block]
        if len(block) == 1 and block.start % k != k // 2:
            ready = cached(layers[0])
            if ready is not None:
                yield ready
                continue
        yield read_layers(layers, read)


def read_layers(layers: Sequence[Layer], read: Callable[[Piece], Image]) -> Image:
    """Read some layers of one shape.

    Args:
        layers: the layers.
        read: returns the stored values of a frame, (rows, columns) or (rows, columns, 3).

    Returns:
        (i, j, layers) voxels in RAS order, Fortran-contiguous.
    """
    first = layers[0]
    array = np.empty((*first.shape, len(layers)), first.values.dtype, order="F")
    for at, layer in enumerate(layers):
        view = dicom_view(array[:, :, at, np.newaxis, np.newaxis], layer.orientation)
        put(view[:, :, 0, 0], layer.piece, layer.values, read)
    return array


def piece_of(volume: VolumePlan, layer: int) -> Piece:
    """Return the frame that becomes a layer.

    Args:
        volume: a plan for which `slices_are_layers`.
        layer: number of the layer, from 0, over all times.
    """
    t, k = divmod(layer, volume.shape[2])
    row = volume.grid[t]
    return row[k] if volume.orientation[2, 1] > 0 else row[len(row) - 1 - k]


def expected_layers(headers: Sequence[InstanceHeader]) -> list[Layer]:
    """Return the layers that slices will probably become, before all instances are received.

    Only slices that are blocks by themselves are returned. Whether they become these layers is
    known when the volume is planned.
    """
    try:
        stacks = stacks_of(usable(headers)[0])
    except AssemblyError:
        return []
    return [layer for stack in stacks for layer in _expected(stack)]


def _expected(stack: Stack) -> list[Layer]:
    try:
        values = choose(stack.pieces)
    except AssemblyError:
        return []
    first = stack.pieces[0].frame
    between = first.between or first.thickness or DEFAULT_SPACING_MM
    heads = [indices[0] for indices in stack.at_each_position()]
    orientation = canonical_orientation(lps_to_ras(stack_affine(stack.planes.take(heads), between)))
    size = first.rows * first.columns * values.dtype.itemsize
    alone = BLOCK_BYTES // 2 < size <= MOST_COMPRESSED_BYTES
    if orientation[2, 0] != 2 or not alone:
        return []
    values = decided(values, 0, 0)  # an integer shift mostly fits
    return [
        Layer(piece, values, orientation)
        for piece in stack.pieces
        if piece.header.pixels is not None and piece.header.pixels.frames == 1
    ]
