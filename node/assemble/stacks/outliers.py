"""Outliers: single frames that belong to a stack and do not fit it. They are refused, not made into
images of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from node.assemble.frames.model import FrameHeader
from node.assemble.stacks.parallel import same_direction
from node.assemble.stacks.slice_sorting import Stack, kind_of
from node.core.errors import AssemblyError, Reason

_FEWEST_POSITIONS: Final = 3
"""Positions of a stack that an outlier can be from; localizers have one slice per orientation."""
_NEAR: Final = 0.25
"""Steps; a frame that lies within this of the next position in line was meant for it."""


def find_outliers(stacks: Sequence[Stack], gaps: Sequence[bool]) -> dict[int, AssemblyError]:
    """Find single frames that contradict the stack that they belong to.

    A single frame of the same kind of image as a stack with a missing slice, or one that is next in
    line after a stack's last slice, is no image by itself: its Rows, Columns, Pixel Spacing or
    orientation are wrong, or those of the stack are.

    Args:
        stacks: all stacks of a series.
        gaps: for each stack, whether it lacks a slice.

    Returns:
        the refusal of each outlier, by the index of its stack.
    """
    found: dict[int, AssemblyError] = {}
    for index, outlier in enumerate(stacks):
        if len(outlier.pieces) != 1:
            continue
        for whole, gap in zip(stacks, gaps, strict=True):
            if len(whole.distances) < _FEWEST_POSITIONS or kind_of(whole) != kind_of(outlier):
                continue
            if gap or _next_in_line(outlier, whole):
                found[index] = _refusal(outlier, whole)
                break
    return found


def _next_in_line(outlier: Stack, whole: Stack) -> bool:
    """Tell whether a parallel frame lies one step beyond an end of a stack."""
    if not same_direction(outlier.planes, whole.planes):
        return False
    places = whole.planes.position[[np.argmin(whole.slices), np.argmax(whole.slices)]]
    step = (places[1] - places[0]) / (len(whole.distances) - 1)
    ends = np.stack([places[0] - step, places[1] + step])
    away = np.linalg.norm(ends - outlier.planes.position[0], axis=1)
    return bool(away.min() <= _NEAR * np.linalg.norm(step))


def _refusal(outlier: Stack, whole: Stack) -> AssemblyError:
    (piece,) = outlier.pieces
    if not same_direction(outlier.planes, whole.planes):
        return AssemblyError(
            Reason.MIXED_ORIENTATIONS,
            f"One image is not parallel to {len(whole.pieces)} images of the same kind, which lack "
            "a slice: Image Orientation (Patient) (0020,0037) is wrong in one of them. Correct it, "
            "or send the series again from its original source.",
            (piece.uid,),
        )
    frame, others = piece.frame, whole.pieces[0].frame
    return AssemblyError(
        Reason.INCONSISTENT_FRAMES,
        f"One image has {_grid(frame)}, and {len(whole.pieces)} images of the same kind have "
        f"{_grid(others)}: Rows, Columns or Pixel Spacing are wrong in one of them. Correct them, "
        "or send the series again from its original source.",
        (piece.uid,),
    )


def _grid(frame: FrameHeader) -> str:
    between_rows, between_columns = frame.spacing or (0.0, 0.0)
    return f"{frame.rows} x {frame.columns} pixels of {between_rows:g} x {between_columns:g} mm"
