"""Diffusion directions in a scanner's logical axes: frequency, phase, slice.

GE states them so, and Canon with the first two exchanged. Their directions in the image depend on
the plane and on In-plane Phase Encoding Direction, not on how oblique the plane is, nor on how the
patient lies.
"""

from __future__ import annotations

from typing import Final

from node.assemble.frames.model import Orientation, Vector
from node.assemble.vendors.shared.image_axes import normal_axis, to_patient
from node.assemble.vendors.shared.phase_encoding import COLUMN, ROW

_SIGNS: Final[dict[tuple[str, int], Vector]] = {
    (COLUMN, 0): (1.0, 1.0, -1.0),
    (COLUMN, 1): (-1.0, 1.0, 1.0),
    (COLUMN, 2): (-1.0, -1.0, 1.0),
    (ROW, 0): (1.0, -1.0, -1.0),
    (ROW, 1): (1.0, 1.0, 1.0),
    (ROW, 2): (-1.0, 1.0, 1.0),
}
"""(phase direction, plane as in `normal_axis`) -> signs along row, column, normal."""


def from_logical(logical: Vector, phase: str, orientation: Orientation | None) -> Vector | None:
    """Turn a direction in logical axes into a unit vector in LPS.

    Args:
        logical: components along frequency, phase and slice.
        phase: COL or ROW.
        orientation: Image Orientation (Patient).

    Returns:
        unit vector, LPS; None if it cannot be known.
    """
    if orientation is None or phase not in {COLUMN, ROW}:
        return None
    x, y, z = logical
    along = (x, y) if phase == COLUMN else (y, x)
    signs = _SIGNS[phase, normal_axis(orientation)]
    image = (along[0] * signs[0], along[1] * signs[1], z * signs[2])
    return to_patient(image, orientation)
