"""The mathematics of space, for programs that use rasnode: LPS and RAS, voxels and millimetres.

Points of 3D Slicer are read and written here, too: `.mrk.json` and `.fcsv`.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Final

from node.assemble.markups import (
    Markup,
    Point,
    fcsv_of_markup,
    json_of_markups,
    markup_of_fcsv,
    markups_of_json,
    points_array,
)
from node.assemble.planes import SliceMatrix, slice_matrix
from node.assemble.resampling import resample
from node.assemble.space import (
    GRID_TOLERANCE,
    LPS_TO_RAS,
    canonical_affine,
    canonical_orientation,
    is_sheared,
    lps_to_ras,
    orthogonal_grid,
    ras_to_lps,
    respaced_grid,
    to_voxel,
    to_world,
    voxel_map,
    voxel_sizes,
)
from node.core.errors import AssemblyError, Reason

__all__ = [
    "GRID_TOLERANCE",
    "LPS_TO_RAS",
    "Markup",
    "Point",
    "SliceMatrix",
    "canonical_affine",
    "canonical_orientation",
    "is_sheared",
    "lps_to_ras",
    "orthogonal_grid",
    "points_array",
    "ras_to_lps",
    "read_points",
    "resample",
    "respaced_grid",
    "slice_matrix",
    "to_voxel",
    "to_world",
    "voxel_map",
    "voxel_sizes",
    "write_points",
]

MARKUPS: Final = ".mrk.json"
FIDUCIALS: Final = ".fcsv"
MOST_BYTES: Final = 64 << 20
"""Of a file of points."""


def read_points(path: str | PathLike[str], system: str | None = None) -> tuple[Markup, ...]:
    """Read the points of a file of 3D Slicer; what it says of LPS and RAS counts.

    Args:
        path: `.mrk.json` or `.fcsv`.
        system: `LPS` or `RAS`, for a `.fcsv` that does not say it.

    Returns:
        its lists; points are mm in LPS.

    Raises:
        FileNotFoundError: it is not there.
        AssemblyError: `points-unreadable`.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(errno.ENOENT, "There is no such file", str(path))
    if file.stat().st_size > MOST_BYTES:
        raise _unreadable(f"{file.name} is larger than {MOST_BYTES} bytes")
    text = file.read_bytes().decode("utf-8-sig", "replace")
    if file.name.endswith(MARKUPS):
        return markups_of_json(text)
    if file.name.endswith(FIDUCIALS):
        return (markup_of_fcsv(text, system),)
    raise _unreadable(f"{file.name} should end in {MARKUPS} or {FIDUCIALS}")


def write_points(path: str | PathLike[str], markups: Sequence[Markup], system: str = "LPS") -> None:
    """Write points for 3D Slicer; the file says whether they are LPS or RAS.

    Args:
        path: `.mrk.json`, or `.fcsv` for one list of points.
        markups: lists of points in LPS, mm.
        system: `LPS` or `RAS`, in which they are written.

    Raises:
        AssemblyError: `points-unreadable`: the file has another ending, or cannot hold them.
        OSError: it cannot be written.
    """
    file = Path(path)
    if file.name.endswith(MARKUPS):
        text = json_of_markups(markups, system)
    elif file.name.endswith(FIDUCIALS) and len(markups) == 1:
        text = fcsv_of_markup(markups[0], system)
    else:
        raise _unreadable(f"{file.name} should end in {MARKUPS}, or in {FIDUCIALS} for one list")
    file.write_text(text, "utf-8")


def _unreadable(why: str) -> AssemblyError:
    return AssemblyError(Reason.POINTS_UNREADABLE, f"{why}.")
