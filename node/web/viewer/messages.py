"""What the web server asks the viewer's process, and what that answers."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from node.core.errors import Permanent, Retryable

OPPOSITE: Final = dict(zip("RLAPSI", "LRPAIS", strict=True))


class NotViewable(Permanent):
    """The viewer cannot show a volume or slice; the sentence says why."""


class NotNow(Retryable):
    """The viewer cannot answer at present; the sentence says why."""


class Geometry(msgspec.Struct, frozen=True):
    """What a NIfTI file says about its voxels.

    Attributes:
        shape: voxels along i, j, k and t.
        stored: type of the stored values in the file, as numpy names it; `rgb` for colour.
        affine: (4, 4) voxel (i, j, k) -> RAS mm.
        slope, intercept: value = stored * slope + intercept.
        spacing: mm along i, j, k.
        repetition: seconds from one t to the next; 0 if it is unknown.
        letters: the direction in which i, j and k increase, the nearest of R L A P S I.
        oblique: the largest angle between an axis and its letter's direction, degrees.
        window: the values to draw black and white at first, found in the first volume.
    """

    shape: tuple[int, int, int, int]
    stored: str
    affine: list[list[float]]
    slope: float
    intercept: float
    spacing: tuple[float, float, float]
    repetition: float
    letters: tuple[str, str, str]
    oblique: float
    window: tuple[float, float] = (0.0, 1.0)

    @property
    def is_colour(self) -> bool:
        """Whether every voxel has a red, a green and a blue value."""
        return self.stored == "rgb"

    def edges(self, axis: int) -> dict[str, str]:
        """The letters at the four edges of the pictures across an axis."""
        across, up = plane_axes(axis)
        return {
            "left": self.letters[across],
            "right": OPPOSITE[self.letters[across]],
            "top": self.letters[up],
            "bottom": OPPOSITE[self.letters[up]],
        }


def plane_axes(axis: int) -> tuple[int, int]:
    """The axes of the volume that a picture across `axis` shows: horizontal and vertical."""
    return ((1, 2), (0, 2), (0, 1))[axis]


class Asked(msgspec.Struct, frozen=True):
    """One question about a volume.

    Attributes:
        path: of the NIfTI file.
        want: its geometry, a slice as PNG, the stored values of a slice, or one voxel.
        axis: across the slice: 0 (i), 1 (j) or 2 (k).
        index: of the slice on this axis.
        time: index t.
        low, high: values that a PNG draws black and white.
        voxel: i, j, k.
        packed: compress the stored values with gzip.
    """

    path: str
    want: Literal["geometry", "png", "values", "voxel"]
    axis: int = 2
    index: int = 0
    time: int = 0
    low: float = 0.0
    high: float = 1.0
    voxel: tuple[int, int, int] = (0, 0, 0)
    packed: bool = False


class Answered(msgspec.Struct, frozen=True):
    """One answer; the bytes of a slice follow it.

    Attributes:
        outcome: `done`; `not-viewable` and `not-now` have a sentence.
        size: number of the bytes that follow.
        geometry: of the volume.
        values: of the voxel: one, or three for colour; None stands for what is not a number.
    """

    outcome: Literal["done", "not-viewable", "not-now"] = "done"
    sentence: str = ""
    size: int = 0
    geometry: Geometry | None = None
    values: list[float | None] = []

    def checked(self) -> Answered:
        """This answer.

        Raises:
            NotViewable, NotNow: it is a refusal.
        """
        if self.outcome == "not-viewable":
            raise NotViewable(self.sentence)
        if self.outcome == "not-now":
            raise NotNow(self.sentence)
        return self
