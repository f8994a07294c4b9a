"""From a volume's voxels to the pixels of its source frames, by affines, each frame checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from nibabel.orientations import apply_orientation, io_orientation

from node.assemble.frames.model import FrameHeader, InstanceHeader
from node.assemble.resampling import resample
from node.assemble.series import VolumePlan
from node.assemble.space import LPS_TO_RAS, Array, Matrix, to_voxel, to_world
from node.assemble.stacks.geometry import planes_of, residual_limit, stack_affine
from node.convert.memory import check_room
from node.convert.results.options import uid_of
from node.convert.results.refusals import Refusal, ResultError

GRID_MM: Final = 0.1
"""mm; how far a corner of an image may lie from that of the volume. Tools that write affines in
float32, or as quaternions, are off by a thousandth of that."""
GRID_VOXELS: Final = 0.1
"""The same in voxels, for small ones."""
_ROUNDING_MM: Final = 1e-3
"""mm; what affines in JSON and float32 add to the residual that the volume was made with."""


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
        orientation = _relative(self.affine, affine)
        written = [0, 0, 0]
        for axis in range(3):
            written[int(orientation[axis, 0])] = int(shape[axis])
        apart, voxels = self._corners_apart(affine, shape, orientation)
        if tuple(written) != self.shape:
            raise GridMismatch(
                apart,
                f"The image has {_by(shape)} voxels, the volume {_by(self.shape)}; its corners "
                f"lie up to {apart:.2f} mm away. {_ADVICE}",
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


def grid_of_plan(plan: VolumePlan) -> SourceGrid:
    """Return the grid of a volume that was assembled from headers.

    Args:
        plan: with its `grid` of source frames.

    Raises:
        ResultError: its source frames do not lie where its affine says.
    """
    header = plan.first.header
    found = [_frame(piece.header, piece.frame) for piece in plan.grid[0]]
    return _grid(plan.shape, plan.affine, found, header, plan.resampled)


Find = Callable[[str, int, tuple[int, int] | None], tuple[InstanceHeader, FrameHeader] | None]
"""SOP Instance UID, frame from 1, and tile of a source to its headers; None: it is not there."""


def grid_of_manifest(manifest: Mapping[str, Any], find: Find) -> SourceGrid:
    """Return the grid of a volume by its manifest.

    Args:
        manifest: what `.manifest.json` beside the volume says.
        find: returns the headers of a source frame.

    Raises:
        ResultError: `outdated-revision`, if a source is not there, or does not lie where the
            manifest has it.
    """
    found: list[SourceFrame] = []
    header = None
    for source in manifest.get("sources", ()):
        if source.get("t", 0) != 0:
            continue
        uid, number = source["sop_instance_uid"], source.get("frame", 1)
        tile = source.get("tile")
        headers = find(uid, number, (tile[0], tile[1]) if tile else None)
        if headers is None:
            raise ResultError(
                Refusal.OUTDATED_REVISION,
                f"SOP Instance {uid}, of which a slice was made, is not in the archive any more.",
            )
        header = headers[0]
        found.append(_frame(*headers))
    if header is None or not found or found[0].spacing is None:
        raise ResultError(
            Refusal.UNREADABLE_SOURCE, "The manifest names no source slices with a place in space."
        )
    affine = np.asarray(manifest["affine"], np.float64)
    return _grid(manifest["shape"], affine, found, header, tuple(manifest.get("resampled", ())))


def finder(headers: Iterable[InstanceHeader]) -> Find:
    """Return a look-up of frames among the headers of some instances.

    Args:
        headers: of the series' instances.
    """
    frames = {
        (header.sop_instance_uid, frame.index + 1, frame.tile): (header, frame)
        for header in headers
        for frame in header.frames
    }
    return lambda uid, number, tile: frames.get((uid, number, tile))


def _frame(header: InstanceHeader, frame: FrameHeader) -> SourceFrame:
    if frame.position is None or frame.orientation is None or frame.spacing is None:
        raise ResultError(
            Refusal.OUTDATED_REVISION,
            f"SOP Instance {header.sop_instance_uid}, of which a slice was made, has no place in "
            "space any more.",
        )
    several = header.pixels is not None and header.pixels.frames > 1
    return SourceFrame(
        header.sop_class_uid,
        header.sop_instance_uid,
        frame.index + 1 if several else None,
        frame.tile,
        frame.position,
        frame.orientation,
        frame.spacing,
        frame.rows,
        frame.columns,
        frame.thickness,
        frame.window,
    )


def _grid(
    shape: Sequence[int],
    affine: Matrix,
    frames: Iterable[SourceFrame],
    header: InstanceHeader,
    resampled: tuple[str, ...],
) -> SourceGrid:
    found = list(frames)
    normal = found[0].lps[:3, 2]
    found.sort(key=lambda frame: float(np.array(frame.position) @ normal))
    i, j, k = (int(size) for size in shape[:3])
    grid = SourceGrid(
        (i, j, k),
        affine,
        tuple(found),
        None if resampled else _to_source(affine, found),
        header.series_instance_uid,
        header.study_instance_uid,
        header.frame_of_reference_uid or uid_of("frame of reference", header.series_instance_uid),
        resampled,
    )
    if not resampled:
        _check(grid)
    return grid


def _to_source(affine: Matrix, frames: Sequence[SourceFrame]) -> Matrix:
    """Return (3, 2) axes (column, row, slice) of the source -> axes of the volume."""
    headers = [_plane(frame) for frame in frames]
    single = float(np.linalg.norm(affine[:3, :3], axis=0).max())
    lps = stack_affine(planes_of(headers), single)
    return _relative(affine, LPS_TO_RAS @ lps)


def _plane(frame: SourceFrame) -> FrameHeader:
    x, y, z = frame.orientation[:3]
    a, b, c = frame.orientation[3:]
    return FrameHeader(
        index=0,
        rows=frame.rows,
        columns=frame.columns,
        position=frame.position,
        orientation=(x, y, z, a, b, c),
        spacing=frame.spacing,
    )


def _relative(fixed: Matrix, moving: Matrix) -> Matrix:
    """Return (3, 2) for each axis of one grid the axis of another that it is closest to.

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


