"""Turn directions relative to an image into directions in the patient."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from node.assemble.frames.model import Orientation, Vector
from node.assemble.stacks.geometry import UNIT_TOLERANCE

SHORTEST_DIRECTION: Final = 1e-3
"""Length of the shortest direction: a zero vector with three decimals may be up to this long."""

LONGEST_DIRECTION: Final = 1e3
"""Length of the longest direction; longer ones are damaged values."""


def to_patient(direction: Vector, orientation: Orientation | None) -> Vector | None:
    """Turn a direction in the axes of an image into a unit vector in LPS.

    Args:
        direction: components along a row, along a column, and along their cross product.
        orientation: Image Orientation (Patient) (PS3.3 C.7.6.2.1.1).

    Returns:
        unit vector, LPS; None for a zero vector, or if the orientation is absent or invalid.
    """
    if orientation is None or not SHORTEST_DIRECTION < math.hypot(*direction) < LONGEST_DIRECTION:
        return None
    lengths = math.hypot(*orientation[:3]), math.hypot(*orientation[3:])
    if max(abs(length - 1.0) for length in lengths) > UNIT_TOLERANCE:
        return None
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    axes = np.column_stack([row, column, np.cross(row, column)])
    vector = axes @ np.array(direction)
    x, y, z = (vector / np.linalg.norm(vector) + 0.0).tolist()
    return x, y, z


def normal_axis(orientation: Orientation) -> int:
    """Return the patient axis closest to an image's normal: 0 sagittal, 1 coronal, 2 axial."""
    normal = np.cross(orientation[:3], orientation[3:])
    return int(np.argmax(np.abs(normal)))
