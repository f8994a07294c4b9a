"""The manifest of one volume: which instances it was made from, and how well they fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from node.assemble.series import LeftOut, VolumePlan
from node.assemble.space import is_sheared
from node.assemble.stacks.slice_sorting import Piece
from node.core.errors import AssemblyError

Manifest = dict[str, object]


def make_manifest(
    volume: VolumePlan,
    *,
    proof: Mapping[str, object],
    software: str,
    image: str,
    sha256: str,
    left_out: Sequence[LeftOut],
    refusals: Sequence[AssemblyError],
) -> Manifest:
    """Collect a manifest.

    Args:
        volume: the plan.
        proof: revision, verdict and its evidence.
        software: version of rasnode.
        image: file name of the NIfTI.
        sha256: of that file, hexadecimal.
        left_out: instances of the series that are in no volume, for harmless reasons.
        refusals: the refusals of other frames of the series.
    """
    header = volume.first.header
    left = [*volume.left_out, *left_out]
    return {
        "series_instance_uid": header.series_instance_uid,
        "study_instance_uid": header.study_instance_uid,
        "frame_of_reference_uid": header.frame_of_reference_uid,
        **proof,
        "rasnode": software,
        "image": image,
        "sha256": sha256,
        "orientation": "RAS",
        "shape": list(volume.shape),
        "affine": volume.affine.tolist(),
        "residual_mm": volume.residual_mm,
        "fourth_axis": volume.defined_by or None,
        "sheared": is_sheared(volume.affine),
        "resampled": list(volume.resampled),
        "slice_axis": "ijk"[slice_axis(volume)],
        "voxel_to_source": voxel_to_source(volume),
        "sources": _sources(volume),
        "left_out": [
            {"sop_instance_uid": item.sop_instance_uid, "reason": item.reason} for item in left
        ],
        "refused": [
            {
                "reason": str(error.reason),
                "sentence": error.sentence,
                "instances": list(error.instances),
            }
            for error in refusals
        ],
    }


def slice_axis(volume: VolumePlan) -> int:
    """Return the axis of the array as written that runs over the slices: 0, 1 or 2."""
    return int(volume.orientation[2, 0])


def voxel_to_source(volume: VolumePlan) -> list[list[float]]:
    """Return (4, 4) voxel (i, j, k) as written -> (column, row, k of the stack) of the source."""
    mapped = np.linalg.inv(volume.affine)
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    result = np.linalg.inv(volume.lps) @ flip @ np.linalg.inv(mapped)
    return [[round(value, 6) + 0.0 for value in row] for row in result.tolist()]


def _sources(volume: VolumePlan) -> list[dict[str, object]]:
    """Return the source of every slice; k counts along the slice axis of the array as written.

    If slices were interpolated, a source may lie between two of them: k is then not a whole number.
    """
    count = len(volume.grid[0])
    places: Sequence[float] = volume.places or range(count)
    order = list(range(count))
    if volume.orientation[2, 1] < 0:
        last = volume.shape[slice_axis(volume)] - 1
        places, order = [last - place for place in places], order[::-1]
    return [
        {"k": places[k], "t": t, "sop_instance_uid": row[k].uid} | _frame(row[k])
        for t, row in enumerate(volume.grid)
        for k in order
    ]


def _frame(piece: Piece) -> dict[str, object]:
    pixels = piece.header.pixels
    found: dict[str, object] = {}
    if pixels is not None and pixels.frames > 1:
        found["frame"] = piece.frame.index + 1
    if piece.frame.tile is not None:
        found["tile"] = list(piece.frame.tile)
    return found
