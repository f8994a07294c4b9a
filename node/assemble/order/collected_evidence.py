"""What each attribute says of the frames at one position: all that can speak are heard."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from node.assemble.frames.model import FrameHeader
from node.assemble.order.dicom_times import elapsed
from node.assemble.order.evidence import (
    Places,
    Says,
    Value,
    by_label,
    by_moment,
    by_rank,
    by_runs,
    over_midnight,
)
from node.assemble.stacks.grouping import Piece
from node.assemble.stacks.slice_sorting import begin

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

_SLICES: Final = 0.5
"""Part of the least time between volumes within which the slices of one are acquired."""
BEATS: Final = 0.02
"""The same of cardiac phases: above it they are those of heart beats of another length."""
WRAPPED: Final = "Acquisition Time over midnight"


def hear(pieces: Sequence[Piece], places: Places) -> list[Says]:
    """Ask every attribute; those that abstain are left out."""
    frames = [piece.frame for piece in pieces]
    clock, wraps = over_midnight([frame.acquired for frame in frames])
    shown, _ = over_midnight([frame.shown for frame in frames])
    labels: list[tuple[str, Sequence[Value | None]]] = [
        (VENDOR, [frame.order or None for frame in frames]),
        (TEMPORAL, [frame.temporal for frame in frames]),
        (DIMENSIONS, [frame.dimensions or None for frame in frames]),
        (PERCENTAGE, [frame.cardiac_percentage for frame in frames]),
        (IMAGES, [_multi_frame(frame) for frame in frames]),
        (ACQUISITION, [frame.acquisition for frame in frames]),
    ]
    times: list[tuple[str, Sequence[float | None]]] = [
        (REFERENCE, [frame.reference_time for frame in frames]),
        (CLOCK, clock),
        (TRIGGER, [frame.trigger_time for frame in frames]),
        (CONTENT, shown),
    ]
    *found, numbered = [by_label(name, values, places) for name, values in labels]
    full = len({len(place) for place in places}) == 1
    for name, moments in times:
        beats = name == TRIGGER
        ranked = by_rank(name, moments, places, beats=beats) if full else None
        if beats or ranked is None:  # the phases that slices share count before their ranks
            shared = by_moment(name, moments, places, BEATS if beats else _SLICES)
            ranked = shared or ranked
        found.append(ranked)
    found.append(numbered)
    if not _numbers_frames(pieces):
        numbers = [frame.number for frame in frames]
        if not full:
            found.append(by_runs(NUMBER, numbers, places))
        elif len(places) > 1:
            found.append(by_rank(NUMBER, numbers, places, exact=True))
    heard = [
        said
        for said in found
        if said is not None and not (said.name == TRIGGER and is_against_time(pieces, said))
    ]
    if _has_own_beats(pieces, places, clock) or _is_delay(heard):
        heard = [said for said in heard if said.name != TRIGGER]
    return [said._replace(name=WRAPPED) if wraps and said.name == CLOCK else said for said in heard]


def _numbers_frames(pieces: Sequence[Piece]) -> bool:
    """Tell whether frames have numbers that count within each of several multi-frame images."""
    if len({piece.uid for piece in pieces}) in {1, len(pieces)}:
        return False
    numbers: dict[str, set[int | None]] = {}
    for piece in pieces:
        numbers.setdefault(piece.uid, set()).add(piece.frame.number)
    return any(len(own) > 1 for own in numbers.values())


def _multi_frame(frame: FrameHeader) -> Value | None:
    """Return the number of the image that a frame is in, then its place in that image."""
    return None if frame.instance is None else (float(frame.instance), *frame.dimensions)


def _has_own_beats(pieces: Sequence[Piece], places: Places, clock: Sequence[float | None]) -> bool:
    """Tell whether every frame at a place was acquired in a heart beat of its own.

    Trigger Time is the delay after the R wave (PS3.3 C.7.6.18.1): of frames that are farther
    apart in time than in delay it says nothing of their order.
    """
    for place in places:
        times = sorted(t for index in place if (t := clock[index]) is not None)
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


def is_against_time(pieces: Sequence[Piece], said: Says) -> bool:
    """Tell whether a later volume was acquired before an earlier one: numbers are no time."""
    starts = [begin(pieces[index] for index in row) for row in said.grid]
    known = [start for start in starts if start is not None]
    return any(elapsed(one, other) < 0 for one, other in pairwise(known))
