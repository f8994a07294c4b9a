"""Philips' private elements: precise scaling, and the order of diffusion volumes."""

from __future__ import annotations

from typing import Final

import msgspec

from node.assemble.model import FrameHeader
from node.elements import Elements

NAME: Final = "Philips"

_IMAGING_1: Final = "Philips Imaging DD 001"
_MR_1: Final = "Philips MR Imaging DD 001"
_MR_5: Final = "Philips MR Imaging DD 005"


def refine(elements: Elements, frame: FrameHeader) -> FrameHeader:
    """Add precise scaling, and where on the 4th axis a frame belongs."""
    return msgspec.structs.replace(
        frame, **_scaling(elements, frame), **_diffusion(elements, frame)
    )


def tiles(elements: Elements, frame: FrameHeader) -> tuple[FrameHeader, ...]:  # noqa: ARG001
    """Return nothing: Philips stores every slice as an image of its own."""
    return ()


def _scaling(elements: Elements, frame: FrameHeader) -> dict[str, object]:
    """Return precise instead of display scaling: value = (stored·RS + RI) / (RS·SS).

    RS and RI are the Modality LUT, SS is Scale Slope (2005,xx0E): Chenevert et al. 2014,
    doi:10.1593/tlo.13811. Precise values compare between series, displayed ones do not.
    """
    scale = elements.number(elements.private(0x2005, _MR_1, 0x0E), "FL")
    if not scale or not frame.slope:
        return {}
    return {
        "slope": 1.0 / scale,
        "intercept": frame.intercept / (frame.slope * scale),
        "display_scale": (frame.slope, frame.intercept),
        "facts": frame.facts
        | {
            "PhilipsRescaleSlope": frame.slope,
            "PhilipsRescaleIntercept": frame.intercept,
            "PhilipsScaleSlope": scale,
            "UsePhilipsFloatNotDisplayScaling": 1,
        },
    }


def _diffusion(elements: Elements, frame: FrameHeader) -> dict[str, object]:
    """Return the order of volumes, and whether a frame is a trace.

    Philips numbers b-values and, below each, directions: (2005,xx12) and (2005,xx13). Diffusion
    Direction (2001,xx04) is I, isotropic, for b = 0 and for the trace.
    """
    b_number = elements.integer(elements.private(0x2005, _MR_5, 0x12), "IS")
    direction = elements.integer(elements.private(0x2005, _MR_5, 0x13), "IS")
    found: dict[str, object] = {}
    if b_number is not None and direction is not None:
        found["order"] = (float(frame.temporal or 0), float(b_number), float(direction))
    isotropic = elements.text(elements.private(0x2001, _IMAGING_1, 0x04)) == "I"
    if isotropic and frame.b_value and (frame.gradient is None):
        found["derived"] = "trace"
    return found
