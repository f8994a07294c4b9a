"""Counts are read wherever vendors keep them; on the corpus they are what came."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian

from node.completion.facts import Count
from node.completion.header_counts import announced, concatenation
from node.dicom import Elements, find_data_set, scan
from tests.running import shared


def elements(**values: object) -> Elements:
    data_set = Dataset()
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    return written(data_set)


def written(data_set: Dataset) -> Elements:
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, False
    write_dataset(file, data_set)
    return scan(file.getvalue(), str(ExplicitVRLittleEndian)).elements


PET = "1.2.840.10008.5.1.4.1.1.128"


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({}, {}),
        ({"ImagesInAcquisition": 30}, {"ImagesInAcquisition": 30}),
        ({"ImagesInAcquisition": 0}, {}),
        ({"NumberOfTemporalPositions": 5}, {"NumberOfTemporalPositions": 5}),
        ({"NumberOfSlices": 47}, {}),
        ({"SOPClassUID": PET, "SeriesType": ["STATIC", "IMAGE"], "NumberOfSlices": 47},
         {"NumberOfSlices": 47}),
        ({"SOPClassUID": PET, "SeriesType": ["GATED", "IMAGE"], "NumberOfSlices": 47}, {}),
        ({"SOPClassUID": PET, "SeriesType": ["DYNAMIC", "IMAGE"], "NumberOfSlices": 47}, {}),
        (
            {
                "SOPClassUID": PET,
                "SeriesType": ["DYNAMIC", "IMAGE"],
                "NumberOfSlices": 47,
                "NumberOfTimeSlices": 3,
            },
            {"NumberOfSlices": 47, "NumberOfTimeSlices": 3},
        ),
    ],
)  # fmt: skip
def test_standard_counts(values: dict[str, object], found: dict[str, int]) -> None:
    assert announced(elements(**values)) == found


def test_a_concatenation() -> None:
    assert concatenation(elements(ConcatenationUID="1.2.3")) == "1.2.3"
    assert concatenation(elements()) == ""


MR = "1.2.840.10008.5.1.4.1.1.4"
FLAT = "sSliceArray.lSize = 35", "sKSpace.ucDimension = 0x2"
SLAB = "sSliceArray.lSize\t=\t1", "sKSpace.ucDimension = 4", "sKSpace.lImagesPerSlab = 96"


@pytest.mark.parametrize(
    ("protocol", "kind", "volumes", "slices"),
    [
        (FLAT, "ND", 1, 35),
        (SLAB, "ND", 1, 96),
        ((*FLAT, "lRepetitions = 9", "lContrasts = 1"), "ND", 10, 35),
        ((*FLAT, "lContrasts = 2"), "ND", None, None),
        ((*FLAT, "sPhysioImaging.lPhases = 20"), "ND", None, None),
        ((*FLAT, "sDiffusion.lDiffDirections = 6"), "ND", None, None),
        (("sSliceArray.lSize = 35",), "ND", None, None),
        ((*FLAT, "lRepetitions = 9"), "MOSAIC", 10, None),
        (FLAT, "MOSAIC", None, None),
    ],
)
def test_what_a_siemens_protocol_plans(
    protocol: tuple[str, ...], kind: str, volumes: int | None, slices: int | None
) -> None:
    data_set = Dataset()
    data_set.SOPClassUID, data_set.ImageType = MR, ["ORIGINAL", "PRIMARY", "M", kind]
    lines = ['<ParamLong."lRepetitions"> { 3 }', "### ASCCONV BEGIN ###", *protocol, "### END"]
    block = data_set.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x20, "OB", b"SV10" + "\n".join(lines).encode())
    named = {Count.VOLUMES: volumes, Count.PLANNED_SLICES: slices}
    assert announced(written(data_set)) == {str(key): n for key, n in named.items() if n}


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        (
            "ge-siemens-epi/20180918GE/mr_0004",
            {
                "ImagesInAcquisition": 15,
                "NumberOfTemporalPositions": 10,
                "GE ImagesInSeries": 15,
                "GE LocationsInAcquisition": 15,
            },
        ),
        ("ge-siemens-epi/20180918Si/mr_0003", {"Siemens lRepetitions + 1": 2}),
        (
            "philips-classic/601_WIP_dti_ax",
            {
                "NumberOfTemporalPositions": 1,
                "Philips NumberOfSlices": 40,
                "Philips NumberOfDynamicScans": 1,
            },
        ),
    ],
)
def test_vendors_counts(folder: str, found: dict[str, int]) -> None:
    path = min(shared(f"corpus/{folder}").glob("*.dcm"))
    content = path.read_bytes()
    start = find_data_set(content)
    data = scan(memoryview(content)[start.offset :], start.transfer_syntax_uid)
    assert announced(data.elements) == found
