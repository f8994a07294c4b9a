"""Diffusion weighting: one volume has one, and it separates volumes where nothing else does."""

from __future__ import annotations

import math
from typing import Final

from node.assemble.frames.model import FrameHeader
from node.assemble.order.evidence import Evidence, by_label
from node.assemble.stacks.slice_sorting import Stack

SAME_WEIGHTING: Final = 20.0
"""s/mm²; imaging gradients add up to this to b = 0, and slices of one volume may differ by it."""
SAME_WEIGHTING_PART: Final = 0.05
"""The same as a fraction of the b-value: the b-value that was played out differs by this from the
one that was prescribed."""
SAME_GRADIENT: Final = 0.1
"""Length of the difference of two unit vectors that are the same direction: six degrees."""


def mixes(stack: Stack, evidence: Evidence) -> bool:
    """Tell whether a volume would hold slices of different diffusion weighting.

    Args:
        stack: the frames.
        evidence: the volumes that one attribute makes of them.
    """
    frames = [piece.frame for piece in stack.pieces]
    return any(frame.b_value is not None for frame in frames) and any(
        weighted_otherwise(frames[row[0]], frames[index])
        for row in evidence.grid
        for index in row[1:]
    )


def by_weighting(stack: Stack) -> Evidence | None:
    """Return volumes of one b-value and direction each, in the order of the b-values.

    That order need not be the order in time, as .bval and .bvec files are written with the volumes.
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
    evidence = by_label("b-value and direction", labels, stack.at_each_position())
    return None if evidence is None or evidence.lacking or evidence.left_out else evidence


def weighted_otherwise(one: FrameHeader, other: FrameHeader) -> bool:
    """Tell whether two frames have different b-values or gradient directions.

    Args:
        one: a frame.
        other: another frame.
    """
    first, second = one.b_value or 0.0, other.b_value or 0.0
    if abs(first - second) > SAME_WEIGHTING + SAME_WEIGHTING_PART * max(first, second):
        return True
    if one.gradient is None or other.gradient is None:
        return one.gradient != other.gradient and min(first, second) > SAME_WEIGHTING
    return math.dist(one.gradient, other.gradient) > SAME_GRADIENT
