"""The 4th axis: which of the frames at one position belongs to which volume.

The evidence of all attributes is collected (`collected_evidence`). A plan is accepted if those that
must agree do agree (`agreement`); where they contradict each other, the refusal lists the evidence
of each. docs/conversion.md has the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from node.assemble.frames import acquisition
from node.assemble.frames.model import FrameHeader
from node.assemble.order.agreement import UNTIMED, agreed
from node.assemble.order.collected_evidence import (
    DIMENSIONS,
    NUMBER,
    PERCENTAGE,
    TEMPORAL,
    TRIGGER,
    collect_evidence,
)
from node.assemble.order.diffusion_weighting import by_weighting, mixes
from node.assemble.order.evidence import Evidence, Places, Value
from node.assemble.stacks.grouping import same_values
from node.assemble.stacks.slice_sorting import Stack
from node.core.errors import AssemblyError, Reason

_FEWEST_SLICES: Final = 4
"""Number of slices from which on numbers that count them cannot be numbers of volumes."""


class Timeline(NamedTuple):
    """Where each frame of a stack goes.

    Attributes:
        grid: [t][k] index of the stack's piece.
        defined_by: the attribute that defined the order; empty for a single volume.
        left_out: pieces of an incomplete last volume.
    """

    grid: tuple[tuple[int, ...], ...]
    defined_by: str = ""
    left_out: tuple[int, ...] = ()


def arrange(stack: Stack) -> Timeline:
    """Distribute the frames of a stack over volumes.

    Raises:
        AssemblyError: no attribute distinguishes frames at one position, attributes contradict
            each other, or volumes lack slices.
    """
    places = stack.at_each_position()
    if max(len(place) for place in places) == 1:
        row = tuple(place[0] for place in places)
        _check_one_time(stack, row)
        return Timeline((row,))
    everything = collect_evidence(stack.pieces, places)
    collected = [evidence for evidence in everything if not mixes(stack, evidence)]
    chosen = agreed(stack, collected)
    if chosen is None and len(collected) == len(everything):
        chosen = by_weighting(stack)
    if chosen is None:
        raise _refusal(stack, places)
    return Timeline(chosen.grid, chosen.name, chosen.left_out)


def _check_one_time(stack: Stack, row: tuple[int, ...]) -> None:
    """Refuse one volume whose frames belong to several volumes, the rest of which is missing.

    Raises:
        AssemblyError: an attribute with one value per volume differs from position to position.
    """
    frames = [stack.pieces[index].frame for index in row]
    per_volume: list[tuple[str, list[Value | None]]] = [
        (TEMPORAL, [frame.temporal for frame in frames]),
        (DIMENSIONS, _unless_of_slices([frame.dimensions or None for frame in frames])),
        (PERCENTAGE, [frame.cardiac_percentage for frame in frames]),
        (acquisition.INVERSION, _unless_of_slices(_inversion_times(frames))),
    ]
    if stack.pieces[0].header.modality in UNTIMED:
        per_volume.append((TRIGGER, [frame.trigger_time for frame in frames]))
    several = [
        name
        for name, values in per_volume
        if len(set(values)) > 1 and None not in values and not _numbers_slices(values)
    ]
    if mixes(stack, Evidence(NUMBER, (row,))):
        several.append("diffusion weighting")
    if several:
        raise AssemblyError(
            Reason.INCOMPLETE_GRID,
            f"There is one frame at each of {len(row)} positions, but they belong to several "
            f"volumes by {', '.join(several)}: volumes with missing slices. Send the whole series "
            "again.",
            stack.uids,
        )


def _numbers_slices(values: Sequence[Value | None]) -> bool:
    """Tell whether values number the slices along the stack.

    Some software counts slices where it should count volumes.
    """
    known = [value for value in values if isinstance(value, int | float)]
    if len(known) < len(values) or len(known) < _FEWEST_SLICES:
        return False
    steps = {b - a for a, b in pairwise(known)}
    return steps in ({1}, {-1})


def _inversion_times(frames: Sequence[FrameHeader]) -> list[Value | None]:
    """Return a number for every Inversion Time; times that differ by rounding share one."""
    times = [dict(frame.settings).get(acquisition.INVERSION) for frame in frames]
    label = same_values(times, acquisition.SAME_INVERSION_MS, acquisition.SAME_INVERSION)
    return [None if time is None else label[time] for time in times]


def _unless_of_slices(values: list[Value | None]) -> list[Value | None]:
    """Return the values, or none if each of several slices has a value of its own."""
    own = len(set(values)) == len(values) > 2
    return [None] if own else values


def _refusal(stack: Stack, places: Places) -> AssemblyError:
    counts = [len(place) for place in places]
    doubled = [k for k, count in enumerate(counts) if count > 1]
    shown = ", ".join(f"{stack.distances[k]:.3f}" for k in doubled[:10])
    if len(set(counts)) == 1:
        return AssemblyError(
            Reason.AMBIGUOUS_ORDER,
            f"{counts[0]} frames lie at each of {len(counts)} positions, and no attribute says "
            "which of them are one volume. Send the series again with Temporal Position Identifier "
            "(0020,0100) or Acquisition Time (0008,0032) in every image.",
            stack.uids,
        )
    if len(doubled) <= len(counts) // 2:
        return AssemblyError(
            Reason.DUPLICATE_POSITION,
            f"Several different frames lie at one position ({shown} mm along the normal), and one "
            "frame at each of the other positions. Find out which images are wrong, and send the "
            "series again without them.",
            stack.uids,
        )
    return AssemblyError(
        Reason.INCOMPLETE_GRID,
        f"The {len(counts)} positions have between {min(counts)} and {max(counts)} frames each: "
        "volumes with missing slices. Send the whole series again.",
        stack.uids,
    )
