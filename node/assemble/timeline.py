"""The 4th axis: which of the frames at one position belongs to which volume.

All attributes that can speak are heard (`witnesses`). A plan is accepted if those that must agree
do; where they contradict each other, the refusal lists what each says. docs/conversion.md has the
table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from node.assemble import settings
from node.assemble.belonging import Piece, same_values
from node.assemble.clock import elapsed
from node.assemble.model import FrameHeader
from node.assemble.stacking import Stack, begin
from node.assemble.witnesses import (
    Places,
    Says,
    Value,
    by_label,
    by_moment,
    by_rank,
    by_runs,
    over_midnight,
)
from node.errors import AssemblyError, Reason

SAME_WEIGHTING: Final = 20.0
"""s/mm²; what the imaging gradients of b = 0 add, and by how much slices may differ."""
SAME_WEIGHTING_PART: Final = 0.05
"""The same as a part of the b-value: what was played out, not what was asked for."""
SAME_GRADIENT: Final = 0.1
"""Length of the difference of unit vectors; six degrees."""

VENDOR: Final = "the vendor's volume index"
TEMPORAL: Final = "Temporal Position"
DIMENSIONS: Final = "Dimension Index Values"
PERCENTAGE: Final = "Nominal Percentage of Cardiac Phase"
IMAGES: Final = "Instance Number of multi-frame images"
REFERENCE: Final = "Frame Reference Time"
CLOCK: Final = "Acquisition Time"
TRIGGER: Final = "Trigger Time"
ACQUISITION: Final = "Acquisition Number"
NUMBER: Final = "Instance Number"
CONTENT: Final = "Content Time"

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
_UNTIMED: Final = frozenset({"CT", "PT", "NM"})
"""Modalities whose images at one place are as likely reconstructions as times, so that a number
alone proves no time."""


_EVEN_PHASES: Final = 1.5
"""How many times the shortest step of cardiac phases the longest is, but for rounding."""
_FEWEST_PHASES: Final = 4
"""Phases by which a pattern of Trigger Times is none by chance."""
_FEWEST_SLICES: Final = 4
"""Slices by which a count of them is known to be no count of volumes."""


class Timeline(NamedTuple):
    """Where each frame of a stack goes.

    Attributes:
        grid: for every volume, the index of the stack's piece at every position.
        defined_by: the attribute that defined the order; empty for a single volume.
        left_out: pieces of an incomplete last volume.
    """

    grid: tuple[tuple[int, ...], ...]
    defined_by: str = ""
    left_out: tuple[int, ...] = ()


def arrange(stack: Stack) -> Timeline:
    """Distribute the frames of a stack over volumes.

    Raises:
        AssemblyError: frames at one position that nothing tells apart, attributes that contradict
            each other, or volumes with holes.
    """
    places = stack.at_each_position()
    if max(len(place) for place in places) == 1:
        row = tuple(place[0] for place in places)
        _check_one_time(stack, row)
        return Timeline((row,))
    heard = [said for said in _heard(stack.pieces, places) if not _mixes(stack, said)]
    chosen = _agreed(stack, heard)
    if chosen is None:
        raise _refusal(stack, places)
    return Timeline(chosen.grid, chosen.name, chosen.left_out)


def _heard(pieces: Sequence[Piece], places: Places) -> list[Says]:
    """Ask every attribute; those that abstain are left out."""
    clock, wraps = over_midnight(pieces, lambda frame: frame.acquired)
    shown, _ = over_midnight(pieces, lambda frame: frame.shown)
    labels: list[tuple[str, Callable[[FrameHeader], Value | None]]] = [
        (VENDOR, lambda frame: frame.order or None),
        (TEMPORAL, lambda frame: frame.temporal),
        (DIMENSIONS, lambda frame: frame.dimensions or None),
        (PERCENTAGE, lambda frame: frame.cardiac_percentage),
        (IMAGES, _multi_frame),
    ]
    times: list[tuple[str, Callable[[FrameHeader], float | None]]] = [
        (REFERENCE, lambda frame: frame.reference_time),
        (CLOCK, clock),
        (TRIGGER, lambda frame: frame.trigger_time),
        (CONTENT, shown),
    ]
    found = [by_label(name, pieces, places, read) for name, read in labels]
    full = len({len(place) for place in places}) == 1
    for name, read in times:
        said = by_moment(name, pieces, places, read, _BEATS if name == TRIGGER else _SLICES)
        if said is None and full:
            said = by_rank(name, pieces, places, read, beats=name == TRIGGER)
        found.append(said)
    numbered = by_label(ACQUISITION, pieces, places, lambda frame: frame.acquisition)
    found.append(numbered)
    if full and len(places) > 1:
        found.append(by_rank(NUMBER, pieces, places, _number, exact=True))
    elif not full:
        found.append(by_runs(NUMBER, pieces, places, _number))
    heard = [
        said
        for said in found
        if said is not None and not (said.name == TRIGGER and _is_against_time(pieces, said))
    ]
    if _has_own_beats(pieces, places, clock) or _is_delay(heard):
        heard = [said for said in heard if said.name != TRIGGER]
    return [
        said._replace(name=_WRAPPED) if wraps and said.name == CLOCK else said for said in heard
    ]


_SLICES: Final = 0.5
"""Part of the least time between volumes within which the slices of one are acquired."""
_BEATS: Final = 0.02
"""The same of cardiac phases: above it they are those of heart beats of another length."""
_WRAPPED: Final = "Acquisition Time over midnight"


def _number(frame: FrameHeader) -> float | None:
    return None if frame.number is None else float(frame.number)


def _multi_frame(frame: FrameHeader) -> Value | None:
    """Return the number of the image that a frame is in, then its place in that image."""
    return None if frame.instance is None else (float(frame.instance), *frame.dimensions)


def _has_own_beats(
    pieces: Sequence[Piece], places: Places, clock: Callable[[FrameHeader], float | None]
) -> bool:
    """Tell whether every frame at a place was acquired in a heart beat of its own.

    Trigger Time is the delay after the R wave (PS3.3 C.7.6.18.1): of frames that are farther
    apart in time than in delay it says nothing of their order.
    """
    for place in places:
        times = sorted(t for index in place if (t := clock(pieces[index].frame)) is not None)
        delays = [t for index in place if (t := pieces[index].frame.trigger_time) is not None]
        if len(times) < len(place) or len(delays) < len(place):
            return False
        apart = min((b - a for a, b in pairwise(times)), default=0)
        if apart / 1000.0 < max(delays) - min(delays):
            return False
    return True


def _is_delay(heard: Sequence[Says]) -> bool:
    """Tell whether Trigger Time is not heard, as each volume is an acquisition of its own."""
    names = {said.name: said for said in heard}
    trigger, acquisition = names.get(TRIGGER), names.get(ACQUISITION)
    if trigger is None:
        return False
    if any(name in names for name in (VENDOR, TEMPORAL, REFERENCE)):
        return True
    return acquisition is not None and trigger.grid != acquisition.grid


def _agreed(stack: Stack, heard: Sequence[Says]) -> Says | None:
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
        return _by_number(stack, heard) or _by_weighting(stack)
    if any(said.lacking for said in strong):
        if all(said.lacking for said in strong):
            raise _lacks_frames(stack, strong)
        raise _contradiction(stack, heard)
    if len({said.partition for said in strong}) > 1:
        raise _contradiction(stack, heard)
    names = {said.name for said in strong}
    weighted = _by_weighting(stack) if names == {ACQUISITION} else None
    if weighted is not None and weighted.partition == named[ACQUISITION].partition:
        return weighted
    if names == {ACQUISITION}:
        return _with_rest_last(stack, _by_acquisition(stack, named))
    if names == {TRIGGER} and not _are_phases(stack, named[TRIGGER]):
        raise _contradiction(stack, heard)
    clocks = {said.grid for said in strong if said.name in _CLOCKS}
    if len(clocks) > 1:
        raise _contradiction(stack, heard)
    return _with_rest_last(stack, _first(strong, named))


def _with_rest_last(stack: Stack, said: Says) -> Says:
    """Return what was said, if the frames that it leaves out were acquired last.

    Raises:
        AssemblyError: they were not, so that they are no interrupted end.
    """
    rest = begin(stack.pieces[index] for index in said.left_out)
    starts = [begin(stack.pieces[index] for index in row) for row in said.grid]
    known = [start for start in starts if start is not None]
    if rest is not None and any(elapsed(start, rest) < 0 for start in known):
        raise _lacks_frames(stack, [said._replace(lacking=1)])
    return said


def _first(strong: Sequence[Says], named: dict[str, Says]) -> Says:
    """Return the one of several with one partition whose order counts."""
    ranked = {name: rank for rank, name in enumerate(_ORDER)}
    best = min(strong, key=lambda said: ranked.get(said.name, ranked[CLOCK]))
    if best.name != _WRAPPED:
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
        _uids(stack),
    )


def _are_phases(stack: Stack, said: Says) -> bool:
    """Tell whether Trigger Times, where nothing else orders, are those of cardiac phases.

    They are if they are evenly spaced or several slices have them, or if Instance Number rises
    with them. Otherwise they may be one delay that varies from beat to beat.
    """
    rows = [[stack.pieces[index].frame for index in row] for row in said.grid]
    known = [[frame.number for frame in row if frame.number is not None] for row in rows]
    numbers = sorted(number for row in known for number in row)
    whole = len({b - a for a, b in pairwise(numbers)} - {0}) <= 1
    if _rise(known) and whole:
        return True
    times = [[frame.trigger_time or 0.0 for frame in row] for row in rows]
    steps = [b[0] - a[0] for a, b in pairwise(times)]
    if len(stack.distances) == 1:
        return max(steps) <= _EVEN_PHASES * min(steps)
    same = all(max(row) - min(row) <= _BEATS * min(steps) for row in times)
    return same or (whole and len(rows) >= _FEWEST_PHASES)


def _rise(values: Sequence[Sequence[int]]) -> bool:
    """Tell whether the least of every volume is larger than that of the one before."""
    least = [min(row, default=None) for row in values]
    known = [value for value in least if value is not None]
    return len(known) == len(least) and all(a < b for a, b in pairwise(known))


def _by_number(stack: Stack, heard: Sequence[Says]) -> Says | None:
    """Return the order of Instance Number, or of Content Time, where nothing else speaks."""
    if stack.pieces[0].header.modality in _UNTIMED:
        return None
    for name in (NUMBER, CONTENT):
        said = next((one for one in heard if one.name == name and not one.lacking), None)
        if said is not None and not _is_against_time(stack.pieces, said):
            return said
    return None


def _by_weighting(stack: Stack) -> Says | None:
    """Return volumes of one b-value and direction each, in the order of these.

    That is no order in time, and need be none: both are written beside the volumes.
    """
    shown: list[FrameHeader] = []
    for piece in sorted(stack.pieces, key=lambda one: (one.frame.b_value or 0.0, one.uid)):
        if piece.frame.b_value is None:
            return None
        if all(_otherwise(one, piece.frame) for one in shown):
            shown.append(piece.frame)

    def label(frame: FrameHeader) -> float | None:
        alike = [at for at, one in enumerate(shown) if not _otherwise(one, frame)]
        return float(alike[0]) if len(alike) == 1 else None

    said = by_label(
        "b-value and direction",
        stack.pieces,
        stack.at_each_position(),
        label,
    )
    return None if said is None or said.lacking or said.left_out else said


def _is_against_time(pieces: Sequence[Piece], said: Says) -> bool:
    """Tell whether a later volume was acquired before an earlier one: numbers are no time."""
    starts = [begin(pieces[index] for index in row) for row in said.grid]
    known = [start for start in starts if start is not None]
    return any(elapsed(one, other) < 0 for one, other in pairwise(known))


def _check_one_time(stack: Stack, row: tuple[int, ...]) -> None:
    """Refuse one volume of frames of several times: the others of each are lost.

    Raises:
        AssemblyError: an attribute that is one in a volume differs from place to place.
    """
    frames = [stack.pieces[index].frame for index in row]
    told: list[tuple[str, list[Value | None]]] = [
        (TEMPORAL, [frame.temporal for frame in frames]),
        (DIMENSIONS, _unless_of_slices([frame.dimensions or None for frame in frames])),
        (PERCENTAGE, [frame.cardiac_percentage for frame in frames]),
        (settings.INVERSION, _unless_of_slices(_inversion_times(frames))),
    ]
    if stack.pieces[0].header.modality in _UNTIMED:
        told.append((TRIGGER, [frame.trigger_time for frame in frames]))
    several = [
        name
        for name, values in told
        if len(set(values)) > 1 and None not in values and not _numbers_slices(values)
    ]
    if _mixes(stack, Says(NUMBER, (row,))):
        several.append("diffusion weighting")
    if several:
        raise AssemblyError(
            Reason.INCOMPLETE_GRID,
            f"One frame at each of {len(row)} positions, but of several volumes by "
            f"{', '.join(several)}: volumes with missing slices.",
            _uids(stack),
        )


def _numbers_slices(values: Sequence[Value | None]) -> bool:
    """Tell whether each of several slices has a number of its own, in their order along the stack.

    Some software counts slices where volumes should be counted.
    """
    known = [value for value in values if isinstance(value, int | float)]
    if len(known) < len(values) or len(known) < _FEWEST_SLICES:
        return False
    steps = {b - a for a, b in pairwise(known)}
    return steps in ({1}, {-1})


def _inversion_times(frames: Sequence[FrameHeader]) -> list[Value | None]:
    """Return a number for every Inversion Time; those that differ by rounding have one."""
    times = [dict(frame.settings).get(settings.INVERSION) for frame in frames]
    label = same_values(times, 0.5, 0.002)
    return [None if time is None else label[time] for time in times]


def _unless_of_slices(values: list[Value | None]) -> list[Value | None]:
    """Return values, or nothing where each of several slices has one of its own."""
    own = len(set(values)) == len(values) > 2
    return [None] if own else values


def _mixes(stack: Stack, said: Says) -> bool:
    """Tell whether a volume would hold slices of different diffusion weighting."""
    if all(piece.frame.b_value is None for piece in stack.pieces):
        return False
    return any(
        _otherwise(stack.pieces[row[0]].frame, stack.pieces[index].frame)
        for row in said.grid
        for index in row[1:]
    )


def _otherwise(one: FrameHeader, other: FrameHeader) -> bool:
    first, second = one.b_value or 0.0, other.b_value or 0.0
    if abs(first - second) > SAME_WEIGHTING + SAME_WEIGHTING_PART * max(first, second):
        return True
    if one.gradient is None or other.gradient is None:
        return one.gradient != other.gradient and min(first, second) > SAME_WEIGHTING
    return math.dist(one.gradient, other.gradient) > SAME_GRADIENT


def _uids(stack: Stack) -> tuple[str, ...]:
    return tuple(dict.fromkeys(piece.uid for piece in stack.pieces))


def _lacks_frames(stack: Stack, proofs: Sequence[Says]) -> AssemblyError:
    counts = [len(place) for place in stack.at_each_position()]
    names = ", ".join(said.name for said in proofs)
    return AssemblyError(
        Reason.INCOMPLETE_GRID,
        f"Between {min(counts)} and {max(counts)} frames at the {len(counts)} positions, and "
        f"{proofs[0].lacking} volumes lack slices by {names}.",
        _uids(stack),
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
        _uids(stack),
    )


def _extent(said: Says) -> str:
    return f"{len(said.grid)} volumes" if said.grid else "volumes with missing slices"


def _refusal(stack: Stack, places: Places) -> AssemblyError:
    counts = [len(place) for place in places]
    doubled = [k for k, count in enumerate(counts) if count > 1]
    uids = tuple(stack.pieces[index].uid for k in doubled for index in places[k])
    shown = ", ".join(f"{stack.distances[k]:.3f}" for k in doubled[:10])
    if len(set(counts)) == 1:
        return AssemblyError(
            Reason.AMBIGUOUS_ORDER,
            f"{counts[0]} frames at each of {len(counts)} positions, and no attribute says which "
            "of them belong together.",
            uids,
        )
    if len(doubled) <= len(counts) // 2:
        return AssemblyError(
            Reason.DUPLICATE_POSITION,
            f"Several different frames at one position ({shown} mm), one at the others.",
            uids,
        )
    return AssemblyError(
        Reason.INCOMPLETE_GRID,
        f"Between {min(counts)} and {max(counts)} frames at the {len(counts)} positions: "
        "volumes with missing slices.",
        uids,
    )
