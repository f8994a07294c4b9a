"""What is no volume, or only looks like none: every folder right, or refused by the right name."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from node.assemble.series import SeriesPlan, plan
from node.assemble.space import is_sheared
from node.convert import read_folder
from node.core.errors import Reason
from tests.running import shared

pytestmark = pytest.mark.acceptance


class Outcome(NamedTuple):
    """What a folder is: shapes of its volumes, which are sheared, words of its refusals."""

    shapes: tuple[tuple[int, ...], ...] = ()
    sheared: bool = False
    refused: tuple[Reason, ...] = ()
    says: str = ""


FOLDERS = {
    "not-a-volume/gantrytilting": Outcome(((512, 512, 4),), sheared=True),
    # four monitoring slices of a bolus at one place, all of one second: Acquisition Numbers fall
    # where Instance Numbers rise
    "not-a-volume/notavolume": Outcome(refused=(Reason.AMBIGUOUS_ORDER,), says="no time decides"),
    "not-a-volume/slicecount": Outcome(((2, 256, 256),)),
    "not-a-volume/sliceincrement/001": Outcome(
        refused=(Reason.MISSING_SLICE,), says="missing: 1, at 33.107 mm"
    ),
    "not-a-volume/sliceincrement/002": Outcome(
        refused=(Reason.MISSING_SLICE,), says="missing: 1, at -133.000 mm"
    ),
    "not-a-volume/sliceorientation": Outcome(((2, 288, 288), (288, 288, 2))),
    # tilt, and two steps between slices, which Image Type parts
    "ct-gantry-tilt-ge": Outcome(((512, 512, 14), (512, 512, 14)), sheared=True),
}


def planned(folder: Path) -> SeriesPlan:
    (series,) = read_folder([folder])[0]
    return plan([one.header for one in series.instances])


@pytest.mark.parametrize("folder", FOLDERS)
def test_right_or_refused_by_name(folder: str) -> None:
    expected, found = FOLDERS[folder], planned(shared(f"corpus/{folder}"))
    assert tuple(volume.shape for volume in found.volumes) == expected.shapes
    assert tuple(error.reason for error in found.refusals) == expected.refused
    assert expected.says in " ".join(error.sentence for error in found.refusals)
    for volume in found.volumes:
        assert is_sheared(volume.affine) == expected.sheared
        assert volume.residual_mm < 1e-3


def test_each_slice_of_a_tilted_gantry_is_where_its_header_puts_it() -> None:
    """PS3.3 C.7.6.2.1.1, slice by slice: what dcm2niix's affine and resampled volume miss."""
    for folder in ("not-a-volume/gantrytilting", "ct-gantry-tilt-ge"):
        for volume in planned(shared(f"corpus/{folder}")).volumes:
            for k, piece in enumerate(volume.grid[0]):
                placed = (volume.lps @ [0, 0, k, 1])[:3].tolist()
                assert piece.frame.position == pytest.approx(placed, abs=1e-3)
