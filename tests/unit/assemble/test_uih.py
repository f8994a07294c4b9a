"""UIH's GRID: a volume in one image, whose items say where its slices are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from node.assemble.series import plan
from node.assemble.sidecar.sidecar import make_sidecar
from node.core.errors import Reason
from tests.phantom import Phantom, code, decimal, oblique
from tests.unit.assemble.build import header, headers
from tests.unit.assemble.weighted import private

CREATOR = "Image Private Header"


def grid(phantom: Phantom, number: int = 1, items: int | None = None) -> Dataset:
    """All slices in one image, row by row in ceil(sqrt(n)) columns."""
    columns, rows, slices = phantom.size
    across = math.ceil(math.sqrt(slices))
    down = math.ceil(slices / across)
    sheet = np.zeros((down * rows, across * columns), np.uint16)
    frames = []
    for k in range(slices):
        top, left = k // across * rows, k % across * columns
        sheet[top : top + rows, left : left + columns] = code(phantom.positions(k), number)
        frame = Dataset()
        frame.ImagePositionPatient = decimal(phantom.affine[:3] @ [0, 0, k, 1])
        frame.AcquisitionDateTime = f"20180925{120000 + number * 10 + (k * 2 % 5)}.250000"
        frame.AcquisitionDuration = 21.0
        frames.append(frame)
    dataset = phantom.instance(0)
    dataset.SOPInstanceUID = f"{phantom.series}.9.{number}"
    dataset.InstanceNumber = number
    dataset.Manufacturer = "UIH"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "VFRAME"]
    dataset.ScanningSequence = "EP"
    dataset.RepetitionTime = 6000
    dataset.InPlanePhaseEncodingDirection = "ROW"
    dataset.Rows, dataset.Columns = sheet.shape
    dataset.PixelData = sheet.tobytes()
    del dataset.ImagePositionPatient
    private(dataset, 0x65, CREATOR, 0x0D, "SH", "F:2S")
    private(dataset, 0x65, CREATOR, 0x50, "DS", str(slices))
    private(dataset, 0x65, CREATOR, 0x51, "SQ", Sequence(frames[:items]))
    return dataset


PHANTOM = Phantom(rotation=oblique((0.2, -0.1, 0.3)), size=(6, 5, 5))


def test_tiles_lie_where_their_items_say() -> None:
    found = plan(headers([grid(PHANTOM, 1), grid(PHANTOM, 2)]))
    assert not found.refusals
    (volume,) = found.volumes
    assert np.allclose(volume.lps, PHANTOM.affine, atol=1e-6)
    assert volume.shape[3:] == (2,)
    tiles = [piece.frame.tile for piece in volume.grid[0]]
    assert tiles == [(0, 0), (0, 6), (0, 12), (5, 0), (5, 6)]
    assert [row[0].frame.number for row in volume.grid] == [1, 2]


def test_slice_times_and_readout_come_from_the_items() -> None:
    (volume,) = plan(headers([grid(PHANTOM, 1), grid(PHANTOM, 2)])).volumes
    fields = make_sidecar(volume, identifiers=False, software="test")
    assert fields["SliceTiming"] == [0, 2, 4, 1, 3]
    assert fields["TotalReadoutTime"] == 0.021
    assert fields["ParallelReductionFactorInPlane"] == 2
    assert fields["PhaseEncodingAxis"] == "i"


@pytest.mark.parametrize("items", [0, 4])
def test_tiles_without_positions_are_refused(items: int) -> None:
    problem = header(grid(PHANTOM, items=items)).problem
    assert problem is not None
    assert problem.reason == Reason.MOSAIC_UNDECODABLE


def test_a_grid_that_does_not_fill_its_image_is_refused() -> None:
    dataset = grid(PHANTOM)
    dataset[0x00651050].value = "17"
    problem = header(dataset).problem
    assert problem is not None
    assert problem.reason == Reason.MOSAIC_UNDECODABLE
