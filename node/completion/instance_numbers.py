"""Evidence from InstanceNumbers: do they run without gaps?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from node.completion.facts import Evidence, InstanceFacts, Source
from node.completion.slice_layout import Numbering, Stack
from node.core.records import Verdict

MOST_NAMED = 20


def number_evidence(
    instances: Sequence[InstanceFacts], stacks: Sequence[Stack], numbers: Numbering
) -> Iterator[Evidence]:
    """Find gaps in the InstanceNumbers.

    A gap is proof of a loss only where slice positions cannot show one: if each instance covers all
    positions of its stack by itself (mosaics, one multi-frame instance for each volume, one slice
    over time). Elsewhere complete and regular stacks outweigh a gap: peers send selections, and
    scanners skip numbers.

    Args:
        instances: of the series.
        stacks: their frames in space.
        numbers: their InstanceNumbers.

    Yields:
        one piece of evidence, or none if the numbers are not usable.
    """
    if not numbers.usable:
        return
    if not numbers.missing:
        first = "" if numbers.first in {0, 1} else f"; they start at {numbers.first}"
        yield Evidence(
            Source.NUMBERS,
            Verdict.UNKNOWN,
            f"InstanceNumbers run from {numbers.first} to {numbers.last} without a gap{first}",
        )
        return
    named = ", ".join(
        str(first) if first == last else f"{first} to {last}"
        for first, last in numbers.gaps[:MOST_NAMED]
    )
    more = " and more" if len(numbers.gaps) > MOST_NAMED else ""
    noun, verb = ("InstanceNumber", "is") if numbers.missing == 1 else ("InstanceNumbers", "are")
    only_order = numbers.missing < len(instances) and each_covers_its_stack(instances, stacks)
    yield Evidence(
        Source.NUMBERS,
        Verdict.INCOMPLETE if only_order else Verdict.UNKNOWN,
        f"{noun} {named}{more} {verb} missing between {numbers.first} and {numbers.last}",
        doubt=True,
        detail={"missing_numbers": [list(gap) for gap in numbers.gaps[: 10 * MOST_NAMED]]},
    )


def each_covers_its_stack(instances: Sequence[InstanceFacts], stacks: Sequence[Stack]) -> bool:
    """Whether every instance has a frame at each position of its stack.

    Args:
        instances: of the series.
        stacks: their frames in space.
    """
    if not stacks or sum(stack.images for stack in stacks) < len(instances):
        return False
    for stack in stacks:
        covers: dict[str, int] = defaultdict(int)
        for place in stack.places:
            for uid in {image.instance.uid for image in place}:
                covers[uid] += 1
        if any(count < len(stack.places) for count in covers.values()):
            return False
    return True
