"""RT Dose: the frames of a dose grid, in the unit that it states (PS3.3 C.8.8.3)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from node.assemble.frames.classic import classic_frame
from node.assemble.frames.model import Facts, FrameHeader, Orientation, PixelFormat
from node.assemble.pixels.rescale import is_unreadable
from node.assemble.stacks.geometry import check_plane
from node.core.errors import AssemblyError, Reason
from node.dicom import Elements

DOSE_CLASS = "1.2.840.10008.5.1.4.1.1.481.2"
_SCALING: Final = 0x3004000E
_AXIAL: Final = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""Image Orientation, but for signs, of planes whose offsets may be coordinates."""
_SAME_COSINE: Final = 1e-3
"""Difference of a cosine by rounding."""
_SAME_MM: Final = 0.01
"""mm; decimal strings of one value differ by less."""
_UNITS: Final = {"GY": "Gy", "RELATIVE": "arbitrary"}


def dose_frames(elements: Elements, pixels: PixelFormat) -> tuple[FrameHeader, ...]:
    """Read the planes of a dose grid: Image Position, moved by the Grid Frame Offset Vector.

    Args:
        elements: the RT Dose instance.
        pixels: its pixel format.

    Returns:
        one frame for each plane, its slope in Gy or relative units.

    Raises:
        AssemblyError: scaling or place is absent, the number of offsets is not that of frames, or
            the standard gives the offsets no definite meaning.
    """
    frame = classic_frame(elements, pixels)
    check_plane(frame)
    assert frame.position and frame.orientation  # noqa: S101, PT018 - checked
    scaling = elements.number(_SCALING)
    if is_unreadable(elements, _SCALING):
        raise AssemblyError(
            Reason.UNREADABLE_SCALE,
            "Dose Grid Scaling (3004,000E) is not a number, so that the doses are not known. "
            "Correct it, or send the dose again from its original source.",
        )
    if scaling is None:
        raise AssemblyError(
            Reason.UNSUPPORTED_PIXELS,
            "The dose has no Dose Grid Scaling (3004,000E), so that the doses are not known. "
            "Export it again from the planning system.",
        )
    offsets = elements.numbers(0x3004000C) or (0.0,)
    if len(offsets) != pixels.frames:
        raise AssemblyError(
            Reason.INCONSISTENT_FRAMES,
            f"The dose has {pixels.frames} planes, and its Grid Frame Offset Vector (3004,000C) "
            f"{len(offsets)} offsets. Export the dose again from the planning system.",
        )
    if len({later < one for one, later in pairwise(offsets)}) > 1:
        raise AssemblyError(
            Reason.INCONSISTENT_FRAMES,
            "The Grid Frame Offset Vector (3004,000C) of the dose both rises and falls, which the "
            "standard forbids (PS3.3 C.8.8.3.2). Export the dose again from the planning system.",
        )
    way = _direction(frame.position[2], frame.orientation, offsets)
    made = []
    for index, offset in enumerate(offsets):
        x, y, z = (np.array(frame.position) + way * (offset - offsets[0])).tolist()
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


def _direction(
    z: float, orientation: Orientation, offsets: Sequence[float]
) -> npt.NDArray[np.float64]:
    """Return the direction in which the offsets of planes count (PS3.3 C.8.8.3.2).

    Offsets that begin with 0 are distances along the normal (row x column). Offsets that begin with
    z of Image Position (Patient), on planes whose rows and columns are the patient's axes, are the
    patient's z coordinates, which rise to the head even where the normal points to the feet.

    Args:
        z: z of Image Position (Patient), mm.
        orientation: Image Orientation (Patient).
        offsets: Grid Frame Offset Vector (3004,000C), mm.

    Returns:
        (3,) unit vector, LPS.

    Raises:
        AssemblyError: the offsets are neither, or they are both and the planes would differ.
    """
    normal = np.cross(orientation[:3], orientation[3:])
    normal /= np.linalg.norm(normal)
    if len(offsets) == 1:
        return normal
    head = np.array([0.0, 0.0, 1.0])
    axial = np.abs(np.abs(orientation) - _AXIAL).max() < _SAME_COSINE
    relative = abs(offsets[0]) < _SAME_MM
    absolute = bool(axial) and abs(offsets[0] - z) < _SAME_MM
    if relative and absolute and normal @ head < 0:
        raise AssemblyError(
            Reason.AMBIGUOUS_ORDER,
            "The Grid Frame Offset Vector (3004,000C) of the dose begins with 0, which is also z "
            "of its Image Position, and its normal points to the feet: the planes may go either "
            "way. Export the dose with an Image Orientation whose normal points to the head.",
        )
    if not relative and not absolute:
        raise AssemblyError(
            Reason.INCONSISTENT_FRAMES,
            f"The Grid Frame Offset Vector (3004,000C) of the dose begins with {offsets[0]:g}, "
            f"which is neither 0 nor z of the Image Position ({z:g} mm) of axial planes, so that "
            "the places of the planes are not known. Export the dose again with offsets that "
            "begin with 0.",
        )
    return normal if relative else head


def dose_facts(elements: Elements) -> Facts:
    """Return the sidecar fields of a dose: units, type and summation type."""
    facts: Facts = {"Units": _UNITS.get(elements.text(0x30040002) or "", "unknown")}
    for name, tag in (("DoseType", 0x30040004), ("DoseSummationType", 0x3004000A)):
        text = elements.text(tag)
        if text:
            facts[name] = text
    return facts
