"""How the head moved: each volume of a 4D series is registered rigidly to the first.

Gauss-Newton on the squared difference of intensities, inverse compositional (Baker and Matthews,
2004), with weights against outliers; on smoothed volumes, at points where the first volume has
edges.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

Array = npt.NDArray[np.float64]

HEAD_RADIUS: Final = 50.0
"""mm; a rotation counts as the way of a point at this distance (Power et al., 2012)."""
_SPACING: Final = 3.0
"""mm; finer volumes are averaged over whole voxels to about this spacing."""
_SMOOTHING: Final = 1.0
"""Standard deviation, voxels of the grid that is worked on."""
_WIDTH: Final = 2.0
"""Standard deviations on either side, up to which values are smoothed over."""
_POINTS: Final = 15_000
_USED: Final = 6_000
"""Of these points; every n-th, so that they are spread over the head as all of them are."""
_STEPS: Final = 12
_SMALL: Final = 1e-3
"""mm, and radians × `HEAD_RADIUS`: a smaller step ends the search."""
_OUTLIER: Final = 4.685
"""Robust standard deviations beyond which a point has no weight (Tukey's biweight)."""
_BORDER: Final = 2


class MotionEstimator:
    """Registers volumes to a first one.

    Args:
        first: (i, j, k) the volume that the others are registered to.
        affine: (4, 4) voxel -> RAS mm.
    """

    def __init__(self, first: npt.NDArray[Any], affine: Array) -> None:
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        self._factors = np.array(
            [
                min(size // 8 or 1, max(1, round(_SPACING / step)))
                for size, step in zip(first.shape, spacing, strict=True)
            ]
        )
        linear = affine[:3, :3] * self._factors
        centre_of_block = affine[:3, :3] @ ((self._factors - 1) / 2)
        reference = self._prepared(first)
        middle = (np.array(reference.shape) - 1) / 2
        self.centre: Array = linear @ middle + affine[:3, 3] + centre_of_block
        self._to_voxel = np.linalg.inv(linear)
        self._middle = middle
        gradients = np.stack([*np.gradient(reference)], axis=-1) @ self._to_voxel  # per mm, RAS
        chosen = _strongest(gradients)
        places = np.argwhere(chosen)
        places = places[:: -(-len(places) // _USED) or 1]
        self._points = (places - middle) @ linear.T  # mm from the centre
        self._values = reference[tuple(places.T)]
        slopes = gradients[tuple(places.T)]
        self._jacobian = np.concatenate([slopes, np.cross(self._points, slopes)], axis=1)
        self._last = np.eye(4)

    def register(self, volume: npt.NDArray[Any]) -> Array:
        """How the head lies in a volume, compared with the first.

        Args:
            volume: (i, j, k).

        Returns:
            (6,) translation of the centre of the grid along R, A and S in mm, and rotations
            about R, A and S in degrees, applied in this order.
        """
        if len(self._points) < 100:
            return np.full(6, np.nan)
        moved = self._prepared(volume)
        pose = self._last.copy()
        for _ in range(_STEPS):
            step = self._step(moved, pose)
            pose = pose @ np.linalg.inv(_rigid(step))
            if np.abs(step * ([1.0] * 3 + [HEAD_RADIUS] * 3)).max() < _SMALL:
                break
        self._last = pose
        return np.concatenate([pose[:3, 3], _angles(pose)])

    def _step(self, moved: Array, pose: Array) -> Array:
        """(6,) mm and radians: what the pose has to be changed by, seen from the first volume."""
        there = self._points @ pose[:3, :3].T + pose[:3, 3]
        where = there @ self._to_voxel.T + self._middle
        sampled = map_coordinates(moved, where.T, order=1, mode="nearest")
        inside = np.all((where >= 0) & (where <= np.array(moved.shape) - 1), axis=1)
        gain = _gain(sampled[inside], self._values[inside])
        difference = sampled * gain - self._values
        spread = 1.4826 * float(np.median(np.abs(difference[inside]))) if inside.any() else 0.0
        weights = inside.astype(np.float64)
        if spread > 0:
            share = np.clip(np.abs(difference) / (_OUTLIER * spread), 0, 1)
            weights *= (1 - share**2) ** 2
        weighted = self._jacobian * weights[:, None]
        normal = weighted.T @ self._jacobian
        normal += np.eye(6) * 1e-9 * np.trace(normal)
        return np.asarray(np.linalg.solve(normal, weighted.T @ difference))

    def _prepared(self, volume: npt.NDArray[Any]) -> Array:
        """A smoothed volume on the grid that is worked on."""
        a, b, c = (int(factor) for factor in self._factors)
        i, j, k = (size // factor for size, factor in zip(volume.shape, (a, b, c), strict=True))
        cut = np.asarray(volume[: i * a, : j * b, : k * c], np.float64)
        whole = cut.reshape(i, a, j, b, k, c).mean(axis=(1, 3, 5)) if a * b * c > 1 else cut
        return np.asarray(gaussian_filter(whole, _SMOOTHING, mode="nearest", truncate=_WIDTH))


def framewise_displacement(poses: Array) -> Array:
    """How far the head moved from each volume to the next (Power et al., 2012).

    Args:
        poses: (t, 6) mm and degrees.

    Returns:
        (t,) mm; 0 for the first volume.
    """
    steps = np.abs(np.diff(poses, axis=0, prepend=poses[:1]))
    ways = np.deg2rad(steps[:, 3:]) * HEAD_RADIUS
    return np.asarray(steps[:, :3].sum(axis=1) + ways.sum(axis=1))


def _strongest(gradients: Array) -> npt.NDArray[np.bool_]:
    """Points with the strongest edges, away from the border."""
    strength = np.sum(gradients**2, axis=-1)
    inner = np.zeros(strength.shape, bool)
    border = [min(_BORDER, (size - 1) // 3) for size in strength.shape]
    inner[tuple(slice(b, s - b) for b, s in zip(border, strength.shape, strict=True))] = True
    strength = np.where(inner, strength, 0.0)
    count = min(_POINTS, int(np.count_nonzero(strength) * 0.5))
    if count < 1:
        return np.zeros(strength.shape, bool)
    least = np.partition(strength.ravel(), strength.size - count)[strength.size - count]
    return np.asarray(strength >= max(least, np.finfo(float).tiny))


def _gain(values: Array, wanted: Array) -> float:
    """The factor between the intensities of two volumes."""
    squares = float(values @ values)
    return float(values @ wanted) / squares if squares > 0 else 1.0


def _rigid(step: Array) -> Array:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(step[3:]).as_matrix()
    pose[:3, 3] = step[:3]
    return pose


def _angles(pose: Array) -> Array:
    return np.asarray(Rotation.from_matrix(pose[:3, :3]).as_euler("xyz", degrees=True))
