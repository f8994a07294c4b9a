"""The mathematics of space: LPS and RAS, voxels and millimetres, voxels of one grid in another.

Affines are (4, 4) float64 and map homogeneous voxel indices (i, j, k, 1) to millimetres. NIfTI's
world is RAS: x to the patient's right, y to anterior, z to superior; DICOM's is LPS (PS3.3
C.7.6.2.1.1): x to the left, y to posterior, z to superior.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from nibabel.orientations import inv_ornt_aff, io_orientation

Matrix = npt.NDArray[np.float64]
Array = npt.NDArray[Any]

LPS_TO_RAS: Final[Matrix] = np.diag([-1.0, -1.0, 1.0, 1.0])
"""(4, 4) LPS mm -> RAS mm, and, being its own inverse, RAS mm -> LPS mm."""

SINGULAR_MM: Final = 1e-9
"""mm; a voxel axis shorter than this spans no space."""

GRID_TOLERANCE: Final = 1e-3
"""Voxels; rounding may make a field of view longer by this without another voxel."""


def lps_to_ras(affine: Matrix) -> Matrix:
    """Turn (4, 4) voxel -> LPS mm into (4, 4) voxel -> RAS mm; also the other way round.

    Examples:
        >>> lps_to_ras(np.eye(4)).diagonal().tolist()
        [-1.0, -1.0, 1.0, 1.0]
    """
    return np.asarray(LPS_TO_RAS @ affine)


ras_to_lps = lps_to_ras


def to_world(affine: Matrix, voxels: npt.ArrayLike) -> Matrix:
    """Map voxel indices to millimetres in the affine's world.

    Args:
        affine: (4, 4) voxel (i, j, k) -> mm, RAS or LPS.
        voxels: (..., 3) voxel indices.

    Returns:
        (..., 3) float64, mm, RAS or LPS as the affine.

    Examples:
        >>> affine = np.array([[2.0, 0, 0, -90], [0, 2, 0, -126], [0, 0, 3, -72], [0, 0, 0, 1]])
        >>> to_world(affine, [45, 63, 24]).tolist()
        [0.0, 0.0, 0.0]
    """
    points = np.asarray(voxels, np.float64)
    return np.asarray(points @ affine[:3, :3].T + affine[:3, 3])


def to_voxel(affine: Matrix, points: npt.ArrayLike) -> Matrix:
    """Map millimetres in the affine's world to fractional voxel indices.

    Args:
        affine: (4, 4) voxel (i, j, k) -> mm, RAS or LPS.
        points: (..., 3) mm, RAS or LPS as the affine.

    Returns:
        (..., 3) float64, voxel indices.

    Examples:
        >>> to_voxel(np.diag([2.0, 2.0, 4.0, 1.0]), [[3.0, 4.0, 8.0]]).tolist()
        [[1.5, 2.0, 2.0]]
    """
    inverse: Matrix = np.asarray(np.linalg.inv(affine), np.float64)
    return to_world(inverse, points)


def voxel_map(source: Matrix, target: Matrix) -> Matrix:
    """Return the map from the voxels of one grid to those of another: inv(target) @ source.

    Args:
        source: (4, 4) source voxel -> mm.
        target: (4, 4) target voxel -> mm of the same world.

    Returns:
        (4, 4) float64, source voxel -> target voxel.

    Examples:
        >>> fine, coarse = np.diag([1.0, 1.0, 1.0, 1.0]), np.diag([2.0, 2.0, 4.0, 1.0])
        >>> to_world(voxel_map(fine, coarse), [8, 8, 8]).tolist()
        [4.0, 4.0, 2.0]
    """
    return np.asarray(np.linalg.inv(target) @ source)


def canonical_orientation(affine: Matrix) -> Matrix:
    """Return the world axis that each voxel axis is closest to, and its direction.

    Args:
        affine: (4, 4) voxel -> RAS mm.

    Returns:
        (3, 2) float64: for each voxel axis the RAS axis 0, 1 or 2, and 1 or -1.

    Examples:
        >>> canonical_orientation(np.diag([-1.0, 1.0, 1.0, 1.0])).tolist()
        [[0.0, -1.0], [1.0, 1.0], [2.0, 1.0]]
    """
    return np.asarray(io_orientation(affine), np.float64)


def canonical_affine(affine: Matrix, shape: tuple[int, int, int], orientation: Matrix) -> Matrix:
    """Return the affine after the voxel axes were permuted and flipped into an orientation.

    Args:
        affine: (4, 4) voxel -> RAS mm before.
        shape: (i, j, k) before.
        orientation: (3, 2) from `canonical_orientation`.

    Returns:
        (4, 4) float64, voxel -> RAS mm after.

    Examples:
        >>> affine = np.diag([-1.0, 1.0, 1.0, 1.0])
        >>> canonical_affine(affine, (10, 5, 5), canonical_orientation(affine))[0].tolist()
        [1.0, 0.0, 0.0, -9.0]
    """
    return np.asarray(affine @ inv_ornt_aff(orientation, shape), np.float64)


def voxel_sizes(affine: Matrix) -> tuple[float, float, float]:
    """Return the distance between neighbouring voxels along i, j and k, mm.

    Examples:
        >>> voxel_sizes(np.diag([-0.5, 0.5, 3.0, 1.0]))
        (0.5, 0.5, 3.0)
    """
    i, j, k = np.sqrt((affine[:3, :3] ** 2).sum(axis=0)).tolist()
    return i, j, k


def is_sheared(affine: Matrix, tolerance: float = 1e-4) -> bool:
    """Tell whether the voxel axes are not at right angles, as with a tilted CT gantry.

    Args:
        affine: (4, 4) voxel -> mm.
        tolerance: largest cosine between two axes; 1e-4 is 0.006 degrees, the error of Image
            Orientation (Patient) with six decimals.

    Examples:
        >>> tilted = np.eye(4)
        >>> tilted[1, 2] = 0.2
        >>> is_sheared(tilted), is_sheared(np.eye(4))
        (True, False)
    """
    sizes = np.maximum(voxel_sizes(affine), SINGULAR_MM)
    axes = affine[:3, :3] / sizes
    cosines = axes.T @ axes - np.eye(3)
    return bool(np.abs(cosines).max() > tolerance)


def orthogonal_grid(
    affine: Matrix, shape: tuple[int, int, int], slice_axis: int
) -> tuple[Matrix, tuple[int, int, int]]:
    """Return the smallest grid at right angles that holds every voxel centre of a sheared one.

    Rows, columns and their spacing stay; slices are stacked along their normal at the same
    distance.

    Args:
        affine: (4, 4) voxel -> mm.
        shape: (i, j, k).
        slice_axis: the voxel axis that is sheared.

    Returns:
        (4, 4) voxel -> mm, and its shape (i, j, k).

    Examples:
        >>> tilted = np.eye(4)
        >>> tilted[1, 2] = 0.5
        >>> orthogonal_grid(tilted, (4, 4, 5), 2)[1]
        (4, 6, 5)
    """
    directions = _square_directions(affine, slice_axis)
    steps = np.abs(np.diag(directions.T @ affine[:3, :3]))
    low, high = _bounds(directions, affine, shape, margin=0.0)
    count = np.ceil((high - low) / steps - GRID_TOLERANCE).astype(int) + 1
    return _grid(directions, steps, low, count)


def respaced_grid(
    affine: Matrix,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    slice_axis: int = 2,
) -> tuple[Matrix, tuple[int, int, int]]:
    """Return a grid at right angles with other voxel sizes over the same field of view.

    Args:
        affine: (4, 4) voxel -> mm.
        shape: (i, j, k).
        spacing: mm between voxels along i, j and k.
        slice_axis: the voxel axis that is turned if the axes are not at right angles.

    Returns:
        (4, 4) voxel -> mm, and its shape (i, j, k); centred on the field of view.

    Examples:
        >>> affine, shape = respaced_grid(np.diag([1.0, 1.0, 4.0, 1.0]), (8, 8, 2), (2.0, 2.0, 2.0))
        >>> shape, affine[:3, 3].tolist()
        ((4, 4, 4), [0.5, 0.5, -1.0])
    """
    directions = _square_directions(affine, slice_axis)
    steps = np.asarray(spacing, np.float64)
    low, high = _bounds(directions, affine, shape, margin=0.5)
    count = np.maximum(np.ceil((high - low) / steps - GRID_TOLERANCE).astype(int), 1)
    return _grid(directions, steps, (low + high - (count - 1) * steps) / 2, count)


def _square_directions(affine: Matrix, slice_axis: int) -> Matrix:
    """Return (3, 3) unit columns at right angles; rows and columns of slices keep their plane."""
    directions = affine[:3, :3] / np.array(voxel_sizes(affine))
    one, other = (axis for axis in range(3) if axis != slice_axis)
    second = directions[:, other] - directions[:, one] * (directions[:, one] @ directions[:, other])
    directions[:, other] = second / np.linalg.norm(second)
    normal = np.cross(directions[:, one], directions[:, other])
    directions[:, slice_axis] = normal * np.sign(normal @ affine[:3, slice_axis])
    return np.asarray(directions, np.float64)


def _bounds(
    directions: Matrix, affine: Matrix, shape: tuple[int, int, int], margin: float
) -> tuple[Matrix, Matrix]:
    """Return (3,) lowest and (3,) highest coordinate of the corners along directions, mm."""
    ends = [(-margin, size - 1 + margin) for size in shape]
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
    along = to_world(affine, corners) @ directions
    return np.asarray(along.min(axis=0)), np.asarray(along.max(axis=0))


def _grid(
    directions: Matrix, steps: Matrix, start: Matrix, count: npt.NDArray[np.int_]
) -> tuple[Matrix, tuple[int, int, int]]:
    result = np.eye(4)
    result[:3, :3] = directions * steps
    result[:3, 3] = directions @ start
    i, j, k = count.tolist()
    return result, (i, j, k)
