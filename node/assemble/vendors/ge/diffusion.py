"""GE's diffusion weighting: b-value in slop integers, direction in user data, logical axes."""

from __future__ import annotations

import math
from typing import Final

from node.assemble.frames.model import FrameHeader
from node.assemble.vendors.shared.logical_axes import from_logical
from node.assemble.vendors.shared.phase_encoding import phase_direction
from node.dicom import Elements

_OFFSET: Final = 1_000_000_000
"""Added to b-values by software since release 24, to distinguish them from other uses of the
integer."""
_LARGEST_B: Final = 100_000
"""s/mm²; no gradient system reaches this."""
_B_STEP: Final = 5.0
"""s/mm²; scaled b-values are given in steps of this."""
_UNIT: Final = (0.97, 1.03)
"""Length of a unit vector; a shorter direction scales the b-value of its shell by its length
squared."""
_SHORTEST: Final = 0.03
"""Length below which a direction is zero."""


def diffusion(elements: Elements, frame: FrameHeader) -> dict[str, object]:
    """Return b-value and direction in LPS; empty for an image without diffusion weighting.

    The b-value is the first of (0043,xx39); the direction (0019,xxBB..BD) is relative to
    frequency, phase and slice. Several shells come from one nominal b-value by directions shorter
    than 1.

    Args:
        elements: the instance.
        frame: its frame, of which the orientation is used.

    Returns:
        fields of `FrameHeader`: `b_value`, s/mm², and `gradient`, unit vector in LPS.
    """
    nominal = elements.number(elements.private(0x0043, "GEMS_PARM_01", 0x39), "IS")
    if nominal is None or not _is_diffusion(elements, nominal):
        return {}
    b_value = nominal - _OFFSET if nominal >= _OFFSET else nominal
    if not 0 <= b_value < _LARGEST_B:
        return {}
    components = [
        elements.number(elements.private(0x0019, "GEMS_ACQU_01", low), "DS") or 0.0
        for low in (0xBB, 0xBC, 0xBD)
    ]
    logical = (components[0], components[1], components[2])
    length = math.hypot(*logical)
    if not b_value or length < _SHORTEST:
        return {"b_value": b_value, "gradient": None}
    if length < _UNIT[0]:
        b_value = round(b_value * length**2 / _B_STEP) * _B_STEP
    elif length > _UNIT[1]:
        return {"b_value": b_value, "gradient": None}
    direction = from_logical(logical, phase_direction(elements), frame.orientation)
    return {"b_value": b_value if direction else None, "gradient": direction}


def _is_diffusion(elements: Elements, nominal: float) -> bool:
    """Tell whether an image is of a diffusion series, whose b = 0 images have zeros everywhere.

    The numbers of directions and of T2 images are user data 24 and 23, (0019,xxE0) and (0019,xxDF).
    """
    counts = (
        elements.number(elements.private(0x0019, "GEMS_ACQU_01", low), "DS") for low in (0xE0, 0xDF)
    )
    return bool(nominal) or any(counts) or 0x00189087 in elements
