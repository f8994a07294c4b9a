"""Is a volume the phantom: does every voxel have the value that belongs to its place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from node.cli.demo.phantom.anatomy import Field
from node.cli.demo.phantom.studies import Study

TOLERANCE = 0.6
"""Scanners store whole numbers (0.5), and places that were written in decimals shift a little."""


def largest_difference(
    study: Study,
    shape: tuple[int, int, int, int],
    affine: NDArray[np.float64],
    values: Callable[[int, int], Field],
) -> float:
    """The largest difference between a volume and the truth, over all voxels and times.

    Args:
        shape: voxels along i, j, k and t.
        affine: (4, 4) voxel (i, j, k) -> RAS mm, as the volume's header has it.
        values: the volume's (i, j) plane at a k and a t.
    """
    i, j = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    worst = 0.0
    for k in range(shape[2]):
        right, anterior, superior = (
            affine[axis, 0] * i + affine[axis, 1] * j + affine[axis, 2] * k + affine[axis, 3]
            for axis in range(3)
        )
        for time in range(shape[3]):
            truth = study.truth((right, anterior, superior), time)
            worst = max(worst, float(np.abs(values(k, time) - truth).max()))
    return worst
