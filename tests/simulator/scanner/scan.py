"""A series before anything of it is written: what is measured, where and when."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from tests.simulator.scanner.truth import Grid, Said


@dataclass
class Scan:
    """A series before anything of it is written.

    Attributes:
        kind: a name for people.
        axis: what the fourth axis is: "none", "time", "cardiac" or "set".
        parts: [volume][time] what a time may be parted by.
        said: [volume][time] attributes that all slices of a time have.
        starts: s; when each time begins.
        slices: of each volume.
        grids: of each volume.
        concurrent: volumes are measured at the same time, not one after the other.
        slicewise: all times of a slice are measured before the next slice.
        partitioned: attributes of `said` alone tell the times of a volume apart.
        stated: whether headers can say what belongs together; some series no reader can be sure of.
        cycle: s; the heart's or the breath's, of each slice.
        beds: of each slice.
        acquired_as: the number of the acquisition that each volume is, where that is known.
    """

    kind: str
    axis: str
    parts: list[list[Hashable]]
    said: list[list[Said]]
    starts: list[float]
    slices: list[int]
    grids: list[Grid]
    concurrent: bool = True
    slicewise: bool = False
    partitioned: bool = False
    stated: bool = True
    cycle: list[float] = field(default_factory=list)
    beds: list[int] = field(default_factory=list)
    acquired_as: list[int] = field(default_factory=list)

    @property
    def times(self) -> int:
        """The length of the fourth axis."""
        return len(self.starts)

    @property
    def ordered(self) -> bool:
        """Whether the fourth axis has an order."""
        return self.axis != "set"

    @property
    def by_part(self) -> bool:
        """Whether all times of one part may come before those of the next."""
        return self.kind == "label and control"
