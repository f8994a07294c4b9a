"""Patient and study of the source stay what they are, whatever set of characters they came in."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from node.convert.results import (
    ResultOptions,
    to_capture,
    to_image,
    to_map,
    to_rtstruct,
    to_seg,
)
from tests.phantom import Phantom
from tests.unit.convert.results.worlds import grid_of, reread

NAMES = {
    "ISO_IR 100": "Müller^Jörg",
    "ISO_IR 144": "Иванов^Иван",
    "ISO_IR 192": "Yamada^Tarou=山田^太郎",
}
MAKERS = [to_seg, to_rtstruct, to_map, to_image]


def received(phantom: Phantom, charset: str) -> Dataset:
    """The first instance, as it is read from the archive."""
    one = phantom.instances()[0]
    one.SpecificCharacterSet = charset
    one.PatientName = NAMES[charset]
    one.StudyDescription = NAMES[charset].split("^", maxsplit=1)[0]
    one.PatientID, one.PatientSex, one.StudyDate = "R1", "W", "2026.01.02"  # against the standard
    other = Dataset()
    other.PatientID, other.TypeOfPatientID = "R2", "TEXT"
    one.OtherPatientIDsSequence = [other]
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    one.save_as(buffer, enforce_file_format=True)
    return dcmread(BytesIO(buffer.getvalue()))


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize("charset", list(NAMES))
def test_names_come_through(charset: str) -> None:
    phantom = Phantom()
    grid, source = grid_of(phantom), received(phantom, charset)
    mask = np.ones(grid.shape, np.uint8)
    made: list[Dataset] = []
    for make in MAKERS:
        found = make(grid, source, mask)
        made += found if isinstance(found, list) else [found]
    made += to_capture(grid, source, mask, mask)
    for one in map(reread, made):
        assert str(one.PatientName) == NAMES[charset]
        assert one.StudyDescription == NAMES[charset].split("^", maxsplit=1)[0]
        assert (one.PatientID, one.PatientSex) == ("R1", "W")
        assert one.get_item("StudyDate").value in {b"2026.01.02", "2026.01.02"}
        assert one.OtherPatientIDsSequence[0].PatientID == "R2"
        assert one.StudyInstanceUID == phantom.instances()[0].StudyInstanceUID
        assert one.AccessionNumber == ""


def test_a_source_that_lacks_almost_everything_will_do() -> None:
    phantom = Phantom()
    grid, source = grid_of(phantom), phantom.instances()[0]
    for element in list(source):
        if element.keyword not in {"SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID"}:
            del source[element.tag]
    mask = np.ones(grid.shape, np.uint8)
    for make in MAKERS:
        made = make(grid, source, mask, options=ResultOptions(series_number=3))
        assert reread(made[0] if isinstance(made, list) else made).PatientName == ""
