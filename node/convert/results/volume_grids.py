"""The grids of volumes, from plans and manifests, each source frame compared with the affine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from node.assemble.frames.model import FrameHeader, InstanceHeader
from node.assemble.series import VolumePlan
from node.assemble.space import LPS_TO_RAS, Matrix, to_world
from node.assemble.stacks.geometry import planes_of, residual_limit, stack_affine
from node.convert.results.grid import SourceFrame, SourceGrid, relative_axes, sizes_text
from node.convert.results.options import uid_of
from node.convert.results.refusals import Refusal, ResultError

_ROUNDING_MM: Final = 1e-3
"""mm; what affines in JSON and float32 add to the residual that the volume was made with."""


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
    return relative_axes(affine, LPS_TO_RAS @ lps)


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


def _check(grid: SourceGrid) -> None:
    """See that each corner of each source frame is the corner voxel that it was written to.

    Raises:
        ResultError: `outdated-revision`, as the headers and the volume say different things.
    """
    assert grid.to_source is not None  # noqa: S101
    sizes = [grid.shape[int(axis)] for axis in grid.to_source[:, 0]]
    first = grid.frames[0]
    if sizes != [first.columns, first.rows, len(grid.frames)]:
        pixels = f"{first.columns} x {first.rows} pixels"
        raise _moved(f"{sizes_text(sizes)} voxels, and sources of {pixels}")
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
