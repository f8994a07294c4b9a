"""Find volumes that were split: their stacks interleave, and only together are they regular."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np

from node.assemble.stacks.geometry import Points, is_even
from node.assemble.stacks.grouping import ACQUIRED, CLOCKED, RECONSTRUCTED, differences
from node.assemble.stacks.parallel import same_direction, take_turns
from node.assemble.stacks.slice_sorting import Stack
from node.core.errors import AssemblyError, Reason

_SAME_PLACE_MM: Final = 1e-2
"""mm along the normal; slices that are nearer lie at one position."""
_SAME_LINE_MM: Final = 1.0
"""mm in the plane, beyond one step of a tilted gantry, by which slices of one stack may differ."""
_SAME_THICKNESS: Final = 0.05
"""Fraction by which thicknesses may differ by rounding."""
_FEW: Final = 3
"""Number of slices that may be a regular grid by coincidence, although others are missing."""
_FEWEST: Final = 4
"""Number of slices from which on a regular grid is no coincidence."""


def find_split_volumes(stacks: Sequence[Stack]) -> dict[int, AssemblyError]:
    """Find stacks that would each look like an image of a multiple of the true step.

    The slices of two reconstructions or acquisitions may lie between each other. Two stacks that
    differ in anything else were one image, or each lacks the slices of the other. Every second
    slice of an interleaved acquisition has a later time, too.

    Returns:
        the refusal of each part of a split volume, by the index of its stack.
    """
    found: dict[int, AssemblyError] = {}
    for one, other in combinations(range(len(stacks)), 2):
        a, b = stacks[one], stacks[other]
        if not _are_parts(a, b):
            continue
        named = differences(a.pieces[0], b.pieces[0])
        names = {attribute.name for attribute in named}
        if names & RECONSTRUCTED or (names <= ACQUIRED and names != CLOCKED):
            continue
        refusal = _refusal([a, b], ", ".join(attribute.name for attribute in named))
        found[one] = found[other] = refusal
    return found or _singles(stacks) or _mixed(stacks) or _with_gaps(stacks)


def _with_gaps(stacks: Sequence[Stack]) -> dict[int, AssemblyError]:
    """Find stacks of few slices that lack slices which another image of the series has.

    Two slices are always a regular grid. Where another image of the series has slices of the same
    thickness between them, and one at each of their positions, slices are missing.
    """
    found: dict[int, AssemblyError] = {}
    for index, short in enumerate(stacks):
        if len(short.distances) < 2:
            continue
        own = _along(short, short)
        for whole in stacks:
            if whole is short or not _on_one_grid(short, whole):
                continue
            places = _along(whole, short)
            near = np.abs(places[:, None] - own[None, :]) <= _SAME_PLACE_MM
            between = (places > own.min()) & (places < own.max()) & ~near.any(axis=1)
            few = len(own) <= _FEW and near.any()
            if between.any() and (
                few or (near.any(axis=0).all() and _differ_in_kind(short, whole))
            ):
                found[index] = AssemblyError(
                    Reason.MISSING_SLICE,
                    f"{len(own)} slices lack {int(between.sum())} slices between them, at "
                    "positions where another image of the series has one. Send the missing slices.",
                    short.uids,
                )
    return found


def _differ_in_kind(one: Stack, other: Stack) -> bool:
    """Tell whether two stacks are of one acquisition, so that their slices are the same ones."""
    named = {attribute.name for attribute in differences(one.pieces[0], other.pieces[0])}
    return not named & RECONSTRUCTED and not named <= ACQUIRED


def _on_one_grid(short: Stack, whole: Stack) -> bool:
    a, b = short.pieces[0].frame, whole.pieces[0].frame
    same = (a.rows, a.columns, a.thickness) == (b.rows, b.columns, b.thickness)
    return same and same_direction(short.planes, whole.planes)


def _are_parts(a: Stack, b: Stack) -> bool:
    sizes = len(a.distances), len(b.distances)
    if sum(sizes) <= 2 or (min(sizes) == 1 and sum(sizes) > _FEW):
        return False  # a single slice may be an outlier, see `outliers`
    if np.abs(a.planes.position[0] - b.planes.position[0]).max() <= _SAME_PLACE_MM:
        return False
    return _one_line([a, b]) and take_turns(_along(a, a), _along(b, a), _SAME_PLACE_MM)


def _singles(stacks: Sequence[Stack]) -> dict[int, AssemblyError]:
    """Find a volume whose slices are all separate, as by a Frame of Reference UID for each."""
    alone = [index for index, stack in enumerate(stacks) if len(stack.distances) == 1]
    own = [stacks[index] for index in alone]
    if len(alone) < _FEWEST or len(alone) < len(stacks) or not _one_line(own):
        return {}
    named = differences(own[0].pieces[0], own[1].pieces[0])
    refusal = _refusal(own, ", ".join(attribute.name for attribute in named))
    return dict.fromkeys(alone, refusal)


def _mixed(stacks: Sequence[Stack]) -> dict[int, AssemblyError]:
    """Find stacks that each mix slices of the same two or more thicknesses."""
    thick = [frozenset(piece.frame.thickness for piece in stack.pieces) for stack in stacks]
    found: dict[int, AssemblyError] = {}
    for index, own in enumerate(thick):
        if len(own) > 1 and thick.count(own) > 1 and _differ_by_more(own):
            found[index] = AssemblyError(
                Reason.INCONSISTENT_FRAMES,
                "Several images mix slices of the same thicknesses: each should have one "
                "thickness, and no attribute says which slices belong together. Send each "
                "reconstruction as a series of its own.",
                stacks[index].uids,
            )
    return found


def _differ_by_more(thicknesses: frozenset[float | None]) -> bool:
    """Tell whether thicknesses differ by more than rounding."""
    known = [thickness for thickness in thicknesses if thickness is not None]
    return len(known) > 1 and max(known) - min(known) > _SAME_THICKNESS * max(known)


def _one_line(stacks: Sequence[Stack]) -> bool:
    """Tell whether all slices together are one regular grid without overlap."""
    first = stacks[0]
    size = first.planes.extent[0]
    normal = first.planes.normal()
    for stack in stacks:
        same = same_direction(stack.planes, first.planes)
        if (stack.planes.extent[0] != size).any() or not same:
            return False
    along = np.sort(np.concatenate([_along(stack, first) for stack in stacks]))
    steps = np.diff(along)
    if steps.min() <= _SAME_PLACE_MM or not is_even(along):
        return False
    ends = np.array([stack.planes.position[0] for stack in stacks])
    inside = ends - np.outer(ends @ normal, normal)
    return bool(np.ptp(inside, axis=0).max() <= _SAME_LINE_MM + steps.mean())


def _along(stack: Stack, reference: Stack) -> Points:
    """Return where the slices of a stack lie along the normal of another, mm."""
    heads = [indices[0] for indices in stack.at_each_position()]
    return np.asarray(stack.planes.take(heads).position @ reference.planes.normal())


def _refusal(stacks: Sequence[Stack], named: str) -> AssemblyError:
    uids = [piece.uid for stack in stacks for piece in stack.pieces]
    counts = " and ".join(str(len(stack.distances)) for stack in stacks[:2])
    return AssemblyError(
        Reason.INCONSISTENT_FRAMES,
        f"Slices that together are one regular grid were separated into {len(stacks)} images (of "
        f"{counts} slices …), as they differ in {named or 'direction'}. Either that attribute is "
        "wrong in some of them, or each image lacks slices. Correct the attribute, or send the "
        "whole series again.",
        tuple(dict.fromkeys(uids)),
    )
