"""Single frames that belong to a stack and do not fit it: refused, not made images of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from node.assemble.frames.model import FrameHeader
from node.assemble.stacks.parallel import same_direction
from node.assemble.stacks.slice_sorting import Stack, kind_of
from node.core.errors import AssemblyError, Reason

_FEWEST_POSITIONS: Final = 3
"""Of a stack that a stray can be from; localizers have orientations of one slice each."""
_NEAR: Final = 0.25
"""Steps; how far from the next place in line a frame may lie and still be meant for it."""


def strays(stacks: Sequence[Stack], gaps: Sequence[bool]) -> dict[int, AssemblyError]:
    """Find single frames that contradict the stack that they were meant for.

    A frame of the same kind of image that stands alone, where a stack has a gap, or that is next in
    line after a stack's last slice, was not sent as an image by itself: its Rows, Columns, Pixel
    Spacing or orientation are wrong, or the others' are.

    Args:
        gaps: for each stack, whether a slice of it is missing.

    Returns:
        For the index of each stack of one frame that is a stray, its refusal.
    """
    found: dict[int, AssemblyError] = {}
    for index, stray in enumerate(stacks):
        if len(stray.pieces) != 1:
            continue
        for whole, gap in zip(stacks, gaps, strict=True):
            if len(whole.distances) < _FEWEST_POSITIONS or kind_of(whole) != kind_of(stray):
                continue
            if gap or _next_in_line(stray, whole):
                found[index] = _refusal(stray, whole)
                break
    return found


def _next_in_line(stray: Stack, whole: Stack) -> bool:
    """Whether a parallel frame lies one step beyond an end of a stack."""
    if not same_direction(stray.planes, whole.planes):
        return False
    places = whole.planes.position[[np.argmin(whole.slices), np.argmax(whole.slices)]]
    step = (places[1] - places[0]) / (len(whole.distances) - 1)
    ends = np.stack([places[0] - step, places[1] + step])
    away = np.linalg.norm(ends - stray.planes.position[0], axis=1)
    return bool(away.min() <= _NEAR * np.linalg.norm(step))


def _refusal(stray: Stack, whole: Stack) -> AssemblyError:
    (piece,) = stray.pieces
    if not same_direction(stray.planes, whole.planes):
        return AssemblyError(
            Reason.MIXED_ORIENTATIONS,
            f"One image is not parallel to the {len(whole.pieces)} others of its kind, which lack "
            "a slice: its Image Orientation (Patient) is wrong, or theirs is.",
            (piece.uid,),
        )
    frame, others = piece.frame, whole.pieces[0].frame
    return AssemblyError(
        Reason.INCONSISTENT_FRAMES,
        f"One image of {_grid(frame)} among {len(whole.pieces)} others of its kind of "
        f"{_grid(others)}: its Rows, Columns or Pixel Spacing are wrong, or theirs are.",
        (piece.uid,),
    )


def _grid(frame: FrameHeader) -> str:
    between_rows, between_columns = frame.spacing or (0.0, 0.0)
    return f"{frame.rows} x {frame.columns} pixels of {between_rows:g} x {between_columns:g} mm"
