"""The values that the grouping table reads from many frames, each distinct combination once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from node.assemble.stacks.grouping import ACQUIRED, Attribute, Piece, Value


class Readings(NamedTuple):
    """Frames, and which of them have the same values of all attributes but place and acquisition.

    Attributes:
        pieces: the frames.
        kinds: the number of each frame's kind; frames of one kind have the same values.
        first: the first frame of every kind.
    """

    pieces: Sequence[Piece]
    kinds: Sequence[int]
    first: Sequence[Piece]

    def take(self, which: Sequence[int]) -> Readings:
        """Return the readings of some frames, in the order of `which`."""
        return Readings(
            [self.pieces[index] for index in which],
            [self.kinds[index] for index in which],
            self.first,
        )

    def of(self, attribute: Attribute) -> list[Value | None]:
        """Return the value of an attribute in every frame."""
        if attribute.name in ACQUIRED:
            return [attribute.read(piece) for piece in self.pieces]
        values = [attribute.read(piece) for piece in self.first]
        return [values[kind] for kind in self.kinds]


def readings_of(pieces: Sequence[Piece]) -> Readings:
    """Sort frames into kinds that have the same values."""
    kinds: list[int] = []
    known: dict[Hashable, int] = {}
    first: list[Piece] = []
    last, kind = None, 0
    for piece in pieces:
        values = _values(piece)
        if values != last:  # most are equal, and comparing takes less time than hashing
            last, kind = values, known.setdefault(values, len(known))
            if kind == len(first):
                first.append(piece)
        kinds.append(kind)
    return Readings(pieces, kinds, first)


def _values(piece: Piece) -> Hashable:
    """Return everything that the table reads from a frame, except its acquisition."""
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
