"""Sort frames into stacks: the frames of one image, in the order of their slices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from node.assemble.frames.model import InstanceHeader
from node.assemble.stacks.attribute_values import Readings, readings_of
from node.assemble.stacks.geometry import Planes, Points, check_plane, planes_of, same_position_mm
from node.assemble.stacks.grouping import ALWAYS, LOOSE, Piece, parted
from node.assemble.stacks.parallel import parallel
from node.assemble.stacks.regions import divided
from node.core.errors import AssemblyError, Reason

__all__ = ["Piece", "Stack", "begin", "kind_of", "stacks_of", "usable"]

Indices = npt.NDArray[np.intp]

SAME_LOCATION_MM: Final = 0.2
"""mm; Slice Location is often rounded to one decimal."""
MOST_ORIENTATIONS: Final = 32
"""Localizers have three orientations and radial scans a dozen; more are views, not slices."""
_SAME_ECHO_MS: Final = 0.1
"""ms; a single frame and the stack that it belongs to have echo times that differ by less."""


def begin(pieces: Iterable[Piece]) -> int | None:
    """Return when the first of the frames was acquired, µs; None if no frame has a time."""
    return min((t for piece in pieces if (t := piece.frame.acquired) is not None), default=None)


class Stack(NamedTuple):
    """Parallel frames of one kind, with their distances along the common normal.

    Attributes:
        pieces: sorted along the normal (row x column), then by UID and frame.
        planes: their planes, in the same order.
        slices: (n,) the index of the position that each piece is at, from 0, ascending.
        distances: (number of positions,) mm along the normal.
    """

    pieces: tuple[Piece, ...]
    planes: Planes
    slices: Indices
    distances: Points

    @property
    def uids(self) -> tuple[str, ...]:
        """The SOP Instance UIDs of the pieces, each once."""
        return tuple(dict.fromkeys(piece.uid for piece in self.pieces))

    def at_each_position(self) -> list[list[int]]:
        """Return for every position the indices of the pieces there."""
        found: list[list[int]] = [[] for _ in self.distances]
        for index, position in enumerate(self.slices.tolist()):
            found[int(position)].append(index)
        return found


def usable(
    headers: Sequence[InstanceHeader],
) -> tuple[list[Piece], list[AssemblyError]]:
    """Return all frames whose place in space is known, and the refusals of all others.

    The frames are sorted by UID and frame number, so that the order of receipt has no effect.
    """
    pieces: list[Piece] = []
    faults: dict[tuple[Reason, str], list[str]] = {}
    for header in sorted(headers, key=lambda one: one.identity):
        if header.problem is not None:
            key = (header.problem.reason, header.problem.sentence)
            faults.setdefault(key, []).append(header.sop_instance_uid)
            continue
        for frame in header.frames:
            try:
                check_plane(frame)
            except AssemblyError as error:
                faults.setdefault((error.reason, error.sentence), []).append(
                    header.sop_instance_uid
                )
            else:
                pieces.append(Piece(header, frame))
    refusals = [
        AssemblyError(reason, sentence, tuple(dict.fromkeys(uids)))
        for (reason, sentence), uids in faults.items()
    ]
    return pieces, refusals


def stacks_of(pieces: Sequence[Piece], *, merge: bool = False) -> list[Stack]:
    """Separate frames by what they show and how, then by direction and position.

    Args:
        pieces: the frames of one series.
        merge: separate them by size and position only.

    Returns:
        one stack for each image, its frames sorted along the normal.

    Raises:
        AssemblyError: there are so many orientations that the frames are views around the patient.
    """
    if not pieces:
        return []
    planes = planes_of([piece.frame for piece in pieces])
    readings, nearest = readings_of(pieces), _nearest_mm(pieces)
    found: list[Stack] = []
    directions = 0
    for group in _kinds(readings, planes, nearest, merge=merge):
        parts = parallel(planes.take(group), nearest)
        directions = max(directions, len(parts))
        for members in parts:
            own = [group[index] for index in members]
            stack = readings.take(own)
            found += [
                _sorted_stack([stack.pieces[i] for i in part], planes.take([own[i] for i in part]))
                for part in divided(stack, planes.take(own), merge=merge)
            ]
    if directions > MOST_ORIENTATIONS:
        raise AssemblyError(
            Reason.MIXED_ORIENTATIONS,
            f"The series has {directions} different orientations: its images are views around the "
            "patient and not slices of a volume. They stay archived as they are.",
        )
    return found


def _nearest_mm(pieces: Sequence[Piece]) -> float:
    return same_position_mm([piece.frame for piece in pieces])


def _kinds(readings: Readings, planes: Planes, nearest: float, *, merge: bool) -> list[list[int]]:
    """Return the indices of the frames of each kind, whatever their direction and position."""
    groups = [list(range(len(readings.pieces)))]
    for attribute in LOOSE if merge else ALWAYS:
        values = readings.of(attribute)
        parts: list[list[int]] = []
        for group in groups:

            def meet(one: list[int], other: list[int], group: list[int] = group) -> bool:
                positions = planes.position[group]
                return _meet(positions[one], positions[other], nearest)

            own = [values[index] for index in group]
            parts += [[group[i] for i in part] for part in parted(own, attribute, meet)]
        groups = parts
    return groups


def _meet(one: Points, other: Points, limit: float) -> bool:
    """Tell whether a point of one list, (n, 3) mm, is one of the other, (m, 3) mm."""
    nearest = (np.abs(one[:, None, :] - other[None, :, :]).max(axis=2)).min(axis=1)
    return bool((nearest <= limit).any())


def kind_of(stack: Stack) -> tuple[object, ...]:
    """Return what a stack shows and how, whatever its size and direction."""
    header, frame = stack.pieces[0]
    pixels = header.pixels
    echo = None if not frame.echo_time else round(frame.echo_time / _SAME_ECHO_MS)
    return (
        header.series_number,
        pixels and (pixels.samples, pixels.photometric, pixels.kind),
        frame.kind,
        frame.derived,
        frame.image_type[1:3],
        frame.echo,
        echo,
    )


def _sorted_stack(pieces: Sequence[Piece], planes: Planes) -> Stack:
    """Sort frames by the projection of their position on the normal (PS3.3 C.7.6.2.1.1)."""
    along = planes.position @ planes.normal()
    order = np.argsort(along, kind="stable")
    along = along[order]
    limit = _nearest_mm(pieces)
    slices = np.zeros(len(along), np.intp)
    start, count = along[0], 0
    for index, place in enumerate(along.tolist()):
        if place - start > limit:
            start, count = place, count + 1
        slices[index] = count
    _check_locations(pieces, order, slices)
    distances = np.bincount(slices, weights=along) / np.bincount(slices)
    return Stack(
        tuple(pieces[i] for i in order),
        planes.take(order.tolist()),
        slices,
        distances,
    )


def _check_locations(pieces: Sequence[Piece], order: Indices, slices: Indices) -> None:
    """Refuse frames at one position whose Slice Locations or Table Positions differ.

    Some anonymizers write one position into all instances of a series.
    """
    if slices[-1] == len(slices) - 1:
        return
    _check_one_location(
        pieces, order, slices, "Slice Locations", [p.frame.location for p in pieces]
    )
    if pieces[0].header.modality == "CT":
        tables = [_table(piece) for piece in pieces]
        _check_one_location(pieces, order, slices, "Table Positions", tables)


def _check_one_location(
    pieces: Sequence[Piece],
    order: Indices,
    slices: Indices,
    name: str,
    locations: Sequence[float | None],
) -> None:
    seen: dict[int, float] = {}
    for index, k in zip(order.tolist(), slices.tolist(), strict=True):
        location = locations[index]
        if location is None:
            return
        if abs(seen.setdefault(k, location) - location) > SAME_LOCATION_MM:
            raise AssemblyError(
                Reason.NO_GEOMETRY,
                f"Images have the same Image Position (Patient) (0020,0032) but different {name}: "
                "the positions were overwritten. Send the series again from its original source.",
                tuple(dict.fromkeys(piece.uid for piece in pieces)),
            )


def _table(piece: Piece) -> float | None:
    value = (piece.header.facts | piece.frame.facts).get("TablePosition")
    return float(value) if isinstance(value, int | float) else None
