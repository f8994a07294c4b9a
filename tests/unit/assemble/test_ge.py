"""GE's private elements, built as the scanners write them."""

from __future__ import annotations

from struct import pack_into

import pytest
from pydicom.dataset import Dataset

from node.assemble.frames.model import FrameHeader
from node.assemble.vendors.ge.protocol import release_of
from node.dicom import scan
from tests.phantom import Phantom
from tests.unit.assemble.build import data_set, header
from tests.unit.assemble.ge_scans import epi
from tests.unit.assemble.weighted import private

EXPLICIT = "1.2.840.10008.1.2.1"
START = 64


def raw_header(control: int, traversal: int, revision: float = 26.0) -> bytes:
    """User Defined Data with the words that say how phase is encoded."""
    block = bytearray(START + 1000)
    pack_into("<H", block, 24, START)
    pack_into("<f", block, START, revision)
    pack_into("<H", block, START + 124, control)
    pack_into("<H", block, START + 852, traversal)
    return bytes(block)


def frame(dataset: Dataset) -> FrameHeader:
    (only,) = header(dataset).frames
    return only


@pytest.mark.parametrize(
    ("control", "traversal", "sign"),
    [(0, 0, 1), (8, 0, 1), (4, 0, -1), (0, 2, -1), (4, 2, 1), (0, 1, 1), (12, 3, -1)],
)
def test_polarity_from_the_header_of_the_raw_data(control: int, traversal: int, sign: int) -> None:
    dataset = epi(Phantom())[0]
    private(dataset, 0x43, "GEMS_PARM_01", 0x2A, "OB", raw_header(control, traversal))
    assert frame(dataset).phase_polarity == sign


@pytest.mark.parametrize(
    "block",
    [b"", b"\0" * 24, b"\xff" * 26, raw_header(4, 0, revision=14.2), raw_header(0, 0)[:500]],
)
def test_a_raw_header_that_is_not_understood_says_nothing(block: bytes) -> None:
    dataset = epi(Phantom())[0]
    private(dataset, 0x43, "GEMS_PARM_01", 0x2A, "OB", block)
    assert frame(dataset).phase_polarity == 0


def test_the_standards_attribute_wins_over_the_raw_header() -> None:
    dataset = epi(Phantom())[0]
    private(dataset, 0x43, "GEMS_PARM_01", 0x2A, "OB", raw_header(4, 0))
    dataset.RectilinearPhaseEncodeReordering = "REVERSE_LINEAR"
    assert frame(dataset).phase_polarity == 1


@pytest.mark.parametrize(
    ("factors", "options", "total"),
    [
        (["1", "1"], [], 0.063 * 0.5),
        (["0.5", "1"], [], 0.031 * 0.5),
        (["0.666667", "1"], [], 0.043 * 0.5),  # 42.7 lines, in pairs
        (["0.4", "1"], ["PFF"], 0.027 * 0.5),  # 25.6 lines, in fours
    ],
)
def test_readout_counts_lines_in_pairs_or_fours(
    factors: list[str], options: list[str], total: float
) -> None:
    dataset = epi(Phantom(size=(64, 64, 2)), spacing=500)[0]
    dataset.ScanOptions = ["EPI_GEMS", *options]
    private(dataset, 0x43, "GEMS_PARM_01", 0x83, "DS", factors)
    facts = frame(dataset).facts
    assert facts["TotalReadoutTime"] == pytest.approx(total)
    assert facts["ParallelReductionFactorInPlane"] == pytest.approx(1 / float(factors[0]), abs=1e-3)


def test_multiband_and_the_group_delay() -> None:
    dataset = epi(Phantom())[0]
    private(dataset, 0x43, "GEMS_PARM_01", 0xB6, "LO", ["2", "4", "19", "", "", "", ""])
    private(dataset, 0x43, "GEMS_PARM_01", 0x7C, "FL", 0.5)
    facts = frame(dataset).facts
    assert facts["MultibandAccelerationFactor"] == 2
    assert facts["RepetitionTime"] == 2.5


@pytest.mark.parametrize(("number", "kind"), [(0, "magnitude"), (1, "phase"), (2, "real"), (9, "")])
def test_the_kind_of_image(number: int, kind: str) -> None:
    dataset = epi(Phantom())[0]
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    private(dataset, 0x43, "GEMS_PARM_01", 0x2F, "SS", number)
    assert frame(dataset).kind == kind


def test_functional_series_have_no_diffusion_weighting() -> None:
    dataset = epi(Phantom())[0]
    private(dataset, 0x43, "GEMS_PARM_01", 0x39, "IS", [0, 0, 0, 0])
    assert frame(dataset).b_value is None


@pytest.mark.parametrize(
    ("versions", "release"),
    [
        (["27", "LX", "MR Software release:DV26.0_R01_1725.a"], (26, 1)),
        (["28", "LX", "MR29.1_EA_2039.g"], (29, 0)),
        (["28", "LX", "MR Software release:RX27.0_R03_1831.a"], (27, 3)),
        (["unknown"], (0, 0)),
    ],
)
def test_software_release(versions: list[str], release: tuple[int, int]) -> None:
    dataset = Dataset()
    dataset.SoftwareVersions = versions
    assert release_of(scan(data_set(dataset), EXPLICIT).elements) == release
