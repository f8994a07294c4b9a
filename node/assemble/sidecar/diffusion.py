"""b-values and gradient directions in FSL's convention, for the array as written."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from node.assemble.frames.model import FrameHeader, Vector
from node.assemble.series import VolumePlan
from node.assemble.space import LPS_TO_RAS, Matrix, voxel_sizes

TRACE: Final = "trace"
"""`derived` of images that combine several directions and have a b-value (C.8.13.5.9: ISOTROPIC),
unlike ADC."""
_SILENT_AT_ZERO: Final = frozenset({"Canon", "Toshiba"})
"""Makers whose unweighted images have no b-value in a series where other images have one."""


class Gradients(NamedTuple):
    """One diffusion weighting for each volume.

    Attributes:
        b_values: (t,) s/mm².
        directions: (t,) unit vectors in FSL's frame, zero if there is no direction; empty for
            traces.
    """

    b_values: tuple[float, ...]
    directions: tuple[Vector, ...]

    def bval(self) -> str:
        """Return the text of a .bval file."""
        return " ".join(f"{value:g}" for value in self.b_values) + "\n"

    def bvec(self) -> str:
        """Return the text of a .bvec file: one row for each component."""
        rows = zip(*self.directions, strict=True)
        return "".join(" ".join(f"{value:.6g}" for value in row) + "\n" for row in rows)


def gradients(volume: VolumePlan) -> Gradients | None:
    """Return the gradients of a diffusion series; None for other series or if any is not known.

    Of derived images only traces have b-values.
    """
    frames = [row[0].frame for row in volume.grid]
    b_values = [frame.b_value for frame in frames]
    if volume.first.header.vendor in _SILENT_AT_ZERO:
        b_values = [value or 0.0 for value in b_values]
    known = [value for value in b_values if value is not None]
    if len(known) < len(frames) or not any(known):
        return None
    made = {frame.derived for frame in frames}
    if made == {TRACE}:
        return Gradients(tuple(known), ())
    if made != {""}:
        return None
    return Gradients(tuple(known), tuple(_direction(frame, volume.affine) for frame in frames))


def _direction(frame: FrameHeader, affine: Matrix) -> Vector:
    if frame.gradient is None or not frame.b_value:
        return (0.0, 0.0, 0.0)
    return to_fsl(frame.gradient, affine)


def to_fsl(gradient: Vector, affine: Matrix) -> Vector:
    """Turn a direction from LPS into FSL's frame.

    FSL's components are along the voxel axes; the first is negated if the affine has a positive
    determinant.

    Args:
        gradient: unit vector, LPS.
        affine: (4, 4) voxel -> RAS mm of the array as written.

    Returns:
        unit vector in FSL's frame.

    Examples:
        >>> to_fsl((1.0, 0.0, 0.0), np.diag([2.0, 2.0, 2.0, 1.0]))
        (1.0, 0.0, 0.0)
    """
    ras = LPS_TO_RAS[:3, :3] @ np.array(gradient)
    axes = affine[:3, :3] / np.array(voxel_sizes(affine))
    along = axes.T @ ras
    if np.linalg.det(affine[:3, :3]) > 0:
        along[0] = -along[0]
    x, y, z = (along / np.linalg.norm(along) + 0.0).tolist()
    return x, y, z
