"""From a volume's voxels to the pixels of its source frames, by affines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from nibabel.orientations import apply_orientation, io_orientation

from node.assemble.resampling import resample
from node.assemble.space import LPS_TO_RAS, Array, Matrix, to_voxel, to_world
from node.convert.memory import check_room
from node.convert.results.refusals import Refusal, ResultError

GRID_MM: Final = 0.1
"""mm; how far a corner of an image may lie from that of the volume. Tools that write affines in
float32, or as quaternions, are off by a thousandth of that."""
GRID_VOXELS: Final = 0.1
"""The same in voxels, for small ones."""


class GridMismatch(ResultError):
    """An image that does not lie on a grid.

    Args:
        apart: how far its corners lie from those of the grid at most, mm.
        sentence: what is wrong.
    """

    def __init__(self, apart: float, sentence: str) -> None:
        super().__init__(Refusal.GRID_MISMATCH, sentence)
        self.apart = apart


class FrameValues(NamedTuple):
    """Values at the pixels of the source frames, where an image was brought there.

    Attributes:
        values: (slice, row, column), in the order of `SourceGrid.frames`.
    """

    values: Array


Voxels = Array | FrameValues
"""(i, j, k) on a volume's grid in RAS order, or what was sampled at its source pixels."""


class SourceFrame(NamedTuple):
    """One source image plane: which frame it is, and where its pixels lie.

    Attributes:
        frame: from 1, of a multi-frame instance; else None.
        tile: (row, column) of its first pixel in the stored frame, for mosaics.
        position: LPS mm, the centre of the first pixel (PS3.3 C.7.6.2.1.1).
        orientation: unit vectors along a row and along a column.
        spacing: mm between rows, between columns.
        rows, columns: size in pixels.
        thickness: Slice Thickness, mm.
        window: Window Center and Width, if the header has one.
    """

    sop_class_uid: str
    sop_instance_uid: str
    frame: int | None
    tile: tuple[int, int] | None
    position: tuple[float, float, float]
    orientation: tuple[float, ...]
    spacing: tuple[float, float]
    rows: int
    columns: int
    thickness: float | None = None
    window: tuple[float, float] | None = None

    @property
    def lps(self) -> Matrix:
        """(4, 4) (column, row, mm along the normal) -> LPS mm."""
        row, column = np.array(self.orientation[:3]), np.array(self.orientation[3:])
        affine = np.eye(4)
        affine[:3, 0] = row * self.spacing[1] / np.linalg.norm(row)
        affine[:3, 1] = column * self.spacing[0] / np.linalg.norm(column)
        normal = np.cross(row, column)
        affine[:3, 2] = normal / np.linalg.norm(normal)
        affine[:3, 3] = self.position
        return affine


