"""Numbers that nobody can mean: the instance is ingested, and what depends on them is refused."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from node import load_dicom
from node.core.errors import AssemblyError, Reason
from node.storage.ingest.registration import register
from tests.commands import rasnode
from tests.small import small_ct

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
NUMBER_OF_FRAMES, INSTANCE_NUMBER = 0x00280008, 0x00200013
TWENTY_DIGITS = "9" * 20
NUMBERS = [
    tag
    for tag, entry in DicomDictionary.items()
    if entry[0] in {"IS", "DS", "US", "UL", "US or SS"} and tag >> 16 not in {0x0000, 0x0002}
]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    (path,) = small_ct(tmp_path_factory.mktemp("ct"), 1, announced=True)
    return pydicom.dcmread(path)


def with_text(image: Dataset, tag: int, text: str, *, implicit: bool) -> bytes:
    """The data set with an element that has a text where a number ought to be."""
    changed = Dataset({known: image[known] for known in image.keys() if known != tag})  # noqa: SIM118
    changed.add_new(tag, "LT", text)
    written = DicomBytesIO()
    written.is_implicit_VR, written.is_little_endian = implicit, True
    write_dataset(written, changed)
    return written.getvalue()


@pytest.mark.parametrize("text", [TWENTY_DIGITS, f"-{TWENTY_DIGITS}", "1e300", "9" * 4400])
def test_an_instance_is_filed_whatever_its_numbers_are(image: Dataset, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, tag in enumerate(NUMBERS):
            implicit = bool(number % 2)
            data = with_text(image, tag, text, implicit=implicit)
            found = register(data, IMPLICIT if implicit else EXPLICIT)
            assert found.sop_instance_uid == image.SOPInstanceUID


def changed(folder: Path, change: Callable[[Dataset], None]) -> Path:
    for path in small_ct(folder, 2, announced=True):
        image = pydicom.dcmread(path)
        change(image)
        image.save_as(path)
    return folder


def refused(folder: Path) -> AssemblyError:
    with pytest.raises(AssemblyError) as refusal:
        load_dicom(folder)
    return refusal.value


def test_a_number_of_frames_that_cannot_be_read_is_not_one(tmp_path: Path) -> None:
    folder = changed(tmp_path, lambda one: one.add_new(NUMBER_OF_FRAMES, "LO", TWENTY_DIGITS))
    refusal = refused(folder)
    assert refusal.reason is Reason.PIXELS_UNREADABLE
    assert refusal.sentence.startswith("Number of Frames (0028,0008) is not a readable number")


def test_an_instance_number_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    folder = changed(tmp_path, lambda one: one.add_new(INSTANCE_NUMBER, "LO", TWENTY_DIGITS))
    assert load_dicom(folder).array.shape == (32, 32, 2)


def test_what_says_that_it_is_huge_and_is_not_is_truncated(tmp_path: Path) -> None:
    def huge(image: Dataset) -> None:
        image.Rows = image.Columns = 65535
        image.PixelData = bytes(128)

    folder, memory = changed(tmp_path / "ct", huge), 4 << 30
    done = subprocess.run(
        [sys.executable, "-m", "node", "convert", str(folder), str(tmp_path / "out"), "--json"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (memory, memory)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ((refusal,),) = (one["refused"] for one in json.loads(done.stdout)["series"])
    assert refusal["reason"] == Reason.PIXELS_TRUNCATED
    assert "8589672450 bytes, and only 128" in refusal["sentence"]


@pytest.mark.parametrize("command", ["status", "ls", "replay"])
def test_a_limit_beyond_all_rows_is_wrong_usage(tmp_path: Path, command: str) -> None:
    done = rasnode(command, "--limit", "9" * 23, check=False)
    assert done.returncode == 2
    assert "--limit" in done.stderr
