"""Canon's elements: diffusion directions in Image Comments."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from node.assemble.frames.model import FrameHeader
from node.assemble.vendors.shared.logical_axes import from_logical
from node.assemble.vendors.shared.phase_encoding import phase_direction
from node.dicom import Elements

NAME: Final = "Canon"

_NUMBER: Final = r"([+-]?\d+(?:\.\d+)?)"
_WEIGHTING: Final = re.compile(rf"^\s*b={_NUMBER}\({_NUMBER},{_NUMBER},{_NUMBER}\)\s*$")
"""Image Comments (0020,4000): "b=1500(0.445,0.000,0.895)"."""


def refine(elements: Elements, frame: FrameHeader) -> FrameHeader:
    """Add the direction that Image Comments state: phase, frequency, slice.

    Toshiba wrote Diffusion Gradient Orientation (0018,9089), in the patient's axes, which is taken
    if it is there. See `node.assemble.vendors.Vendor`.
    """
    if frame.gradient is not None:
        return frame
    found = _WEIGHTING.match(elements.value(0x00204000) or "")
    if found is None:
        return frame
    stated, first, second, third = (float(part) for part in found.groups())
    b_value = stated if frame.b_value is None else frame.b_value
    if not b_value or not any((first, second, third)):
        return msgspec.structs.replace(frame, b_value=b_value)
    gradient = from_logical((second, first, third), phase_direction(elements), frame.orientation)
    return msgspec.structs.replace(
        frame, b_value=None if gradient is None else b_value, gradient=gradient
    )


def tiles(elements: Elements, frame: FrameHeader) -> tuple[FrameHeader, ...]:  # noqa: ARG001
    """Return nothing: Canon stores every slice as an image of its own."""
    return ()
