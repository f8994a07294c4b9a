"""The direction in which GE encodes phase: by a standard attribute, or the raw data header."""

from __future__ import annotations

from struct import Struct
from typing import Final

import numpy as np

from node.assemble.frames.model import FrameHeader
from node.dicom import Elements

_OFFSET_AT: Final = 24
"""Offset in User Defined Data (0043,xx2A) of the number of the byte where the raw header begins."""
_CONTROL: Final = 124
"""Offset in that header of data acquisition control, a word of flags."""
_TRAVERSAL: Final = 852
"""Offset in that header of the order in which ky is traversed."""
_REVERSED_BIT: Final = 0x4
_BOTTOM_UP: Final = 2
_SINCE: Final = 25.002
"""Revision of the raw data's header from which these offsets hold; older ones are not read."""
_BEFORE: Final = 40.0
_ALTERNATING: Final = "epi_pepolar"
"""Part of Pulse Sequence Name (0019,xx9C): a sequence that can reverse the polarity."""
_ALL_REVERSED, _EVEN_REVERSED, _ODD_REVERSED = 1.0, 2.0, 3.0
"""User Data 12 (0019,xxB3): all volumes are reversed, those of even index, those of odd index."""
_WORD, _FLOAT = Struct("<H"), Struct("<f")


def polarity(elements: Elements) -> int:
    """Return 1 towards the higher index of the stored image, -1 against it, 0 if not known.

    Rectilinear Phase Encode Reordering (0018,9034) is LINEAR or REVERSE_LINEAR (PS3.3
    C.8.13.5.12); software before RX27 does not write it.
    """
    reordering = elements.text(0x00189034)
    if reordering == "LINEAR":
        return -1
    if reordering == "REVERSE_LINEAR":
        return 1
    return _from_raw_header(
        elements.raw(elements.private(0x0043, "GEMS_PARM_01", 0x2A)) or b"",
    )


def _from_raw_header(block: bytes) -> int:
    if len(block) < _OFFSET_AT + _WORD.size:
        return 0
    (start,) = _WORD.unpack_from(block, _OFFSET_AT)
    if start + _TRAVERSAL + _WORD.size > len(block):
        return 0
    (revision,) = _FLOAT.unpack_from(block, start)
    if not _SINCE <= round(revision, 3) < _BEFORE:
        return 0
    (control,) = _WORD.unpack_from(block, start + _CONTROL)
    (traversal,) = _WORD.unpack_from(block, start + _TRAVERSAL)
    against = (traversal == _BOTTOM_UP) != bool(control & _REVERSED_BIT)
    return -1 if against else 1


def reversed_rows(elements: Elements, frame: FrameHeader, slices: int | None) -> bool:
    """Tell whether an image of `epi_pepolar` was acquired with the opposite polarity.

    Such images are stored with their rows in reverse order, with the position and orientation of
    images in the usual order.

    Args:
        elements: the instance.
        frame: its frame, which states its volume.
        slices: number of locations of the acquisition; None if not known.
    """
    name = elements.text(elements.private(0x0019, "GEMS_ACQU_01", 0x9C)) or ""
    if _ALTERNATING not in name:
        return False
    mode = elements.number(elements.private(0x0019, "GEMS_ACQU_01", 0xB3), "DS")
    if mode == _ALL_REVERSED:
        return True
    volume = frame.temporal
    if volume is None and slices and frame.number is not None:
        volume = (frame.number - 1) // slices + 1
    if volume is None:
        return False
    return (mode == _EVEN_REVERSED and volume % 2 == 1) or (
        mode == _ODD_REVERSED and volume % 2 == 0
    )


def turned_rows(frame: FrameHeader) -> dict[str, object]:
    """Return the true position and orientation of an image whose rows are stored in reverse."""
    if frame.position is None or frame.orientation is None or frame.spacing is None:
        return {}
    column = np.array(frame.orientation[3:])
    x, y, z = (np.array(frame.position) + column * frame.spacing[0] * (frame.rows - 1)).tolist()
    turned = tuple((-column + 0.0).tolist())
    return {"position": (x, y, z), "orientation": (*frame.orientation[:3], *turned)}
