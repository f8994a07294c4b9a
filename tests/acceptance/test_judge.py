"""Real data of many vendors: right as dcm2niix is, or refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from node.assemble.order.volume_times import times_of
from node.assemble.series import plan
from node.convert import convert_series, read_folder
from node.core.errors import Reason
from tests.reference import CORE_FIELDS, dcm2niix, judged
from tests.running import shared

pytestmark = pytest.mark.acceptance


AGREEING = 0.98
"""Part of dcm2niix's core fields that have to be there and equal; 0.994 when last measured."""
MOST_FIELDS = 1700
"""Fields that the corpus has at least, so that pairing nothing is no success."""


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
    "ge-multiphase-dwi": Expected(
        4, otherwise_timed=2
    ),  # pauses, 0.35 and 1 s, are in the interval
    "philips-classic": Expected(1, differing=1),  # the trace alone, not with all volumes again
    "compressed": Expected(5),
    "transfer-syntaxes": Expected(9),
    "twelve-bit": Expected(3),
    "siemens-mosaic-orientation": Expected(21),
    "siemens-xa": Expected(8, refused=frozenset({Reason.NOT_AN_IMAGE})),
    "enhanced-multiframe": Expected(2, differing=1),  # Real World Value Slope, exactly
    "uih-dti": Expected(1, otherwise_timed=1),  # two averages: measured, two repetitions
    "ct-gantry-tilt-ge": Expected(0, differing=2),  # two steps of slices, both exact with shear
    "not-a-volume": Expected(
        3, differing=1, refused=frozenset({Reason.MISSING_SLICE, Reason.AMBIGUOUS_ORDER})
    ),
    "pydicom-data": Expected(
        10,
        differing=4,  # label maps of segmentations without their series
        refused=frozenset(
            {
                Reason.AMBIGUOUS_ORDER,
                Reason.DUPLICATE_POSITION,
                Reason.NO_GEOMETRY,
            }
        ),
    ),
}


class Converted(NamedTuple):
    """What became of a folder, and what the judge says of it against `reference`."""

    refused: frozenset[Reason]
    written: int
    report: dict[str, Any]
    reference: Path


@pytest.fixture(scope="module")
def conversions(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Converted]:
    """Converts a folder of the corpus, each one once."""

    @cache
    def converted(folder: str) -> Converted:
        source, target = shared(f"corpus/{folder}"), tmp_path_factory.mktemp("judge")
        refused: set[Reason] = set()
        written = 0
        (target / "out").mkdir()
        for series in read_folder([source])[0]:
            found = convert_series(series.instances, target / "out", series.uid or "unnamed")
            refused |= {error.reason for error in found.refusals}
            written += len(found.products)
        reference = dcm2niix(source, target / "reference")
        report = judged(reference, target / "out")
        return Converted(frozenset(refused), written, report, reference)

    return converted


@pytest.mark.parametrize("folder", FOLDERS)
def test_right_or_refused(folder: str, conversions: Callable[[str], Converted]) -> None:
    expected, found = FOLDERS[folder], conversions(folder)
    assert found.refused == expected.refused
    assert found.written == expected.passing + expected.differing
    report = found.report
    passed = [pair for pair in report["pairs"] if pair["passed"]]
    assert len(passed) == expected.passing, report
    for pair in passed:
        assert pair["checks"]["order"] is not False
        assert pair["checks"]["bval"] is not False
        assert pair["checks"]["bvec"] is not False
    wrong = [pair for pair in passed if pair["checks"]["tr"] is False]
    assert len(wrong) == expected.otherwise_timed


def test_core_fields_of_sidecars_agree(conversions: Callable[[str], Converted]) -> None:
    """Of all fields that dcm2niix gives for the same volumes, on the axes of the arrays."""
    given = lost = 0
    for folder in FOLDERS:
        found = conversions(folder)
        for pair in found.report["pairs"]:
            if pair.get("json"):
                sidecar = (found.reference / pair["ref"]).with_suffix(".json")
                given += len(CORE_FIELDS & json.loads(sidecar.read_text()).keys())
                lost += len(pair["json"]["core_missing"]) + len(pair["json"]["core_differ"])
    assert given > MOST_FIELDS
    assert 1 - lost / given >= AGREEING, f"{lost} of {given} fields lack or differ"


def test_the_interval_between_multi_phase_volumes_is_that_of_their_trigger_times() -> None:
    source = shared("corpus/ge-multiphase-dwi/SliceTimingMPh/3_fMRI_Multiphase_Des_0.35Delay")
    (series,) = read_folder([source])[0]
    (volume,) = plan([instance.header for instance in series.instances]).volumes
    starts = [row[-1].frame.trigger_time or 0.0 for row in volume.grid]
    steps = {b - a for a, b in pairwise(starts)}
    assert steps == {1350.0}
    assert times_of(volume).interval == 1.35
