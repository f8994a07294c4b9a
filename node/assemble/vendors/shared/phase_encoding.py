"""Phase encoding by the standard's attributes: its direction, its lines, echo-planar sequences."""

from __future__ import annotations

from typing import Final

from node.dicom import Elements, whole

COLUMN: Final = "COL"
ROW: Final = "ROW"


def phase_direction(elements: Elements) -> str:
    """Return COL or ROW, In-plane Phase Encoding Direction (0018,1312); empty if neither.

    The enhanced form of it says COLUMN (PS3.3 C.8.13.5.5).
    """
    stated = (elements.text(0x00181312) or "").upper()
    if stated.startswith(COLUMN):
        return COLUMN
    return ROW if stated == ROW else ""


def acquired_lines(elements: Elements) -> int | None:
    """Return the phase encoding steps of Acquisition Matrix (0018,1310).

    Its four values are frequency rows, frequency columns, phase rows, phase columns; of each pair
    one is zero (PS3.3 C.8.3.1.1).
    """
    matrix = elements.numbers(0x00181310)
    lines = max(matrix[2:], default=0.0) if len(matrix) == 4 else 0.0
    return whole(lines) or None


def reconstructed_lines(elements: Elements) -> int | None:
    """Return the size of the stored image along the phase direction."""
    direction = phase_direction(elements)
    if not direction:
        return None
    return elements.integer(0x00280010 if direction == COLUMN else 0x00280011)


def is_echo_planar(elements: Elements) -> bool:
    """Tell whether Scanning Sequence (0018,0020) names EP, or its enhanced form is YES."""
    return "EP" in elements.texts(0x00180020) or elements.text(0x00189018) == "YES"
