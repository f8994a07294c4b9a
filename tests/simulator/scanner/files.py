"""Some worlds as files: every voxel that comes out is held against what was put in."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

import nibabel as nib
import numpy as np

from node.assemble.series import SeriesPlan
from node.assemble.space import LPS_TO_RAS
from node.assemble.volumes.nifti import scaled_image
from node.convert import OutputOptions, Volume, read_folder
from node.convert.planning import plan_series
from node.convert.volume import read_volume
from node.core.errors import AssemblyError
from tests.simulator.scanner.encoding import part10
from tests.simulator.scanner.judge import judge
from tests.simulator.scanner.truth import Frame, World
from tests.simulator.scanner.writing import instance_bytes, number_of, sop_class

_OFF: Final = 0.45
"""Voxels; a true place may lie so far from the middle of its voxel."""


def convert(world: World) -> tuple[SeriesPlan, list[str]]:
    """Write a world, read it as `rasnode convert` does; return the plan and what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        for place, one in enumerate(world.sent):
            body = instance_bytes(world, one, full=True)
            path = Path(folder) / f"{place:04d}.dcm"
            path.write_bytes(part10(sop_class(world), one.uid, body))
        series, strangers = read_folder([Path(folder)])
        assert not strangers
        (only,) = series
        planned, read = plan_series(only.instances, OutputOptions())
        voxels: list[str] = []
        refusals = list(planned.refusals)
        for volume in planned.volumes:
            try:
                voxels += _voxels(world, read_volume(volume, read))
            except AssemblyError as error:
                refusals.append(error)
    planned = replace(planned, refusals=tuple(refusals))
    return planned, judge(world, planned) + voxels


def _voxels(world: World, volume: Volume) -> list[str]:
    """Compare every voxel, found by its true place, with what its frame has there."""
    image: nib.Nifti1Image = scaled_image(volume.stored, volume.header())
    data = np.asanyarray(image.dataobj)
    data = data[..., None] if data.ndim == 3 else data
    inverse = np.linalg.inv(volume.plan.affine)
    frames = {(f.uid, f.index): f for one in world.sent for f in one.frames}
    for t, row in enumerate(volume.plan.grid):
        for piece in row:
            frame = frames[piece.uid, piece.frame.index]
            complaint = _frame(world, frame, data[..., t], inverse)
            if complaint:
                return [complaint]
    return []


def _frame(world: World, frame: Frame, data: np.ndarray, inverse: np.ndarray) -> str:
    grid = world.volumes[frame.volume].grid
    rows, columns = grid.size
    for row in range(rows):
        for column in range(columns):
            place = LPS_TO_RAS @ np.array([*grid.at(column, row, frame.slice), 1.0])
            voxel = (inverse @ place)[:3]
            nearest = np.rint(voxel).astype(int)
            if np.abs(voxel - nearest).max() > _OFF or (nearest < 0).any():
                return f"voxels: {frame.cell} lies between voxels, at {voxel}"
            if (nearest >= data.shape).any():
                return f"voxels: {frame.cell} lies outside, at {voxel}"
            expected = (64 * number_of(world, frame) + 8 * row + column) * frame.slope
            found = float(data[tuple(nearest)])
            if abs(found - expected) > 1e-3 + 1e-4 * abs(expected):
                return f"voxels: {frame.cell} is {found} where {expected} was put"
    return ""
