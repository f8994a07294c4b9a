"""Real data of many vendors: right as dcm2niix is, or refused by name."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from node.assemble.series import plan
from node.assemble.sidecar import repetition_time
from node.convert import convert_series, read_folder
from node.errors import Reason
from tests.reference import dcm2niix, judged
from tests.running import shared

pytestmark = pytest.mark.acceptance


class Expected(NamedTuple):
    """What a folder of the corpus gives.

    Attributes:
        passing: volumes that are as dcm2niix has them: voxels, affine, order and TR.
        differing: volumes that the header's own geometry makes otherwise.
        refused: reasons of refusals.
        otherwise_timed: of those passing, with another interval between volumes.
    """

    passing: int
    differing: int = 0
    refused: frozenset[Reason] = frozenset()
    otherwise_timed: int = 0


FOLDERS = {
    "ge-siemens-epi": Expected(8),
    "ge-multiphase-dwi": Expected(4, otherwise_timed=1),  # its pause, 0.35 s, is in the interval
    "philips-classic": Expected(1, differing=1),  # the trace alone, not with all volumes again
    "compressed": Expected(5),
    "transfer-syntaxes": Expected(9),
    "twelve-bit": Expected(3),
    "siemens-mosaic-orientation": Expected(21),
    "siemens-xa": Expected(8, refused=frozenset({Reason.NOT_AN_IMAGE})),
    "enhanced-multiframe": Expected(2, differing=1),  # Real World Value Slope, exactly
    "uih-dti": Expected(1),
    "ct-gantry-tilt-ge": Expected(0, differing=2),  # two steps of slices, both exact with shear
    "not-a-volume": Expected(
        3, differing=1, refused=frozenset({Reason.MISSING_SLICE, Reason.AMBIGUOUS_ORDER})
    ),
    "pydicom-data": Expected(
        6,
        refused=frozenset(
            {
                Reason.AMBIGUOUS_ORDER,
                Reason.DUPLICATE_POSITION,
                Reason.MISSING_REFERENCE,  # segmentations without their series
                Reason.NO_GEOMETRY,
            }
        ),
    ),
}


@pytest.mark.parametrize("folder", FOLDERS)
def test_right_or_refused(folder: str, tmp_path: Path) -> None:
    source, expected = shared(f"corpus/{folder}"), FOLDERS[folder]
    refused: set[Reason] = set()
    written = 0
    (tmp_path / "out").mkdir()
    for series in read_folder([source])[0]:
        found = convert_series(series.instances, tmp_path / "out", series.uid or "unnamed")
        refused |= {error.reason for error in found.refusals}
        written += len(found.products)
    assert refused == expected.refused
    assert written == expected.passing + expected.differing
    if not expected.passing:
        return
    report = judged(dcm2niix(source, tmp_path / "reference"), tmp_path / "out")
    passed = [pair for pair in report["pairs"] if pair["passed"]]
    assert len(passed) == expected.passing, report
    for pair in passed:
        assert pair["checks"]["order"] is not False
        assert pair["checks"]["bval"] is not False
        assert pair["checks"]["bvec"] is not False
    wrong = [pair for pair in passed if pair["checks"]["tr"] is False]
    assert len(wrong) == expected.otherwise_timed


def test_the_interval_between_multi_phase_volumes_is_that_of_their_trigger_times() -> None:
    source = shared("corpus/ge-multiphase-dwi/SliceTimingMPh/3_fMRI_Multiphase_Des_0.35Delay")
    (series,) = read_folder([source])[0]
    (volume,) = plan([instance.header for instance in series.instances]).volumes
    starts = [row[-1].frame.trigger_time or 0.0 for row in volume.grid]
    steps = {b - a for a, b in pairwise(starts)}
    assert steps == {1350.0}
    assert repetition_time(volume) == 1.35
