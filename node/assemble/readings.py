"""What the table of belonging reads of many frames, without reading the same again and again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from node.assemble.belonging import ACQUIRED, Attribute, Piece, Value


class Readings:
    """What the table reads of frames, once of all that differ in place and acquisition only.

    Args:
        pieces: the frames.
    """

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces
        self._kinds: list[int] = []
        self._first: dict[int, Piece] = {}
        known: dict[Hashable, int] = {}
        last, kind = None, 0
        for piece in pieces:
            alike = _alike(piece)
            if alike != last:  # most are, and comparing them takes less than hashing
                last, kind = alike, known.setdefault(alike, len(known))
                self._first.setdefault(kind, piece)
            self._kinds.append(kind)

    def take(self, which: Sequence[int]) -> Readings:
        """Return those of some frames, in that order."""
        taken = object.__new__(Readings)
        taken.pieces = [self.pieces[index] for index in which]
        taken._kinds = [self._kinds[index] for index in which]
        taken._first = self._first
        return taken

    def of(self, attribute: Attribute) -> list[Value | None]:
        """Return the value of every frame."""
        if attribute.name in ACQUIRED:
            return [attribute.read(piece) for piece in self.pieces]
        values = {kind: attribute.read(piece) for kind, piece in self._first.items()}
        return [values[kind] for kind in self._kinds]


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
