"""Collect the evidence of every attribute that can say which frames are one volume."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from node.assemble.frames.model import FrameHeader
from node.assemble.order.dicom_times import elapsed
from node.assemble.order.evidence import (
    Evidence,
    Places,
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
"""Fraction of the shortest time between volumes, within which all slices of one volume lie."""
BEATS: Final = 0.02
"""The same fraction for cardiac phases; Trigger Times that differ by more are of heart beats of
different length."""
WRAPPED: Final = "Acquisition Time over midnight"


def collect_evidence(pieces: Sequence[Piece], places: Places) -> list[Evidence]:
    """Return the evidence of every attribute that has some.

    Args:
        pieces: the frames of a stack.
        places: the indices of the frames at every position.
    """
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
        if beats or ranked is None:  # phases that slices share count more than their ranks
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
    collected = [
        evidence
        for evidence in found
        if evidence is not None
        and not (evidence.name == TRIGGER and is_against_time(pieces, evidence))
    ]
    if _has_own_beats(pieces, places, clock) or _is_delay(collected):
        collected = [evidence for evidence in collected if evidence.name != TRIGGER]
    return [
        evidence._replace(name=WRAPPED) if wraps and evidence.name == CLOCK else evidence
        for evidence in collected
    ]


def _numbers_frames(pieces: Sequence[Piece]) -> bool:
    """Tell whether frame numbers start anew in each of several multi-frame images."""
    if len({piece.uid for piece in pieces}) in {1, len(pieces)}:
        return False
    numbers: dict[str, set[int | None]] = {}
    for piece in pieces:
        numbers.setdefault(piece.uid, set()).add(piece.frame.number)
    return any(len(own) > 1 for own in numbers.values())


def _multi_frame(frame: FrameHeader) -> Value | None:
    """Return the number of the multi-frame image, then the frame's place in that image."""
    return None if frame.instance is None else (float(frame.instance), *frame.dimensions)


def _has_own_beats(pieces: Sequence[Piece], places: Places, clock: Sequence[float | None]) -> bool:
    """Tell whether every frame at a position was acquired in a heart beat of its own.

    Trigger Time is the delay after the R wave (PS3.3 C.7.6.18.1). It does not order frames that
    are farther apart in time than in delay.
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


def _is_delay(collected: Sequence[Evidence]) -> bool:
    """Tell whether Trigger Time does not count, as each volume is an acquisition of its own."""
    names = {evidence.name: evidence for evidence in collected}
    trigger, acquisition = names.get(TRIGGER), names.get(ACQUISITION)
    if trigger is None:
        return False
    if any(name in names for name in (VENDOR, TEMPORAL, REFERENCE)):
        return True
    return acquisition is not None and trigger.grid != acquisition.grid


def is_against_time(pieces: Sequence[Piece], evidence: Evidence) -> bool:
    """Tell whether some volume was acquired before the one that the evidence puts in front of it.

    Args:
        pieces: the frames of a stack.
        evidence: of one attribute.
    """
    starts = [begin(pieces[index] for index in row) for row in evidence.grid]
    known = [start for start in starts if start is not None]
    return any(elapsed(one, other) < 0 for one, other in pairwise(known))
