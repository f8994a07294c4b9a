"""A whole volume into memory: compressed slices of several files are decoded at the same time."""

from __future__ import annotations

from typing import Final

import numpy as np

from node.assemble.pixels.stored_values import Image
from node.assemble.pixels.voxel_values import Values
from node.assemble.series import VolumePlan
from node.assemble.volumes.fill import dicom_view, fill, put
from node.convert.sources import PixelReader, is_encapsulated
from node.core.supervision import in_parallel
from node.core.system.machine import available_processors

MOST_THREADS: Final = 8
LARGE_FRAME_BYTES: Final = 64 << 20
"""What one frame may take while it is decoded, for several to be decoded at once."""
FEWEST_FRAMES: Final = 8
"""For a second decoder to be worth its start."""


def fill_quickly(volume: VolumePlan, values: Values, read: PixelReader) -> Image:
    """Read every frame of a volume as `fill` does, with all processors where decoding takes long.

    Args:
        volume: the plan.
        values: voxel type and scale.
        read: reads the stored values of a frame.

    Returns:
        (i, j, k, t) in RAS order, Fortran-contiguous.

    Raises:
        AssemblyError: a slice cannot be read.
    """
    threads = _threads(volume, read)
    if threads < 2:
        return fill(volume, values, read)
    array = np.empty((*volume.shape[:3], len(volume.grid)), values.dtype, order="F")
    view = dicom_view(array, volume.orientation)
    cells = [(t, k) for t, row in enumerate(volume.grid) for k in range(len(row))]

    def part(number: int) -> None:
        reader = read.another()
        for t, k in cells[number::threads]:
            put(view[:, :, k, t], volume.grid[t][k], values, reader)

    in_parallel(part, threads)
    return array


def _threads(volume: VolumePlan, read: PixelReader) -> int:
    """Return how many frames to decode at once: one unless each is a file of its own."""
    pieces = [piece for row in volume.grid for piece in row]
    if len(pieces) < FEWEST_FRAMES or not all(map(is_encapsulated, read.sources(pieces))):
        return 1
    if any(piece.frame.tile or piece.header.pixels is None or piece.header.pixels.frames > 1
           for piece in pieces):  # fmt: skip
        return 1
    if read.room(pieces) > LARGE_FRAME_BYTES:
        return 1
    return min(available_processors(), MOST_THREADS)
