"""What a simulated series is, whatever its headers say: volumes, frames, and their true places."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

Vector = tuple[float, float, float]
Said = dict[str, Any]
"""What headers say of a frame, by names that `writing` turns into elements."""


@dataclass(frozen=True)
class Grid:
    """Where the slices of a volume truly lie, LPS mm.

    Attributes:
        origin: centre of the first pixel of slice 0.
        row, column: unit vectors along a row and along a column.
        step: from a slice to the next; sheared if it is not along the normal.
        spacing: between rows, between columns.
        size: rows, columns.
    """

    origin: Vector
    row: Vector
    column: Vector
    step: Vector
    spacing: tuple[float, float]
    size: tuple[int, int]

    def at(self, column: float, row: float, k: float) -> Vector:
        """Return the place of a voxel."""
        right, down = column * self.spacing[1], row * self.spacing[0]
        x, y, z = (
            self.origin[i] + right * self.row[i] + down * self.column[i] + k * self.step[i]
            for i in range(3)
        )
        return x, y, z


@dataclass(frozen=True)
class Volume:
    """One volume that should come out, alone or along a fourth axis.

    Attributes:
        slices: how many.
        parts: for each time, what it may be parted by; times of equal parts stay together.
        ordered: whether the times have an order, or are a set.
        by_part: whether all times of one part may come before those of the next.
    """

    number: int
    grid: Grid
    slices: int
    parts: tuple[Hashable, ...]
    ordered: bool
    by_part: bool = False


@dataclass
class Frame:
    """One image: its truth, and what is written of it.

    Attributes:
        volume, time, slice: where it belongs.
        began: µs from the beginning of the series.
        position, orientation, spacing: as written.
        away: mm; how far a written corner is from the true one, at most.
        said: attributes of its own.
        slope: Rescale Slope.
        uid, index: the instance that it is in, and its place there.
    """

    volume: int
    time: int
    slice: int
    began: int
    position: Vector
    orientation: tuple[float, ...]
    spacing: tuple[float, float]
    away: float
    said: Said = field(default_factory=dict)
    slope: float = 1.0
    uid: str = ""
    index: int = 0

    @property
    def cell(self) -> tuple[int, int, int]:
        """Its volume, time and slice."""
        return self.volume, self.time, self.slice


@dataclass
class Instance:
    """Frames that are one SOP instance.

    Attributes:
        said: attributes of the instance.
        copy_of: the UID that it was sent under before.
    """

    uid: str
    frames: list[Frame]
    said: Said
    copy_of: str = ""


@dataclass
class World:
    """A series, and what a careful reader can make of it.

    Attributes:
        form: how frames are put into instances, as in `sending.instances_of`.
        made: every instance that the scanner made.
        kind: what was measured, for people.
        pointers: how dimensions are written, as in `SenderStatistics`.
        sent: those that arrive, in the order of arrival, some of them twice.
        defined: nothing was lost, and the headers state which frames belong together and in which
            order.
        away: mm; the largest of any frame.
        notes: how it was made, for a person.
    """

    seed: int
    vendor: str
    modality: str
    form: str
    kind: str
    pointers: str
    volumes: list[Volume]
    made: list[Instance]
    sent: list[Instance]
    defined: bool
    away: float
    notes: list[str]

    @property
    def truth(self) -> list[list[list[Frame | None]]]:
        """For each volume its frames [time][slice]; None where one was lost."""
        arrived = {frame.cell: frame for one in self.sent for frame in one.frames}
        return [
            [
                [arrived.get((volume.number, t, k)) for k in range(volume.slices)]
                for t in range(len(volume.parts))
            ]
            for volume in self.volumes
        ]
