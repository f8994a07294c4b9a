"""Diffusion weighting: what no volume mixes, and what parts volumes where nothing else does."""

from __future__ import annotations

import math
from typing import Final

from node.assemble.frames.model import FrameHeader
from node.assemble.order.evidence import Says, by_label
from node.assemble.stacks.slice_sorting import Stack

SAME_WEIGHTING: Final = 20.0
"""s/mm²; what the imaging gradients of b = 0 add, and by how much slices may differ."""
SAME_WEIGHTING_PART: Final = 0.05
"""The same as a part of the b-value: what was played out, not what was asked for."""
SAME_GRADIENT: Final = 0.1
"""Length of the difference of unit vectors; six degrees."""


def mixes(stack: Stack, said: Says) -> bool:
    """Tell whether a volume would hold slices of different diffusion weighting."""
    frames = [piece.frame for piece in stack.pieces]
    return any(frame.b_value is not None for frame in frames) and any(
        weighted_otherwise(frames[row[0]], frames[index]) for row in said.grid for index in row[1:]
    )


def by_weighting(stack: Stack) -> Says | None:
    """Return volumes of one b-value and direction each, in the order of these.

    That is no order in time, and need be none: both are written beside the volumes.
    """
    shown: list[FrameHeader] = []
    for piece in sorted(stack.pieces, key=lambda one: (one.frame.b_value or 0.0, one.uid)):
        if piece.frame.b_value is None:
            return None
        if all(weighted_otherwise(one, piece.frame) for one in shown):
            shown.append(piece.frame)

    def label(frame: FrameHeader) -> float | None:
        alike = [at for at, one in enumerate(shown) if not weighted_otherwise(one, frame)]
        return float(alike[0]) if len(alike) == 1 else None

    labels = [label(piece.frame) for piece in stack.pieces]
    said = by_label("b-value and direction", labels, stack.at_each_position())
    return None if said is None or said.lacking or said.left_out else said


def weighted_otherwise(one: FrameHeader, other: FrameHeader) -> bool:
    first, second = one.b_value or 0.0, other.b_value or 0.0
    if abs(first - second) > SAME_WEIGHTING + SAME_WEIGHTING_PART * max(first, second):
        return True
    if one.gradient is None or other.gradient is None:
        return one.gradient != other.gradient and min(first, second) > SAME_WEIGHTING
    return math.dist(one.gradient, other.gradient) > SAME_GRADIENT
