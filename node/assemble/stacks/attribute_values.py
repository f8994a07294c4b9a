"""What the table of belonging reads of many frames, without reading the same again and again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from node.assemble.stacks.grouping import ACQUIRED, Attribute, Piece, Value


class Readings(NamedTuple):
    """What the table reads of frames, once of all that differ in place and acquisition only.

    Attributes:
        pieces: the frames.
        kinds: the number of each frame's kind; frames of one kind are read alike.
        first: the first frame of every kind.
    """

    pieces: Sequence[Piece]
    kinds: Sequence[int]
    first: Sequence[Piece]

    def take(self, which: Sequence[int]) -> Readings:
        """Return those of some frames, in that order."""
        return Readings(
            [self.pieces[index] for index in which],
            [self.kinds[index] for index in which],
            self.first,
        )

    def of(self, attribute: Attribute) -> list[Value | None]:
        """Return the value of every frame."""
        if attribute.name in ACQUIRED:
            return [attribute.read(piece) for piece in self.pieces]
        values = [attribute.read(piece) for piece in self.first]
        return [values[kind] for kind in self.kinds]


def readings_of(pieces: Sequence[Piece]) -> Readings:
    """Return what the table reads of frames."""
    kinds: list[int] = []
    known: dict[Hashable, int] = {}
    first: list[Piece] = []
    last, kind = None, 0
    for piece in pieces:
        alike = _alike(piece)
        if alike != last:  # most are, and comparing them takes less than hashing
            last, kind = alike, known.setdefault(alike, len(known))
            if kind == len(first):
                first.append(piece)
        kinds.append(kind)
    return Readings(pieces, kinds, first)


def _alike(piece: Piece) -> Hashable:
    """Return all that the table reads of a frame, but for number and time of its acquisition."""
    header, frame = piece
    return (
        header.pixels,
        header.series_number,
        header.frame_of_reference_uid,
        frame.rows,
        frame.columns,
        frame.kind,
        frame.derived,
        frame.image_type,
        frame.echo,
        frame.echo_time,
        frame.settings,
        frame.thickness,
        frame.stack,
    )
