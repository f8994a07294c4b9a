"""RT Dose: the frames of a dose grid, in the unit that it states (PS3.3 C.8.8.3)."""

from __future__ import annotations

import msgspec
import numpy as np

from node.assemble.frames import classic_frame
from node.assemble.geometry import check_plane
from node.assemble.model import Facts, FrameHeader, PixelFormat
from node.assemble.scales import is_unreadable
from node.elements import Elements
from node.errors import AssemblyError, Reason

DOSE_CLASS = "1.2.840.10008.5.1.4.1.1.481.2"
_SCALING = 0x3004000E
_UNITS = {"GY": "Gy", "RELATIVE": "arbitrary"}


def dose_frames(elements: Elements, pixels: PixelFormat) -> tuple[FrameHeader, ...]:
    """Read the planes of a dose grid: Image Position, moved by the Grid Frame Offset Vector.

    Offsets count from the first plane; where the first is not zero they are coordinates along the
    normal instead (C.8.8.3.2), so that their differences say the same.

    Raises:
        AssemblyError: no scaling, no place, or not as many offsets as frames.
    """
    frame = classic_frame(elements, pixels)
    check_plane(frame)
    assert frame.position and frame.orientation  # noqa: S101, PT018 - checked
    scaling = elements.number(_SCALING)
    if is_unreadable(elements, _SCALING):
        raise AssemblyError(
            Reason.UNREADABLE_SCALE,
            "Dose Grid Scaling (3004,000E) is no number, so that the doses are not known. Correct "
            "it, or send the dose again from where it came first.",
        )
    if scaling is None:
        raise AssemblyError(Reason.UNSUPPORTED_PIXELS, "A dose without Dose Grid Scaling.")
    offsets = elements.numbers(0x3004000C) or (0.0,)
    if len(offsets) != pixels.frames:
        raise AssemblyError(
            Reason.INCONSISTENT_FRAMES,
            f"{pixels.frames} dose planes, but Grid Frame Offsets of {len(offsets)}.",
        )
    normal = np.cross(frame.orientation[:3], frame.orientation[3:])
    made = []
    for index, offset in enumerate(offsets):
        x, y, z = (np.array(frame.position) + normal * (offset - offsets[0])).tolist()
        made.append(
            msgspec.structs.replace(
                frame,
                index=index,
                position=(x, y, z),
                number=index + 1,
                slope=scaling,
                intercept=0.0,
                scale="",
            )
        )
    return tuple(made)


def dose_facts(elements: Elements) -> Facts:
    """Read what a dose's sidecar says."""
    facts: Facts = {"Units": _UNITS.get(elements.text(0x30040002) or "", "unknown")}
    for name, tag in (("DoseType", 0x30040004), ("DoseSummationType", 0x3004000A)):
        text = elements.text(tag)
        if text:
            facts[name] = text
    return facts
