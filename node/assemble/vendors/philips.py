"""Philips' private elements: precise scaling, and the order of diffusion volumes."""

from __future__ import annotations

from typing import Final

import msgspec

from node.assemble.frames.classic import unit_vector
from node.assemble.frames.model import UNREADABLE, UNREADABLE_PRECISE, Facts, FrameHeader
from node.assemble.pixels.rescale import is_unreadable
from node.assemble.sidecar.spin_labeling import CONTEXT
from node.assemble.vendors.shared.phase_encoding import reconstructed_lines
from node.dicom import Elements

NAME: Final = "Philips"

_IMAGING_1: Final = "Philips Imaging DD 001"
_MR_1: Final = "Philips MR Imaging DD 001"
_MR_5: Final = "Philips MR Imaging DD 005"
_MR_6: Final = "Philips MR Imaging DD 006"
WATER_FAT_PPM: Final = 3.4
"""Chemical shift between water and fat, parts per million."""
_CLASSIC: Final = (("ScanningSequence", 0x00180020), ("SequenceVariant", 0x00180021))
"""Attributes of classic images that enhanced ones have in (2005,xx0F) only, for each frame."""
_LABELS: Final = {"CONTROL": 1, "LABEL": 2}
_LARGEST_B: Final = 1e6
"""s/mm²; some software writes 1e30 for none."""


def refine(elements: Elements, frame: FrameHeader) -> FrameHeader:
    """Add precise scaling, diffusion, and the place on the 4th axis; see `Vendor`."""
    found = _scaling(elements, frame) | _diffusion(elements, frame)
    found |= _order(elements, frame)
    scaled = found.pop("facts", frame.facts)
    facts = (scaled if isinstance(scaled, dict) else {}) | _readout(elements)
    label = _label(elements)
    if label in _LABELS and CONTEXT not in facts:
        facts[CONTEXT] = label.lower()
    return msgspec.structs.replace(frame, **found, facts=facts)


def tiles(elements: Elements, frame: FrameHeader) -> tuple[FrameHeader, ...]:  # noqa: ARG001
    """Return nothing: Philips stores every slice as an image of its own."""
    return ()


def _scaling(elements: Elements, frame: FrameHeader) -> dict[str, object]:
    """Return precise instead of display scaling: value = (stored·RS + RI) / (RS·SS).

    RS and RI are the Modality LUT, SS is Scale Slope (2005,xx0E): Chenevert et al. 2014,
    doi:10.1593/tlo.13811. Precise values are comparable between series, displayed ones are not.
    """
    tag = elements.private(0x2005, _MR_1, 0x0E)
    scale = elements.number(tag, "FL")
    if scale == 0.0 or (scale is None and is_unreadable(elements, tag, "FL")):
        if frame.scale == UNREADABLE:
            return {}
        return {"display_scale": (frame.slope, frame.intercept), "scale": UNREADABLE_PRECISE}
    if scale is None or not frame.slope:
        return {}
    return {
        "slope": 1.0 / scale,
        "intercept": frame.intercept / frame.slope / scale,
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
    """Return b-value and direction, and whether a frame is a trace.

    Diffusion Direction (2001,xx04) is I, isotropic, for b = 0 and for the trace. Software that is
    too old to write the standard's attributes has the b-value in (2001,xx03) and the direction in
    (2005,xxB0..B2): RL, AP, FH, which is LPS.
    """
    found: dict[str, object] = {}
    b_value, gradient = frame.b_value, frame.gradient
    if b_value is None:
        b_value = _weighting(elements, frame)
        found["b_value"] = b_value
    if gradient is None and b_value:
        parts = [
            elements.number(elements.private(0x2005, _MR_1, low), "FL") or 0.0
            for low in (0xB0, 0xB1, 0xB2)
        ]
        gradient = unit_vector(tuple(parts))
        found["gradient"] = gradient
    isotropic = elements.text(elements.private(0x2001, _IMAGING_1, 0x04)) == "I"
    if isotropic and b_value and gradient is None:
        found["derived"] = "trace"
    return found


def _order(elements: Elements, frame: FrameHeader) -> dict[str, object]:
    """Return the index of a frame's volume: Philips numbers everything that it repeats.

    Dynamic scan (0020,0100), cardiac phase (2001,xx08), b-value (2005,xx12), direction below each
    b-value (2005,xx13), and label type of ASL (2005,xx29). Where diffusion images are numbered as
    they were acquired (2005,xx96), that number counts before the indices of b-value and direction.
    """
    phase = elements.integer(elements.private(0x2001, _IMAGING_1, 0x08), "IS")
    b_number = elements.integer(elements.private(0x2005, _MR_5, 0x12), "IS")
    direction = elements.integer(elements.private(0x2005, _MR_5, 0x13), "IS")
    label = _LABELS.get(_label(elements))
    acquired = elements.integer(elements.private(0x2005, _MR_6, 0x96), "IS")
    parts = (acquired, phase, b_number, direction, label)
    if all(part is None for part in parts):
        return {}
    return {"order": tuple(float(part or 0) for part in (frame.temporal, *parts))}


def _label(elements: Elements) -> str:
    return elements.text(elements.private(0x2005, _MR_5, 0x29)) or ""


def _weighting(elements: Elements, frame: FrameHeader) -> float | None:
    """Return the private b-value of a diffusion scan; other scans have it too, as zero."""
    b_value = elements.number(elements.private(0x2001, _IMAGING_1, 0x03), "FL")
    sequence = elements.text(elements.private(0x2001, _IMAGING_1, 0x20)) or ""
    diffusion = bool(b_value) or "DWI" in sequence.upper() or frame.gradient is not None
    return b_value if diffusion and b_value is not None and 0 <= b_value < _LARGEST_B else None


def _readout(elements: Elements) -> Facts:
    """Return acceleration, and echo spacing and readout time as estimated from the water-fat shift.

    The shift, pixels, is the bandwidth of water and fat over that of a pixel along the phase:
    shift = field·gyromagnetic ratio·3.4 ppm·spacing·(EPI factor + 1). Philips does not state how
    long a line takes.
    """
    private = elements.item(elements.private(0x2005, _MR_5, 0x0F))
    facts: Facts = {
        name: value
        for name, tag in _CLASSIC
        if private and tag not in elements and (value := private.value(tag))
    }
    factor = elements.number(0x00189069) or (private and private.number(0x00189069))
    if factor and factor >= 1:
        facts["ParallelReductionFactorInPlane"] = factor
    shift = elements.number(elements.private(0x2001, _IMAGING_1, 0x22), "FL")
    lines = elements.number(elements.private(0x2001, _IMAGING_1, 0x13), "SL")
    frequency = elements.number(0x00180084) or elements.number(0x00189098)
    stored = reconstructed_lines(elements)
    if not shift or not frequency or not stored or not lines:
        return facts
    facts["WaterFatShift"] = shift
    if lines > 1 and stored > 1 and shift > 0 and frequency > 1:
        total = shift / (frequency * WATER_FAT_PPM * (lines + 1)) * lines
        facts["EstimatedTotalReadoutTime"] = total
        facts["EstimatedEffectiveEchoSpacing"] = total / (stored - 1)
    return facts
