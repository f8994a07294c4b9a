"""Finds the positions of slices that are missing at an end of a stack, by InstanceNumbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from node.completion.facts import Evidence, InstanceFacts, Source
from node.completion.slice_layout import EVEN, Numbering, Stack, spacing
from node.core.records import Verdict

MOST_NAMED = 20


def end_evidence(
    instances: Sequence[InstanceFacts],
    stacks: Sequence[Stack],
    numbers: Numbering,
    evidence: Sequence[Evidence],
) -> Evidence | None:
    """Find the positions that are missing at the ends of an incomplete stack.

    A gap between two slices shows in their positions. That a slice beyond the last is missing shows
    only in a count; its position follows from its InstanceNumber, if the numbers start at 1 and
    proceed with the positions.

    Args:
        instances: of the series.
        stacks: their frames in space.
        numbers: their InstanceNumbers.
        evidence: what was found so far; evidence of a gap may say how many slices are missing.

    Returns:
        the positions in mm as evidence; None where they cannot be determined.
    """
    lacking = max(
        (int(item.detail.get("lacking", 0)) for item in evidence if item.says is _INCOMPLETE),
        default=0,
    )
    missing = _beyond(lacking, numbers)
    if not missing or len(stacks) != 1 or not _proceed_together(instances, stacks[0]):
        return None
    stack, ends = stacks[0], (0, len(stacks[0].places) - 1)
    first, last = sorted(ends, key=lambda place: _number(stack, place))
    steps = numbers.last - numbers.first
    found: list[dict[str, Any]] = []
    for number in missing:
        along = (number - numbers.first) / steps
        distance = _between(stack.distance(first), stack.distance(last), along)
        pairs = zip(stack.position(first), stack.position(last), strict=True)
        at = [_between(start, end, along) for start, end in pairs]
        found.append({"along_normal_mm": distance, "position_lps_mm": at})
    named = ", ".join(f"{item['along_normal_mm']:g} mm" for item in found[:MOST_NAMED])
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    what = "1 slice is" if len(found) == 1 else f"{len(found)} slices are"
    return Evidence(
        Source.POSITIONS,
        _INCOMPLETE,
        f"{what} missing at the ends of the stack, by the InstanceNumbers at {named}{more}",
        detail={"missing_positions": found[: 10 * MOST_NAMED]},
    )


_INCOMPLETE = Verdict.INCOMPLETE


def _beyond(lacking: int, numbers: Numbering) -> list[int]:
    """The InstanceNumbers that are missing before the first one and after the last one."""
    beyond = lacking - numbers.missing
    before = max(numbers.first - 1, 0)
    if not numbers.usable or numbers.stride != 1 or beyond < 1 or before > beyond:
        return []
    after = numbers.last + 1 + beyond - before
    return [*range(1, numbers.first), *range(numbers.last + 1, after)]


def _proceed_together(instances: Sequence[InstanceFacts], stack: Stack) -> bool:
    """Whether each place has one image, and the numbers proceed with the places."""
    steps = spacing(stack)
    if steps is None or steps.uneven or stack.images != len(stack.places):
        return False
    if len(instances) != len(stack.places):
        return False
    found = [_number(stack, place) for place in range(len(stack.places))]
    sign = 1 if found[-1] > found[0] else -1
    start = stack.distance(0)
    return all(
        abs((stack.distance(place) - start) / steps.step - sign * (number - found[0])) <= EVEN
        for place, number in enumerate(found)
    )


def _number(stack: Stack, place: int) -> int:
    return stack.places[place][0].instance.number or 0


def _between(start: float, end: float, along: float) -> float:
    """Interpolate linearly and round to a micrometre; never minus zero."""
    return round(start + along * (end - start), 3) + 0.0
