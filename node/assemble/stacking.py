"""Frames to stacks: what can be one image together, by kind and by geometry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from node.assemble.geometry import (
    SAME_DIRECTION,
    SAME_POSITION_MM,
    Planes,
    Points,
    check_plane,
    planes_of,
)
from node.assemble.model import FrameHeader, InstanceHeader
from node.errors import AssemblyError, Reason

Indices = npt.NDArray[np.intp]

SAME_SPACING_MM: Final = 2e-4
"""mm; the same pixel spacing written with different numbers of decimals."""
ECHO_TIME_DECIMALS: Final = 2
"""Echo times in ms that agree in as many decimals are one echo."""
FLIP_ANGLE_DECIMALS: Final = 1
"""Degrees; what is played out differs from slice to slice by less."""
SAME_LOCATION_MM: Final = 0.2
"""mm; Slice Location is often rounded to one decimal."""
MOST_ORIENTATIONS: Final = 32
"""Localizers have three orientations, radial scans a dozen; more are views, not slices."""


class Piece(NamedTuple):
    """One frame and the instance that it is in."""

    header: InstanceHeader
    frame: FrameHeader

    @property
    def uid(self) -> str:
        """The SOP Instance UID."""
        return self.header.sop_instance_uid


def begin(pieces: Iterable[Piece]) -> int | None:
    """Return when the first of them was acquired, µs; None if none says."""
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

    def at_each_position(self) -> list[list[int]]:
        """Return for every position the indices of the pieces there."""
        found: list[list[int]] = [[] for _ in self.distances]
        for index, position in enumerate(self.slices.tolist()):
            found[int(position)].append(index)
        return found


def usable(
    headers: Sequence[InstanceHeader],
) -> tuple[list[Piece], list[AssemblyError]]:
    """Return all frames that have a place in space, and refusals of those that have not.

    The frames come in an order of their own, by UID and frame, so that nothing later can depend
    on the order of arrival.
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
    """Part frames by what they show and how, then by direction and spacing.

    Raises:
        AssemblyError: so many orientations that they are views around the patient.
    """
    found: list[Stack] = []
    for group in _group(pieces, _size if merge else _kind):
        planes = planes_of([piece.frame for piece in group])
        found += [
            _sorted_stack([group[i] for i in members], planes.take(members))
            for members in _parallel(planes)
        ]
    if len(found) > MOST_ORIENTATIONS:
        raise AssemblyError(
            Reason.MIXED_ORIENTATIONS,
            f"{len(found)} different orientations, sizes or kinds of image in one series.",
        )
    return found


def kind_of(stack: Stack) -> tuple[object, ...]:
    """Return what a stack shows and how, whatever its size and direction."""
    return (*_subject(stack.pieces[0]), *_contrast(stack.pieces[0]))


def _subject(piece: Piece) -> tuple[object, ...]:
    header, frame = piece
    pixels = header.pixels
    return (
        header.series_number,
        header.frame_of_reference_uid,
        pixels and (pixels.samples, pixels.photometric, pixels.kind),
        frame.stack,
    )


def _size(piece: Piece) -> tuple[object, ...]:
    """Return what frames must have in common to be one image in the loosest sense."""
    return (*_subject(piece), piece.frame.rows, piece.frame.columns)


def _kind(piece: Piece) -> tuple[object, ...]:
    """Return what two frames must have in common to be parts of one image."""
    return (*_size(piece), *_contrast(piece))


def _contrast(piece: Piece) -> tuple[object, ...]:
    frame = piece.frame
    echo_time = None if frame.echo_time is None else round(frame.echo_time, ECHO_TIME_DECIMALS)
    return (
        frame.kind,
        frame.derived,
        frame.image_type[1:],
        frame.echo,
        echo_time,
        _flip_angle(piece),
    )


def _flip_angle(piece: Piece) -> float | None:
    """Return Flip Angle, degrees: images of several are measured one after the other, for maps."""
    angle = (piece.header.facts | piece.frame.facts).get("FlipAngle")
    return round(angle, FLIP_ANGLE_DECIMALS) if isinstance(angle, int | float) else None


def _group(
    pieces: Sequence[Piece], key: Callable[[Piece], tuple[object, ...]]
) -> list[list[Piece]]:
    groups: dict[tuple[object, ...], list[Piece]] = {}
    for piece in pieces:
        groups.setdefault(key(piece), []).append(piece)
    return list(groups.values())


def _parallel(planes: Planes) -> list[list[int]]:
    """Part frames by direction and pixel spacing; every part is like its first member."""
    looks = np.hstack([planes.row, planes.column, planes.spacing])
    tolerance = np.array([SAME_DIRECTION] * 6 + [SAME_SPACING_MM] * 2)
    left = np.arange(len(looks))
    parts: list[list[int]] = []
    while left.size:
        alike = (np.abs(looks[left] - looks[left[0]]) <= tolerance).all(axis=1)
        parts.append(left[alike].tolist())
        left = left[~alike]
    return parts


def _sorted_stack(pieces: Sequence[Piece], planes: Planes) -> Stack:
    """Sort frames by the projection of their position on the normal (PS3.3 C.7.6.2.1.1)."""
    along = planes.position @ planes.normal()
    order = np.argsort(along, kind="stable")
    along = along[order]
    slices = np.zeros(len(along), np.intp)
    starts = [along[0]]
    for index in range(1, len(along)):
        if along[index] - starts[-1] > SAME_POSITION_MM:
            starts.append(along[index])
        slices[index] = len(starts) - 1
    _check_locations(pieces, order, slices)
    distances = np.bincount(slices, weights=along) / np.bincount(slices)
    return Stack(
        tuple(pieces[i] for i in order),
        planes.take(order.tolist()),
        slices,
        distances,
    )


def _check_locations(pieces: Sequence[Piece], order: Indices, slices: Indices) -> None:
    """Refuse frames at one position whose Slice Locations say that they are not.

    Some anonymizers write one position into all instances of a series.
    """
    if slices[-1] == len(slices) - 1:
        return
    seen: dict[int, float] = {}
    for index, k in zip(order.tolist(), slices.tolist(), strict=True):
        location = pieces[index].frame.location
        if location is None:
            return
        if abs(seen.setdefault(k, location) - location) > SAME_LOCATION_MM:
            raise AssemblyError(
                Reason.NO_GEOMETRY,
                "Images have one Image Position (Patient) but different Slice Locations.",
                tuple(dict.fromkeys(piece.uid for piece in pieces)),
            )
