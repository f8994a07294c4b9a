"""A decompressed copy of a volume in blocks, from which slices across every axis are quick to read.

A NIfTI file has its values with i fastest: a sagittal slice of 512 × 512 × 600 voxels touches every
page of it. The copy has blocks of 32 × 32 columns along k. An axial slice is a piece of every
block, a sagittal or coronal one a sixteenth of the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from node.web.viewer.messages import NotViewable

_EDGE: Final = 32  # voxels along i and j
_SLAB_BYTES: Final = 8 << 20  # read and written at once
_SAMPLES: Final = 500_000  # enough to find a window


class Layout:
    """Where the values are in the copy.

    Args:
        shape: voxels along i, j, k and t.
        dtype: type of the values.
    """

    def __init__(self, shape: tuple[int, int, int, int], dtype: np.dtype[Any]) -> None:
        self.volume = shape
        self.dtype = dtype
        i, j, k, t = shape
        self.edges = min(_EDGE, i), min(_EDGE, j)
        self.counts = -(-i // self.edges[0]), -(-j // self.edges[1])
        self.shape = (t, *self.counts, k, self.edges[1], self.edges[0])
        self.size = int(np.prod(self.shape, dtype=np.int64)) * dtype.itemsize

    def offset(self, time: int, i_block: int, j_block: int, k: int) -> int:
        """Bytes before the slice `k` of a block."""
        _, across, down, slices, rows, columns = self.shape
        before = ((time * across + i_block) * down + j_block) * slices + k
        return before * rows * columns * self.dtype.itemsize


def write_blocks(
    stream: BinaryIO, target: Path, layout: Layout, beat: Callable[[], object]
) -> NDArray[Any]:
    """Copy the values of a volume into blocks.

    Args:
        stream: the values, i fastest, then j, k, t.
        target: the file to write.
        layout: of the copy.
        beat: called after each part.

    Returns:
        (n,) evenly spaced stored values of the first volume.

    Raises:
        NotViewable: the stream ends too early.
        OSError: the copy cannot be written.
    """
    i, j, k, t = layout.volume
    bytes_a_slice = i * j * layout.dtype.itemsize
    depth = max(1, min(k, _SLAB_BYTES // bytes_a_slice))
    every = 1 + i * j * k // _SAMPLES
    samples = []
    with target.open("wb") as file:
        os.truncate(file.fileno(), layout.size)
        for time in range(t):
            for first in range(0, k, depth):
                count = min(depth, k - first)
                data = _exactly(stream, count * bytes_a_slice)
                slab = np.frombuffer(data, layout.dtype).reshape(count, j, i)
                _write_slab(file.fileno(), layout, slab, time, first)
                if time == 0:
                    samples.append(slab.reshape(-1)[-(first * i * j) % every :: every].copy())
                beat()
    return np.concatenate(samples)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise NotViewable("the file ends too early")
    return data


def _write_slab(file: int, layout: Layout, slab: NDArray[Any], time: int, first: int) -> None:
    """Write some slices, (k, j, i), into every block."""
    (columns, rows), (across, down) = layout.edges, layout.counts
    count, j, i = slab.shape
    if (i, j) != (across * columns, down * rows):
        padded = np.zeros((count, down * rows, across * columns), slab.dtype)
        padded[:, :j, :i] = slab
        slab = padded
    blocks = slab.reshape(count, down, rows, across, columns).transpose(3, 1, 0, 2, 4)
    for i_block in range(across):
        for j_block in range(down):
            piece = np.ascontiguousarray(blocks[i_block, j_block])
            os.pwrite(file, piece.tobytes(), layout.offset(time, i_block, j_block, first))


def read_plane(path: Path, layout: Layout, axis: int, index: int, time: int) -> NDArray[Any]:
    """One slice.

    Args:
        path: the copy.
        layout: of the copy.
        axis: across the slice: 0 (i), 1 (j) or 2 (k).
        index: of the slice on this axis.
        time: index t.

    Returns:
        (j, k), (i, k) or (i, j) stored values.
    """
    i, j, k, _ = layout.volume
    columns, rows = layout.edges
    # Mapped for this slice only, so that the pages of a volume do not stay with the process.
    blocks = np.memmap(path, layout.dtype, "r", shape=layout.shape)[time]
    if axis == 2:
        part = np.array(blocks[:, :, index].transpose(0, 3, 1, 2), order="C")
        return np.asarray(part.reshape(part.shape[0] * columns, -1)[:i, :j])
    if axis == 1:
        part = np.array(blocks[:, index // rows, :, index % rows].transpose(0, 2, 1), order="C")
        return np.asarray(part.reshape(-1, k)[:i])
    part = np.array(
        blocks[index // columns, :, :, :, index % columns].transpose(0, 2, 1), order="C"
    )
    return np.asarray(part.reshape(-1, k)[:j])


def read_voxel(path: Path, layout: Layout, voxel: tuple[int, int, int], time: int) -> NDArray[Any]:
    """The stored value of one voxel, an array of no dimensions.

    Args:
        path: the copy.
        layout: of the copy.
        voxel: i, j, k.
        time: index t.
    """
    columns, rows = layout.edges
    i, j, k = voxel
    blocks = np.memmap(path, layout.dtype, "r", shape=layout.shape)
    place = (time, i // columns, j // rows, k, j % rows, i % columns)
    return np.array(blocks[place])
