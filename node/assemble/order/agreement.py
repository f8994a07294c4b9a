"""Weigh the evidence: which attributes must agree, whose order counts, what a contradiction is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from node.assemble.frames.model import FrameHeader
from node.assemble.order.collected_evidence import (
    ACQUISITION,
    BEATS,
    CLOCK,
    CONTENT,
    DIMENSIONS,
    IMAGES,
    NUMBER,
    PERCENTAGE,
    REFERENCE,
    TEMPORAL,
    TRIGGER,
    VENDOR,
    WRAPPED,
    is_against_time,
)
from node.assemble.order.dicom_times import elapsed
from node.assemble.order.diffusion_weighting import by_weighting
from node.assemble.order.evidence import Evidence
from node.assemble.order.number_patterns import shows_loss
from node.assemble.stacks.slice_sorting import Stack, begin
from node.core.errors import AssemblyError, Reason

_ORDER: Final = (
    VENDOR,
    TEMPORAL,
    DIMENSIONS,
    REFERENCE,
    CLOCK,
    PERCENTAGE,
    TRIGGER,
    IMAGES,
    ACQUISITION,
    NUMBER,
    CONTENT,
)
"""Attributes by rank: where several have the same partition, the order of the first one counts."""
_CLOCKS: Final = frozenset({TEMPORAL, REFERENCE, CLOCK})
"""Attributes of time, whose orders of volumes must agree (PS3.3 C.7.6.1, C.7.6.16.2.2)."""
UNTIMED: Final = frozenset({"CT", "PT", "NM"})
"""Modalities whose images at one place are as likely reconstructions as times, so that a number
alone proves no time."""
_READ: Final[dict[str, Callable[[FrameHeader], float | None]]] = {
    CLOCK: lambda frame: frame.acquired,
    CONTENT: lambda frame: frame.shown,
    TRIGGER: lambda frame: frame.trigger_time,
}
"""Times that may order frames by their ranks."""
_EVEN_PHASES: Final = 1.5
"""Ratio of the longest to the shortest step between evenly spaced cardiac phases; rounding to whole
ms makes less."""
_FEWEST_PHASES: Final = 4
"""Number of phases from which on a pattern of Trigger Times is no coincidence."""


def agreed(stack: Stack, collected: Sequence[Evidence]) -> Evidence | None:
    """Return the evidence that decides, if all attributes that must agree do agree.

    Args:
        stack: the frames.
        collected: the evidence of each attribute, from `collect_evidence`.

    Returns:
        the evidence whose volumes and order are used; None if nothing decides.

    Raises:
        AssemblyError: the attributes contradict each other, or prove that frames are missing.
    """
    named = {evidence.name: evidence for evidence in collected}
    strong = [
        evidence for evidence in collected if evidence.name not in {NUMBER, CONTENT, DIMENSIONS}
    ]
    index = named.get(DIMENSIONS)
    if index is not None and all(evidence.partition == index.partition for evidence in strong):
        strong.append(index)  # otherwise its values are not in the order of their pointers
    elif index is not None and not any(evidence.name in {VENDOR, TEMPORAL} for evidence in strong):
        strong.append(index)
    if not strong:
        return _by_number(stack, collected)
    if any(evidence.lacking for evidence in strong):
        if all(evidence.lacking for evidence in strong):
            raise _lacks_frames(stack, strong)
        raise _contradiction(stack, collected)
    if len({evidence.partition for evidence in strong}) > 1:
        raise _contradiction(stack, collected)
    names = {evidence.name for evidence in strong}
    weighted = by_weighting(stack) if names == {ACQUISITION} else None
    if weighted is not None and weighted.partition == named[ACQUISITION].partition:
        return weighted
    if names == {ACQUISITION}:
        return _with_rest_last(stack, _by_acquisition(stack, named))
    if names == {TRIGGER} and not _are_phases(stack, named):
        raise _contradiction(stack, collected)
    clocks = {evidence.grid for evidence in strong if evidence.name in _CLOCKS}
    if len(clocks) > 1:
        raise _contradiction(stack, collected)
    return _check_numbers(stack, _with_rest_last(stack, _first(strong, named)))


def _check_numbers(stack: Stack, evidence: Evidence) -> Evidence:
    """Return the evidence of times, unless Instance Numbers show that frames are missing.

    Raises:
        AssemblyError: frames are missing, so that the first frame at one position may belong to
            the same volume as the second frame at another.
    """
    read = _READ.get(evidence.name)
    rows = [[stack.pieces[index].frame for index in row] for row in evidence.grid]
    if read is None or all(len({read(frame) for frame in row}) == 1 for row in rows):
        return evidence
    numbers = [[frame.number for frame in row] for row in rows]
    if any(number is None for row in numbers for number in row):
        return evidence
    if shows_loss(np.array(numbers, dtype=np.float64)):
        raise AssemblyError(
            Reason.INCOMPLETE_GRID,
            f"{evidence.name} gives {len(rows)} frames at each of {len(stack.distances)} "
            "positions, but Instance Numbers are missing in other volumes at other positions: "
            f"slices of some volumes are missing. {_SEND_ALL}",
            stack.uids,
        )
    return evidence


def _with_rest_last(stack: Stack, evidence: Evidence) -> Evidence:
    """Return the evidence, if the frames that it leaves out were acquired last.

    Raises:
        AssemblyError: they were not, or they are the first part of a concatenation: then the scan
            was not interrupted, and frames are missing.
    """
    if not evidence.left_out:
        return evidence
    rest = begin(stack.pieces[index] for index in evidence.left_out)
    starts = [begin(stack.pieces[index] for index in row) for row in evidence.grid]
    known = [start for start in starts if start is not None]
    part = len(evidence.grid) < 2 and any(piece.header.concatenation for piece in stack.pieces)
    earlier = rest is not None and any(elapsed(start, rest) < 0 for start in known)
    if earlier or part:
        raise _lacks_frames(stack, [evidence._replace(lacking=1)])
    return evidence


def _first(strong: Sequence[Evidence], named: dict[str, Evidence]) -> Evidence:
    """Return the evidence whose order counts, of several with the same partition."""
    ranked = {name: rank for rank, name in enumerate(_ORDER)}
    best = min(strong, key=lambda evidence: ranked.get(evidence.name, ranked[CLOCK]))
    if best.name != WRAPPED:
        return best
    number = named.get(NUMBER)
    agree = number is not None and number.partition == best.partition
    return best._replace(name=CLOCK, grid=number.grid if number and agree else best.grid)


def _by_acquisition(stack: Stack, named: dict[str, Evidence]) -> Evidence:
    """Return the volumes of Acquisition Number in the order of time, or in its own order if another
    number confirms it.

    Acquisition Number distinguishes acquisitions and need not rise with time (PS3.3 C.7.6.1).

    Raises:
        AssemblyError: neither Instance Number nor Content Time rises with it.
    """
    evidence = named[ACQUISITION]
    rows = [[stack.pieces[index].frame for index in row] for row in evidence.grid]
    numbers = [[frame.number for frame in row if frame.number is not None] for row in rows]
    shown = [[frame.shown for frame in row if frame.shown is not None] for row in rows]
    starts = [begin(stack.pieces[index] for index in row) for row in evidence.grid]
    known = [start for start in starts if start is not None]
    if len(set(known)) == len(starts):
        order = sorted(range(len(known)), key=lambda t: elapsed(min(known), known[t]))
        return evidence._replace(grid=tuple(evidence.grid[t] for t in order))
    if _rise(numbers) or _rise(shown):
        return evidence
    opposite = _rise(numbers[::-1])
    raise AssemblyError(
        Reason.AMBIGUOUS_ORDER,
        f"{len(evidence.grid)} frames lie at each of {len(stack.distances)} positions. Acquisition "
        f"Number puts them in one order and Instance Number in "
        f"{'the opposite order' if opposite else 'another order or none'}, and no time decides. "
        "Send the series again with Acquisition Time (0008,0032) in every image.",
        stack.uids,
    )


def _are_phases(stack: Stack, named: dict[str, Evidence]) -> bool:
    """Tell whether Trigger Times are those of cardiac phases, where no other attribute orders.

    They are if they are evenly spaced from the R wave on, if several slices share them, or if
    Instance Number rises with them. Otherwise they may be one delay that varies from beat to beat.
    """
    evidence, number = named[TRIGGER], named.get(NUMBER)
    if number is not None and number.partition != evidence.partition:
        return False
    rows = [[stack.pieces[index].frame for index in row] for row in evidence.grid]
    known = [[frame.number for frame in row if frame.number is not None] for row in rows]
    numbers = sorted(number for row in known for number in row)
    whole = len({b - a for a, b in pairwise(numbers)} - {0}) <= 1
    if _rise(known) and whole:
        return True
    if len(stack.distances) == 1 and len(set(numbers)) == len(rows):
        return False  # each frame has its own number, and their order is another one
    times = [[frame.trigger_time or 0.0 for frame in row] for row in rows]
    steps = [b[0] - a[0] for a, b in pairwise(times)]
    if len(stack.distances) == 1:
        return max(steps) <= _EVEN_PHASES * min(steps) and times[0][0] <= max(steps)
    same = all(max(row) - min(row) <= BEATS * min(steps) for row in times)
    return same or (whole and len(rows) >= _FEWEST_PHASES)


def _rise(values: Sequence[Sequence[int]]) -> bool:
    """Tell whether the smallest value of each volume is larger than that of the volume before."""
    least = [min(row, default=None) for row in values]
    known = [value for value in least if value is not None]
    return len(known) == len(least) and all(a < b for a, b in pairwise(known))


def _by_number(stack: Stack, collected: Sequence[Evidence]) -> Evidence | None:
    """Return the order of Instance Number, or of Content Time, if there is no other evidence."""
    if stack.pieces[0].header.modality in UNTIMED:
        return None
    for name in (NUMBER, CONTENT):
        evidence = next((one for one in collected if one.name == name and not one.lacking), None)
        if evidence is None or is_against_time(stack.pieces, evidence):
            continue
        if not _is_against_beats(stack, evidence):
            return _check_numbers(stack, evidence)
    return None


def _is_against_beats(stack: Stack, evidence: Evidence) -> bool:
    """Tell whether every Trigger Time falls from volume to volume: then numbers are not times."""
    rows = [[stack.pieces[index].frame.trigger_time for index in row] for row in evidence.grid]
    return len(rows) > 1 and all(
        a is not None and b is not None and b < a
        for one, other in pairwise(rows)
        for a, b in zip(one, other, strict=True)
    )


def _lacks_frames(stack: Stack, proofs: Sequence[Evidence]) -> AssemblyError:
    counts = [len(place) for place in stack.at_each_position()]
    names = ", ".join(evidence.name for evidence in proofs)
    return AssemblyError(
        Reason.INCOMPLETE_GRID,
        f"The {len(counts)} positions have between {min(counts)} and {max(counts)} frames each, "
        f"and {proofs[0].lacking} volumes lack slices by {names}. {_SEND_ALL}",
        stack.uids,
    )


def _contradiction(stack: Stack, collected: Sequence[Evidence]) -> AssemblyError:
    """Refuse a stack whose attributes contradict each other, and list the evidence of each."""
    first = collected[0]
    clauses = [f"{first.name} makes {_extent(first)}"]
    for other in collected[1:]:
        if other.grid == first.grid and other.lacking == first.lacking:
            clauses.append(f"{other.name} the same")
        elif other.partition == first.partition:
            clauses.append(f"{other.name} the same in another order")
        else:
            clauses.append(f"{other.name} {_extent(other)} of different frames")
    return AssemblyError(
        Reason.AMBIGUOUS_ORDER,
        f"The attributes of {len(stack.pieces)} frames at {len(stack.distances)} positions "
        f"contradict each other: {'; '.join(clauses)}. Correct the attribute that is wrong where "
        "the series was made, and send it again.",
        stack.uids,
    )


def _extent(evidence: Evidence) -> str:
    return f"{len(evidence.grid)} volumes" if evidence.grid else "volumes with missing slices"


_SEND_ALL: Final = "Send the whole series again."