def _check(grid: SourceGrid) -> None:
    """See that each corner of each source frame is the corner voxel that it was written to.

    Raises:
        ResultError: `outdated-revision`, as the headers and the volume say different things.
    """
    assert grid.to_source is not None  # noqa: S101
    sizes = [grid.shape[int(axis)] for axis in grid.to_source[:, 0]]
    first = grid.frames[0]
    if sizes != [first.columns, first.rows, len(grid.frames)]:
        raise _moved(f"{_by(sizes)} voxels, and sources of {first.columns} x {first.rows} pixels")
    limit = residual_limit(grid.step or 1.0) + _ROUNDING_MM
    for number, frame in enumerate(grid.frames):
        if (frame.rows, frame.columns) != (first.rows, first.columns):
            raise _moved("source slices of several sizes")
        ends = [(c, r, 0) for c in (0, frame.columns - 1) for r in (0, frame.rows - 1)]
        own = to_world(LPS_TO_RAS @ frame.lps, ends)
        voxels = np.zeros((4, 3))
        for axis, (target, sign) in enumerate(grid.to_source):
            values = np.array([(column, row, number)[axis] for column, row, _ in ends])
            voxels[:, int(target)] = values if sign > 0 else sizes[axis] - 1 - values
        apart = float(np.linalg.norm(to_world(grid.affine, voxels) - own, axis=1).max())
        if apart > limit:
            raise _moved(f"a slice that lies {apart:.3f} mm from where the volume has it")


def _moved(what: str) -> ResultError:
    return ResultError(
        Refusal.OUTDATED_REVISION,
        f"The volume and the headers of its source instances do not agree: {what}. "
        "`rasnode retry` makes the volume anew.",
    )


def _by(sizes: Sequence[int]) -> str:
    return " x ".join(str(size) for size in sizes)
