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
"""Image Orientation of planes whose offsets may be coordinates, but for the signs."""
_SAME_COSINE: Final = 1e-3
_SAME_MM: Final = 0.01
"""mm; decimal strings of one value differ by less."""
_UNITS: Final = {"GY": "Gy", "RELATIVE": "arbitrary"}


def dose_frames(elements: Elements, pixels: PixelFormat) -> tuple[FrameHeader, ...]:
    """Read the planes of a dose grid: Image Position, moved by the Grid Frame Offset Vector.

    Raises:
        AssemblyError: no scaling, no place, or not as many offsets as frames, or offsets whose
            meaning the standard does not settle.
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
            f"{pixels.frames} dose planes, but a Grid Frame Offset Vector of {len(offsets)}. "
            "Export the dose again from the planning system.",
        )
    if len({later < one for one, later in pairwise(offsets)}) > 1:
        raise AssemblyError(
            Reason.INCONSISTENT_FRAMES,
            "The Grid Frame Offset Vector of the dose rises and falls, which it must not "
            "(PS3.3 C.8.8.3.2). Export the dose again from the planning system.",
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
    """Return (3,) the unit vector, LPS, along which the offsets of planes count (C.8.8.3.2).

    Offsets that begin with 0 are distances along the normal (row x column). Those that begin with
    z of Image Position (Patient), on planes whose rows and columns are the patient's axes, are the
    patient's z coordinates, which rise to the head even where the normal points to the feet.

    Args:
        z: of Image Position (Patient), mm.
        orientation: Image Orientation (Patient).
        offsets: Grid Frame Offset Vector (3004,000C), mm.

    Raises:
        AssemblyError: the offsets are neither, or both and the planes would differ.
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
            "The Grid Frame Offset Vector of the dose begins with 0, which is also z of its Image "
            "Position, and its normal points to the feet: the planes may go either way. Export "
            "the dose with an Image Orientation whose normal points to the head.",
        )
    if not relative and not absolute:
        raise AssemblyError(
            Reason.INCONSISTENT_FRAMES,
            f"The Grid Frame Offset Vector of the dose begins with {offsets[0]:g}, which is "
            f"neither 0 nor z of the Image Position ({z:g} mm) of axial planes, so that nothing "
            "says where the planes lie. Export the dose again with offsets that begin with 0.",
        )
    return normal if relative else head


def dose_facts(elements: Elements) -> Facts:
    """Read what a dose's sidecar says."""
    facts: Facts = {"Units": _UNITS.get(elements.text(0x30040002) or "", "unknown")}
    for name, tag in (("DoseType", 0x30040004), ("DoseSummationType", 0x3004000A)):
        text = elements.text(tag)
        if text:
            facts[name] = text
    return facts
