"""Source series whose geometry is known, their grids, and results looked at by equations alone.

Nothing here reads a result with the node's own reader: a frame's pixels are placed by Image
Position, Image Orientation and Pixel Spacing (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.assemble.series import VolumePlan, plan
from node.assemble.space import LPS_TO_RAS
from node.convert.results import SourceGrid, grid_of_plan
from node.lifecycle.results.kept import encode
from tests.phantom import Phantom
from tests.unit.assemble.build import header

Points = npt.NDArray[np.float64]


def plan_of(phantom: Phantom) -> VolumePlan:
    """The one volume of a phantom."""
    (volume,) = plan([header(one) for one in phantom.instances()]).volumes
    return volume


def grid_of(phantom: Phantom) -> SourceGrid:
    """The grid of a phantom's volume."""
    return grid_of_plan(plan_of(phantom))


def voxels(grid: SourceGrid, points: Points) -> set[tuple[int, ...]]:
    """The voxels that points in RAS mm are the centres of."""
    exact = (points - grid.affine[:3, 3]) @ np.linalg.inv(grid.affine[:3, :3]).T
    nearest = np.rint(exact)
    assert len(points) == 0 or np.abs(exact - nearest).max() < 0.02
    return {tuple(one) for one in nearest.astype(int).tolist()}


def where(mask: npt.NDArray[Any]) -> set[tuple[int, ...]]:
    """The voxels of a mask."""
    return {tuple(one) for one in np.argwhere(mask).tolist()}


def reread(result: Dataset) -> Dataset:
    """A result as whoever receives it reads it."""
    return dcmread(BytesIO(encode(result)))


def frame_points(result: Dataset, number: int, inside: npt.NDArray[np.bool_]) -> Points:
    """(n, 3) RAS mm of some pixels of a frame, by the equation of PS3.3 C.7.6.2.1.1."""
    if "PerFrameFunctionalGroupsSequence" in result:
        group = result.PerFrameFunctionalGroupsSequence[number]
        shared = result.SharedFunctionalGroupsSequence[0]
        position = group.PlanePositionSequence[0].ImagePositionPatient
        orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
        spacing = shared.PixelMeasuresSequence[0].PixelSpacing
    else:
        position, orientation = result.ImagePositionPatient, result.ImageOrientationPatient
        spacing = result.PixelSpacing
    row, column = np.array(orientation[:3], float), np.array(orientation[3:], float)
    down, right = np.nonzero(inside)
    lps = np.array(position, float) + right[:, None] * row * spacing[1]
    lps = lps + down[:, None] * column * spacing[0]
    return np.asarray(lps @ LPS_TO_RAS[:3, :3].T)
