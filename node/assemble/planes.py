"""A single slice in two dimensions: the matrix from its pixels to two anatomical coordinates."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from node.assemble.space import Matrix

LPS: Final = "LPS"
RAS: Final = "RAS"


class SliceMatrix(NamedTuple):
    """Where the pixels of one slice lie in two anatomical coordinates.

    Attributes:
        matrix: (3, 3) pixel (i, j, 1) -> mm along the axes, homogeneous.
        axes: letters of the two coordinates, such as `LS` for a coronal slice in LPS.
        voxel_axes: letters of the two voxel axes, such as `ij`.
    """

    matrix: Matrix
    axes: str
    voxel_axes: str


def slice_matrix(affine: Matrix, index: float, *, axis: int = 2, world: str = LPS) -> SliceMatrix:
    """Return the two-dimensional matrix of one slice: IJ to LS for a coronal one.

    The coordinate that is left out is the one along which the slice's normal mostly runs. The
    other two are exact for oblique slices, too, and the matrix can be inverted.

    Args:
        affine: (4, 4) voxel -> mm in `world`.
        index: number of the slice, voxels.
        axis: the voxel axis that runs over the slices.
        world: `LPS` or `RAS`, what the affine's millimetres are; it names the axes.
    """
    one, other = (number for number in range(3) if number != axis)
    normal = np.cross(affine[:3, one], affine[:3, other])
    left_out = int(np.abs(normal).argmax())
    rows = [number for number in range(3) if number != left_out]
    start = affine[:3, 3] + affine[:3, axis] * index
    matrix = np.eye(3)
    matrix[:2] = np.column_stack([affine[:3, one], affine[:3, other], start])[rows]
    axes = "".join(world[number] for number in rows)
    return SliceMatrix(matrix, axes, "ijk"[one] + "ijk"[other])
