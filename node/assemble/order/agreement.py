"""Who must agree on the volumes of a stack, whose order counts, and what a contradiction is."""

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
from node.assemble.order.evidence import Says
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
"""Whose order of volumes counts, where several have the same partition."""
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
"""How many times the shortest step of cardiac phases the longest is, but for rounding."""
_FEWEST_PHASES: Final = 4
"""Phases by which a pattern of Trigger Times is none by chance."""


def agreed(stack: Stack, heard: Sequence[Says]) -> Says | None:
    """Return what all that must agree say.

    Raises:
        AssemblyError: they contradict each other, or prove that frames are missing.
    """
    named = {said.name: said for said in heard}
    strong = [said for said in heard if said.name not in {NUMBER, CONTENT, DIMENSIONS}]
    index = named.get(DIMENSIONS)
    if index is not None and all(said.partition == index.partition for said in strong):
        strong.append(index)  # else its values are in another order than its pointers
    elif index is not None and not any(said.name in {VENDOR, TEMPORAL} for said in strong):
        strong.append(index)
    if not strong:
        return _by_number(stack, heard)
    if any(said.lacking for said in strong):
        if all(said.lacking for said in strong):
            raise _lacks_frames(stack, strong)
        raise _contradiction(stack, heard)
    if len({said.partition for said in strong}) > 1:
        raise _contradiction(stack, heard)
    names = {said.name for said in strong}
    weighted = by_weighting(stack) if names == {ACQUISITION} else None
    if weighted is not None and weighted.partition == named[ACQUISITION].partition:
        return weighted
    if names == {ACQUISITION}:
        return _with_rest_last(stack, _by_acquisition(stack, named))
    if names == {TRIGGER} and not _are_phases(stack, named):
        raise _contradiction(stack, heard)
    clocks = {said.grid for said in strong if said.name in _CLOCKS}
    if len(clocks) > 1:
        raise _contradiction(stack, heard)
    return _check_numbers(stack, _with_rest_last(stack, _first(strong, named)))


def _check_numbers(stack: Stack, said: Says) -> Says:
    """Return what ranks of times say, unless Instance Numbers show that frames did not come.

    Raises:
        AssemblyError: they do: then the first of one place may be the second of another.
    """
    read = _READ.get(said.name)
    rows = [[stack.pieces[index].frame for index in row] for row in said.grid]
    if read is None or all(len({read(frame) for frame in row}) == 1 for row in rows):
        return said
    numbers = [[frame.number for frame in row] for row in rows]
    if any(number is None for row in numbers for number in row):
        return said
    if shows_loss(np.array(numbers, dtype=np.float64)):
        raise AssemblyError(
            Reason.INCOMPLETE_GRID,
            f"{len(rows)} frames at each of {len(stack.distances)} positions by {said.name}, but "
            "Instance Numbers are missing at other volumes from position to position: slices of "
            "some volumes did not come.",
            stack.uids,
        )
    return said


def _with_rest_last(stack: Stack, said: Says) -> Says:
    """Return what was said, if the frames that it leaves out were acquired last.

    Raises:
        AssemblyError: they were not, or are the first part of a concatenation, so that they are
            no interrupted end.
    """
    if not said.left_out:
        return said
    rest = begin(stack.pieces[index] for index in said.left_out)
    starts = [begin(stack.pieces[index] for index in row) for row in said.grid]
    known = [start for start in starts if start is not None]
    part = len(said.grid) < 2 and any(piece.header.concatenation for piece in stack.pieces)
    earlier = rest is not None and any(elapsed(start, rest) < 0 for start in known)
    if earlier or part:
        raise _lacks_frames(stack, [said._replace(lacking=1)])
    return said


def _first(strong: Sequence[Says], named: dict[str, Says]) -> Says:
    """Return the one of several with one partition whose order counts."""
    ranked = {name: rank for rank, name in enumerate(_ORDER)}
    best = min(strong, key=lambda said: ranked.get(said.name, ranked[CLOCK]))
    if best.name != WRAPPED:
        return best
    number = named.get(NUMBER)
    agree = number is not None and number.partition == best.partition
    return best._replace(name=CLOCK, grid=number.grid if number and agree else best.grid)


