"""Slices in space: planes, stacks of planes, and the one affine that fits them (PS3.3 C.7.6.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from node.assemble.frames.model import FrameHeader, Orientation
from node.assemble.space import Matrix
from node.core.errors import AssemblyError, Reason

UNIT_TOLERANCE: Final = 1e-2
"""Largest deviation of a direction's length from 1: four decimals are off by 1e-4, and values that
are no direction by about 1."""
RIGHT_ANGLE_TOLERANCE: Final = 1e-3
"""Largest cosine between row and column; rounding to four decimals makes at most 2e-4."""
SAME_DIRECTION: Final = 1e-3
"""Largest difference of any cosine within one stack: 0.06 degrees, 0.1 mm at 100 mm."""
SAME_POSITION_MM: Final = 1e-2
"""mm along the normal; slices that are nearer lie at one position. Decimal strings of one position
are rounded to 1e-2 at worst."""
_SAME_POSITION_SLICES: Final = 0.2
"""The same as a fraction of the stated slice distance, for the thin slices of specimens."""
RESIDUAL_MM: Final = 0.1
"""mm; positions rounded to one decimal are up to 0.05 off, at both ends of the line they define."""
RESIDUAL_SPACINGS: Final = 0.15
"""The same as a fraction of the slice spacing, for spacings below 0.67 mm."""
MOST_NAMED: Final = 40
"""Number of positions that a refusal lists; the first few show what is wrong."""
FINEST: Final = 4
"""Interpolated slices per measured one; more would be mostly invented."""
FINEST_MM: Final = 1e-6
"""mm; no instrument has smaller pixels, and their affine cannot be inverted."""
FARTHEST_MM: Final = 1e6
"""mm; no position is a kilometre from the origin, and no pixel that large."""
_WIDE: Final = 1.2
"""Ratio to the smallest step from which on another step is not a rounding of it."""
DEFAULT_SPACING_MM: Final = 1.0
"""mm; extent of a single slice along its normal where no attribute states one."""

Points = npt.NDArray[np.float64]


class Planes(NamedTuple):
    """The planes of n frames in space, LPS mm (PS3.3 C.7.6.2.1.1).

    Attributes:
        position: (n, 3) centre of the first pixel.
        row: (n, 3) unit vector along a row, the direction of increasing column index.
        column: (n, 3) unit vector along a column.
        spacing: (n, 2) mm between rows, between columns.
        extent: (n, 2) number of rows, of columns.
    """

    position: Points
    row: Points
    column: Points
    spacing: Points
    extent: Points

    def take(self, which: Sequence[int]) -> Planes:
        """Return the planes of some frames, in the order of `which`."""
        index = list(which)
        return Planes(*(values[index] for values in self))

    def normal(self) -> Points:
        """Return (3,) the unit normal of the first frame, row x column, LPS."""
        normal = np.cross(self.row[0], self.column[0])
        return np.asarray(normal / np.linalg.norm(normal))


def check_plane(frame: FrameHeader) -> None:
    """Refuse a frame whose plane in space is absent, incomplete or impossible (PS3.3 C.7.6.2).

    Raises:
        AssemblyError: position, orientation or spacing is absent or impossible.
    """
    if frame.position is None or frame.orientation is None:
        raise AssemblyError(
            Reason.NO_GEOMETRY,
            "Image Position (Patient) (0020,0032) or Image Orientation (Patient) (0020,0037) is "
            f"absent or unreadable, so that the place of the slice is not known. {_SEND_AGAIN}",
        )
    if max(map(abs, frame.position)) > FARTHEST_MM:
        raise AssemblyError(
            Reason.NO_GEOMETRY,
            f"Image Position (Patient) (0020,0032) is impossible: {frame.position} mm. "
            f"{_SEND_AGAIN}",
        )
    if frame.spacing is None or not FINEST_MM <= min(frame.spacing) <= max(frame.spacing) <= (
        FARTHEST_MM
    ):
        found = "absent" if frame.spacing is None else f"impossible: {frame.spacing} mm"
        raise AssemblyError(
            Reason.BAD_PIXEL_SPACING, f"Pixel Spacing (0028,0030) is {found}. {_SEND_AGAIN}"
        )
    _check_directions(frame.orientation)


_SEND_AGAIN: Final = "Send the series again from its original source."


@lru_cache(maxsize=64)
def _check_directions(orientation: Orientation) -> None:
    """Refuse directions that cannot be those of rows and columns; frames of a series share them."""
    row, column = orientation[:3], orientation[3:]
    if max(abs(math.hypot(*row) - 1.0), abs(math.hypot(*column) - 1.0)) > UNIT_TOLERANCE:
        raise AssemblyError(
            Reason.BAD_ORIENTATION,
            f"The directions of Image Orientation (Patient) (0020,0037) are not unit vectors: "
            f"{orientation}. {_SEND_AGAIN}",
        )
    if abs(sum(a * b for a, b in zip(row, column, strict=True))) > RIGHT_ANGLE_TOLERANCE:
        raise AssemblyError(
            Reason.BAD_ORIENTATION,
            "Rows and columns of Image Orientation (Patient) (0020,0037) are not at right angles: "
            f"{orientation}. {_SEND_AGAIN}",
        )


def same_position_mm(frames: Sequence[FrameHeader]) -> float:
    """Return the distance along the normal, mm, up to which two of the frames share a position."""
    pairs = {(frame.thickness, frame.between) for frame in frames}
    stated = [abs(value) for pair in pairs for value in pair if value is not None]
    slices = [_SAME_POSITION_SLICES * value for value in stated if value >= FINEST_MM]
    return min([SAME_POSITION_MM, *slices])


def planes_of(frames: Sequence[FrameHeader]) -> Planes:
    """Return the planes of n frames, which `check_plane` has accepted; LPS mm."""
    orientation = np.array([frame.orientation for frame in frames], np.float64)
    row, column = orientation[:, :3], orientation[:, 3:]
    return Planes(
        position=np.array([frame.position for frame in frames], np.float64),
        row=row / np.linalg.norm(row, axis=1, keepdims=True),
        column=column / np.linalg.norm(column, axis=1, keepdims=True),
        spacing=np.array([frame.spacing for frame in frames], np.float64),
        extent=np.array([(frame.rows, frame.columns) for frame in frames], np.float64),
    )


def stack_affine(planes: Planes, single_mm: float) -> Matrix:
    """Return the affine of a stack of parallel slices, sorted along their normal.

    The slice column is the difference between last and first position over n - 1: it averages the
    rounding of each position, and it keeps the shear of a tilted gantry.

    Args:
        planes: one for each k.
        single_mm: mm along the normal if there is one slice only.

    Returns:
        (4, 4) float64, voxel (column, row, k) -> LPS mm; PS3.3 C.7.6.2.1.1 with a third column.

    Examples:
        Two axial slices of 2 x 3 pixels, 0.5 mm between rows, 0.7 mm between columns, 4 mm apart:

        >>> axial = np.array([[1.0, 0.0, 0.0]] * 2), np.array([[0.0, 1.0, 0.0]] * 2)
        >>> position = np.array([[-10.0, -20.0, 30.0], [-10.0, -20.0, 34.0]])
        >>> spacing, extent = np.array([[0.5, 0.7]] * 2), np.array([[2.0, 3.0]] * 2)
        >>> stack_affine(Planes(position, *axial, spacing, extent), 1.0).tolist()[:3]
        [[0.7, 0.0, 0.0, -10.0], [0.0, 0.5, 0.0, -20.0], [0.0, 0.0, 4.0, 30.0]]
    """
    affine = np.eye(4)
    affine[:3, 0] = planes.row[0] * planes.spacing[0, 1]
    affine[:3, 1] = planes.column[0] * planes.spacing[0, 0]
    affine[:3, 3] = planes.position[0]
    count = len(planes.position)
    if count > 1:
        affine[:3, 2] = (planes.position[-1] - planes.position[0]) / (count - 1)
    else:
        affine[:3, 2] = planes.normal() * single_mm
    return affine


def residuals(planes: Planes, k: Points, affine: Matrix) -> Points:
    """Return how far the corners of each frame lie from where the affine puts them.

    Every frame is measured by its own position, orientation and spacing, at all four corners.

    Args:
        planes: n frames.
        k: (n,) float64, the slice that each frame is in.
        affine: (4, 4) voxel (column, row, k) -> LPS mm.

    Returns:
        (n,) float64, mm, the largest distance of the four corners.
    """
    worst = np.zeros(len(k))
    base = affine[:3, 3] + k[:, None] * affine[:3, 2]
    last = planes.extent - 1.0
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        rows, columns = last[:, :1] * down, last[:, 1:] * right
        own = planes.position + planes.row * (columns * planes.spacing[:, 1:])
        own += planes.column * (rows * planes.spacing[:, :1])
        fitted = base + columns * affine[:3, 0] + rows * affine[:3, 1]
        worst = np.maximum(worst, np.linalg.norm(own - fitted, axis=1))
    return worst


def residual_limit(spacing: float) -> float:
    """Return the largest residual, mm, of a volume with this slice spacing, mm."""
    return min(RESIDUAL_MM, RESIDUAL_SPACINGS * spacing)


def even_places(distances: Points, instances: tuple[str, ...]) -> Points:
    """Return where slices lie on the grid whose step is their smallest step.

    Args:
        distances: (n,) float64, mm along the normal, ascending.
        instances: SOP Instance UIDs for the refusal.

    Returns:
        (n,) float64, in slices of that grid, from 0.

    Raises:
        AssemblyError: the smallest step is so small that most slices would be interpolated.

    Examples:
        >>> even_places(np.array([10.0, 12.0, 13.0]), ()).tolist()
        [0.0, 2.0, 3.0]
    """
    places = (distances - distances[0]) / np.diff(distances).min()
    if places[-1] > FINEST * len(distances):
        raise AssemblyError(
            Reason.UNEQUAL_SPACING,
            f"Interpolation to even spacing would make {places[-1] + 1:.0f} slices of "
            f"{len(distances)} measured ones, which is more than {FINEST} times as many. Send the "
            "missing slices, or the groups of slices as series of their own.",
            instances,
        )
    return np.asarray(places)


def is_even(distances: Points) -> bool:
    """Tell whether slices are equally spaced, within `residual_limit`.

    Args:
        distances: (n,) float64, mm along the normal, ascending.

    Examples:
        >>> is_even(np.array([0.0, 3.0, 6.04])), is_even(np.array([0.0, 3.0, 9.0]))
        (True, False)
    """
    if distances.size < 3:
        return True
    mean = float(distances[-1] - distances[0]) / (distances.size - 1)
    offsets = distances - (distances[0] + mean * np.arange(distances.size))
    return bool(np.abs(offsets).max() <= residual_limit(mean))


def check_spacing(
    distances: Points, instances: tuple[str, ...], thickness: Points | None = None
) -> None:
    """Refuse slices that are not equally spaced.

    Args:
        distances: (n,) float64, mm along the normal, ascending.
        instances: SOP Instance UIDs for the refusal.
        thickness: (n,) float64, Slice Thickness (0018,0050), mm, NaN where it is not stated.

    Raises:
        AssemblyError: slices are missing, or the steps differ.
    """
    if is_even(distances):
        return
    steps = np.diff(distances)
    typical = float(np.median(steps))
    shown = ", ".join(f"{value:.3f}" for value in distances[:MOST_NAMED])
    multiples = np.rint(steps / typical)
    whole = np.abs(steps - multiples * typical).max() <= residual_limit(typical) * 2
    if whole and multiples.min() == 1 and not _planned(steps, thickness):
        absent = [
            f"{distances[at] + typical * gap:.3f}"
            for at, multiple in enumerate(multiples.astype(int).tolist())
            for gap in range(1, min(multiple, MOST_NAMED))
        ]
        missing = int(multiples.sum()) - steps.size
        raise AssemblyError(
            Reason.MISSING_SLICE,
            f"Slices missing: {missing}, at {', '.join(absent[:MOST_NAMED])} mm along the "
            f"normal; there are slices every {typical:.3f} mm, at {shown} mm. Send the missing "
            "slices.",
            instances,
        )
    raise AssemblyError(
        Reason.UNEQUAL_SPACING,
        f"Slices are {steps.min():.3f} to {steps.max():.3f} mm apart, at positions {shown} mm "
        "along the normal. Send missing slices, or allow interpolation "
        "(assembly.resample_unequal, `rasnode convert --resample-unequal`).",
        instances,
    )


def _planned(steps: Points, thickness: Points | None) -> bool:
    """Tell whether wider steps are between thicker slices, so that no slice is missing.

    Args:
        steps: (n - 1,) mm from slice to slice.
        thickness: (n,) mm, NaN where it is not stated.
    """
    if thickness is None or np.isnan(thickness).any():
        return False
    thicker = np.maximum(thickness[:-1], thickness[1:])
    wide = steps > _WIDE * steps.min()
    filled = thicker[wide] >= steps[wide] / _WIDE
    return bool(wide.any() and filled.all() and thickness.max() > _WIDE * thickness.min())