@dataclass(frozen=True)
class SourceGrid:
    """The grid of a volume, and the source frames of its slices; of a 4D one those of its first.

    Attributes:
        shape: (i, j, k) of the array as written.
        affine: (4, 4) voxel (i, j, k) -> RAS mm.
        frames: in the order of their places along row x column.
        to_source: (3, 2) axes (column, row, slice) -> axes of the array, and their directions;
            None: the volume was resampled, and its voxels are no source pixels.
        frame_of_reference_uid: of the series; made of its UID where it has none.
        resampled: what was done to its voxels.
    """

    shape: tuple[int, int, int]
    affine: Matrix
    frames: tuple[SourceFrame, ...]
    to_source: Matrix | None
    series_instance_uid: str
    study_instance_uid: str
    frame_of_reference_uid: str
    resampled: tuple[str, ...] = ()

    @property
    def step(self) -> float:
        """The distance of neighbouring slices along their normal, mm; 0 if there is one."""
        if len(self.frames) < 2:
            return 0.0
        normal = self.frames[0].lps[:3, 2]
        first, last = (np.array(self.frames[at].position) for at in (0, -1))
        return float((last - first) @ normal) / (len(self.frames) - 1)

    def slices(self, array: Array) -> Array:
        """Return a view of an array on this grid in the order of the source's pixels.

        Args:
            array: (i, j, k) in RAS order.

        Returns:
            (slice, row, column); a slice is that of the frame with the same number.

        Raises:
            ResultError: `grid-mismatch`, if the volume was resampled.
        """
        if self.to_source is None:
            raise ResultError(
                Refusal.GRID_MISMATCH,
                f"The volume was resampled ({', '.join(self.resampled)}), so that its voxels are "
                "not the source's pixels. --resample brings the image onto the source slices.",
            )
        if array.shape != self.shape:
            raise ResultError(
                Refusal.GRID_MISMATCH, f"Shape {array.shape}, and the volume has {self.shape}."
            )
        view = array.transpose([int(axis) for axis in self.to_source[:, 0]])
        steps = [slice(None, None, -1 if sign < 0 else 1) for sign in self.to_source[:, 1]]
        return view[tuple(steps)].transpose(2, 1, 0)

    def in_slices(self, array: Voxels) -> Array:
        """Return an array in the order of the source's pixels, if it is not so already.

        Args:
            array: (i, j, k) on this grid, or what `sampled` returned.

        Returns:
            (slice, row, column).

        Raises:
            ResultError: as `slices`.
        """
        return array.values if isinstance(array, FrameValues) else self.slices(array)

    def placed(self, array: Array, orientation: Matrix) -> Array:
        """Return an array with the axes of this grid, as a view.

        Args:
            array: (i, j, k) in another axis order.
            orientation: (3, 2) what `fit` returned for it.
        """
        return np.asarray(apply_orientation(array, orientation))

    def fit(self, affine: Matrix, shape: Sequence[int]) -> Matrix:
        """Find how the axes of an image run along those of this grid.

        Args:
            affine: (4, 4) the image's voxel -> RAS mm.
            shape: (i, j, k) of the image.

        Returns:
            (3, 2) axes of the image -> axes of this grid, and their directions.

        Raises:
            GridMismatch: with the distance in mm.
        """
        orientation = relative_axes(self.affine, affine)
        written = [0, 0, 0]
        for axis in range(3):
            written[int(orientation[axis, 0])] = int(shape[axis])
        apart, voxels = self._corners_apart(affine, shape, orientation)
        if tuple(written) != self.shape:
            raise GridMismatch(
                apart,
                f"The image has {sizes_text(shape)} voxels, the volume {sizes_text(self.shape)}; "
                f"its corners lie up to {apart:.2f} mm away. {_ADVICE}",
            )
        if apart > GRID_MM or voxels > GRID_VOXELS:
            raise GridMismatch(
                apart,
                f"The image's corners lie up to {apart:.2f} mm ({voxels:.2f} voxels) from those "
                f"of the volume; at most {GRID_MM} mm and {GRID_VOXELS} voxels would be "
                f"rounding. {_ADVICE}",
            )
        return orientation

    def _corners_apart(
        self, affine: Matrix, shape: Sequence[int], orientation: Matrix
    ) -> tuple[float, float]:
        """Return how far the image's corners lie from ours at most: mm, and voxels."""
        theirs, ours = [], []
        for number in range(8):
            ends = [(number >> axis) & 1 for axis in range(3)]
            theirs.append([end * (size - 1) for end, size in zip(ends, shape, strict=True)])
            corner = [0, 0, 0]
            for axis, end in enumerate(ends):
                target = int(orientation[axis, 0])
                flipped = orientation[axis, 1] < 0
                corner[target] = (self.shape[target] - 1) * (end ^ flipped)
            ours.append(corner)
        points = to_world(affine, theirs)
        apart = np.linalg.norm(points - to_world(self.affine, ours), axis=1)
        voxels = np.abs(to_voxel(self.affine, points) - np.array(ours))
        return float(apart.max()), float(voxels.max())

    def sampled(self, array: Array, affine: Matrix, *, order: int) -> FrameValues:
        """Sample an image of another grid at the pixels of the source frames.

        Args:
            array: (i, j, k) of the image.
            affine: (4, 4) its voxel -> RAS mm.
            order: 0 nearest, for labels; 1 linear.

        Returns:
            values in the type of the image; 0 where it does not reach.
        """
        first = self.frames[0]
        size = len(self.frames) * first.rows * first.columns * array.dtype.itemsize
        check_room(size, "The resampled image")
        found = np.empty((len(self.frames), first.rows, first.columns), array.dtype)
        for number, frame in enumerate(self.frames):
            pixel = LPS_TO_RAS @ frame.lps
            plane = (frame.columns, frame.rows, 1)
            found[number] = resample(array, affine, pixel, plane, order=order)[..., 0].T
        return FrameValues(found)


_ADVICE: Final = (
    "Make the image on the volume that the node wrote, or let --resample bring it there."
)


def relative_axes(fixed: Matrix, moving: Matrix) -> Matrix:
    """Return (3, 2) for each axis of one grid the axis of another that it is closest to.

    Args:
        fixed: (4, 4) voxel -> mm of the other grid.
        moving: (4, 4) voxel -> mm of the one grid.

    Raises:
        ResultError: an axis has no length.
    """
    try:
        relative = np.linalg.inv(fixed) @ moving
    except np.linalg.LinAlgError:
        relative = np.zeros((4, 4))
    found = io_orientation(relative) if np.isfinite(relative).all() else np.full((3, 2), np.nan)
    if np.isnan(found).any():
        raise GridMismatch(
            float("inf"), "The image's affine spans no space: an axis has no length."
        )
    return np.asarray(found, np.float64)


def sizes_text(sizes: Sequence[int]) -> str:
    """Return sizes as people write them: 512 x 512 x 300."""
    return " x ".join(str(size) for size in sizes)
