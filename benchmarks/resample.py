"""Resampling onto an oblique grid next to SimpleITK: time, and voxels that differ.

    python -m benchmarks.resample [--rounds 5]

Both take turns in one process, with as many threads as there are processors; each one's best round
counts. SimpleITK has to be installed.
"""

from __future__ import annotations

import argparse
import time
from typing import Any, Final

import numpy as np
import SimpleITK as sitk  # noqa: N813

from node import space
from node.convert.loading.handover import to_sitk

OUTSIDE: Final = -2000.0
MOVING: Final = (512, 512, 200)
FIXED: Final = (256, 256, 256)
METHODS: Final = {0: sitk.sitkNearestNeighbor, 1: sitk.sitkLinear}


def turned(angles: tuple[float, float, float], sizes: tuple[float, float, float]) -> np.ndarray:
    """(4, 4) an oblique affine, centred on nothing."""
    affine = np.eye(4)
    for axis, angle in enumerate(angles):
        a, b = (number for number in range(3) if number != axis)
        turn = np.eye(4)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        affine = turn @ affine
    return affine @ np.diag([*sizes, 1.0])


def centred(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Move an affine so that the middle of its grid is the origin of the world."""
    moved = affine.copy()
    moved[:3, 3] = -space.to_world(affine, (np.array(shape) - 1) / 2) + affine[:3, 3]
    return moved


def theirs(image: Any, fixed: Any, method: int) -> Any:
    """What SimpleITK makes of it."""
    filter_ = sitk.ResampleImageFilter()
    filter_.SetReferenceImage(fixed)
    filter_.SetInterpolator(method)
    filter_.SetDefaultPixelValue(OUTSIDE)
    return filter_.Execute(image)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    moving = centred(turned((0.0, 0.0, 0.0), (0.7, 0.7, 1.5)), MOVING)
    grid = centred(turned((0.2, -0.15, 0.3), (1.2, 1.2, 1.2)), FIXED)
    fixed = to_sitk(np.zeros(FIXED, np.uint8), grid)
    rng = np.random.default_rng(0)
    values = np.asfortranarray(rng.integers(-1000, 1000, MOVING))
    for order, method in METHODS.items():
        for kind in (np.int16, np.float32):
            data = np.asfortranarray(values.astype(kind))
            image = to_sitk(data, moving)
            best = [float("inf"), float("inf")]
            for _ in range(rounds):
                began = time.perf_counter()
                made = theirs(image, fixed, method)
                best[0] = min(best[0], time.perf_counter() - began)
                began = time.perf_counter()
                ours = space.resample(data, moving, grid, FIXED, order=order, outside=OUTSIDE)
                best[1] = min(best[1], time.perf_counter() - began)
            other = sitk.GetArrayFromImage(made).transpose(2, 1, 0)
            apart = np.abs(ours.astype(np.float64) - other)
            edge = int(((ours == OUTSIDE) != (other == OUTSIDE)).sum())
            print(
                f"{'nearest' if order == 0 else 'linear':8} {kind.__name__:8} "
                f"SimpleITK {best[0]:.3f} s, rasnode {best[1]:.3f} s, {best[1] / best[0]:.2f} x; "
                f"largest difference {apart.max():.2g}, field of view differs in {edge} voxels",
                flush=True,
            )


if __name__ == "__main__":
    main()
