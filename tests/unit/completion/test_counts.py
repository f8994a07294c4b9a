"""Counts are read wherever vendors keep them; on the corpus they are what came."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian

from node.completion.counts import announced, concatenation
from node.elements import Elements, find_data_set, scan
from tests.running import shared


def elements(**values: object) -> Elements:
    data_set = Dataset()
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
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