def _by_acquisition(stack: Stack, named: dict[str, Says]) -> Says:
    """Return the volumes of Acquisition Number, in the order of time, or in its own if another
    number confirms that.

    It tells acquisitions apart, and need not rise from one to the next (PS3.3 C.7.6.1).

    Raises:
        AssemblyError: neither Instance Number nor Content Time rises with it.
    """
    said = named[ACQUISITION]
    rows = [[stack.pieces[index].frame for index in row] for row in said.grid]
    numbers = [[frame.number for frame in row if frame.number is not None] for row in rows]
    shown = [[frame.shown for frame in row if frame.shown is not None] for row in rows]
    starts = [begin(stack.pieces[index] for index in row) for row in said.grid]
    known = [start for start in starts if start is not None]
    if len(set(known)) == len(starts):
        order = sorted(range(len(known)), key=lambda t: elapsed(min(known), known[t]))
        return said._replace(grid=tuple(said.grid[t] for t in order))
    if _rise(numbers) or _rise(shown):
        return said
    opposite = _rise(numbers[::-1])
    raise AssemblyError(
        Reason.AMBIGUOUS_ORDER,
        f"{len(said.grid)} frames at each of {len(stack.distances)} positions, in one order by "
        f"Acquisition Number and in {'the opposite' if opposite else 'another or no'} one by "
        "Instance Number, and no time decides.",
        stack.uids,
    )


def _are_phases(stack: Stack, named: dict[str, Says]) -> bool:
    """Tell whether Trigger Times, where nothing else orders, are those of cardiac phases.

    They are if they are evenly spaced from the R wave on or several slices have them, or if
    Instance Number rises with them. Otherwise they may be one delay that varies from beat to beat.
    """
    said, number = named[TRIGGER], named.get(NUMBER)
    if number is not None and number.partition != said.partition:
        return False
    rows = [[stack.pieces[index].frame for index in row] for row in said.grid]
    known = [[frame.number for frame in row if frame.number is not None] for row in rows]
    numbers = sorted(number for row in known for number in row)
    whole = len({b - a for a, b in pairwise(numbers)} - {0}) <= 1
    if _rise(known) and whole:
        return True
    if len(stack.distances) == 1 and len(set(numbers)) == len(rows):
        return False  # a number for each, in another order
    times = [[frame.trigger_time or 0.0 for frame in row] for row in rows]
    steps = [b[0] - a[0] for a, b in pairwise(times)]
    if len(stack.distances) == 1:
        return max(steps) <= _EVEN_PHASES * min(steps) and times[0][0] <= max(steps)
    same = all(max(row) - min(row) <= BEATS * min(steps) for row in times)
    return same or (whole and len(rows) >= _FEWEST_PHASES)


def _rise(values: Sequence[Sequence[int]]) -> bool:
    """Tell whether the least of every volume is larger than that of the one before."""
    least = [min(row, default=None) for row in values]
    known = [value for value in least if value is not None]
    return len(known) == len(least) and all(a < b for a, b in pairwise(known))


def _by_number(stack: Stack, heard: Sequence[Says]) -> Says | None:
    """Return the order of Instance Number, or of Content Time, where nothing else speaks."""
    if stack.pieces[0].header.modality in UNTIMED:
        return None
    for name in (NUMBER, CONTENT):
        said = next((one for one in heard if one.name == name and not one.lacking), None)
        if said is None or is_against_time(stack.pieces, said):
            continue
        if not _is_against_beats(stack, said):
            return _check_numbers(stack, said)
    return None


def _is_against_beats(stack: Stack, said: Says) -> bool:
    """Tell whether from volume to volume every Trigger Time falls: numbers are no time."""
    rows = [[stack.pieces[index].frame.trigger_time for index in row] for row in said.grid]
    return len(rows) > 1 and all(
        a is not None and b is not None and b < a
        for one, other in pairwise(rows)
        for a, b in zip(one, other, strict=True)
    )


def _lacks_frames(stack: Stack, proofs: Sequence[Says]) -> AssemblyError:
    counts = [len(place) for place in stack.at_each_position()]
    names = ", ".join(said.name for said in proofs)
    return AssemblyError(
        Reason.INCOMPLETE_GRID,
        f"Between {min(counts)} and {max(counts)} frames at the {len(counts)} positions, and "
        f"{proofs[0].lacking} volumes lack slices by {names}.",
        stack.uids,
    )


def _contradiction(stack: Stack, heard: Sequence[Says]) -> AssemblyError:
    """Refuse a stack whose attributes say different things, and list what each says."""
    first = heard[0]
    said = [f"{first.name} makes {_extent(first)}"]
    for other in heard[1:]:
        if other.grid == first.grid and other.lacking == first.lacking:
            said.append(f"{other.name} the same")
        elif other.partition == first.partition:
            said.append(f"{other.name} the same in another order")
        else:
            said.append(f"{other.name} {_extent(other)} of other frames")
    return AssemblyError(
        Reason.AMBIGUOUS_ORDER,
        f"{len(stack.pieces)} frames at {len(stack.distances)} positions, and their attributes "
        f"contradict each other: {'; '.join(said)}.",
        stack.uids,
    )


def _extent(said: Says) -> str:
    return f"{len(said.grid)} volumes" if said.grid else "volumes with missing slices"
