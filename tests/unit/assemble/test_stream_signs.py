"""Sign and bits of a compressed stream against those of the header; and JPEG of 12 bits."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from openjpeg.utils import encode_array
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGExtended12Bit, JPEGLSLossless

from node.assemble.frames.model import PixelFormat
from node.assemble.pixels.stored_values import compressed_frame
from node.convert import convert_series, read_folder
from node.core.errors import Reason
from tests.phantom import Phantom, save
from tests.unit.assemble.test_codecs import encapsulated
from tests.unit.assemble.test_htj2k import LOSSLESS

PHANTOM = Phantom(size=(48, 40, 1))
TWELVE = b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYG"
    "CAsICQoKCgoKBggLDAsKDAkKCgr/wQALDAAMABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAADAv/xAAiEAAAAwcFAAAA"
    "AAAAAAAAAAAACykECgwnN0RVRmJjZHL/2gAIAQEAAD8AB5kFUDhUWSCx+hvHGG4BBVA4VFkgsfobxxi6wQVFJbkHJZMH"
    "H3zFs6YbgEFRSW5ByWTBx98xbOmP/9k="
)
"""What DCMTK's `dcmcjpeg +ee +q 95` made of rows 200 apart and columns 110 apart, from 0."""


def values_of(dataset: Dataset, folder: Path, syntax: str) -> np.ndarray | Reason:
    """(row, column) of what a file becomes, or why it becomes nothing."""
    save([dataset], folder / "in", syntax)
    (series,) = read_folder([folder / "in"])[0]
    made = convert_series(series.instances, folder / "out", "v")
    if made.refusals:
        return made.refusals[0].reason
    found = np.asarray(nib.load(folder / "out" / "v.nii.gz").dataobj)
    return found[::-1, ::-1, 0].T.astype(int)


def compressed(
    stored: np.ndarray, syntax: str, folder: Path, *, bits: int, signed: bool
) -> Dataset:
    dataset = PHANTOM.instance(0)
    dataset.PixelData = stored.astype("<i2" if signed else "<u2").tobytes()
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits - 1, int(signed)
    save([dataset], folder / "made")  # gives it the transfer syntax to start from
    dataset.compress(syntax, generate_instance_uid=False)
    return dataset


def ramp(low: int, high: int) -> np.ndarray:
    return np.linspace(low, high, 40 * 48).astype(int).reshape(40, 48)


@pytest.mark.parametrize(
    ("low", "high", "signed", "same"),
    [(-5, 900, True, False), (0, 900, True, True), (0, 4000, False, False), (0, 900, False, True)],
)
def test_a_stream_of_jpeg_2000_of_another_sign_is_read_by_its_own_or_refused(
    low: int, high: int, signed: bool, same: bool, tmp_path: Path
) -> None:
    stored = ramp(low, high)
    dataset = compressed(stored, JPEG2000Lossless, tmp_path, bits=12, signed=signed)
    dataset.PixelRepresentation = int(not signed)
    found = values_of(dataset, tmp_path, JPEG2000Lossless)
    if same:
        np.testing.assert_array_equal(found, stored)
    else:
        assert found is Reason.PIXELS_UNREADABLE


@pytest.mark.parametrize("signed", [False, True])
def test_high_throughput_streams_say_their_sign_too(signed: bool, tmp_path: Path) -> None:
    dataset = encapsulated(Phantom(size=(12, 10, 2)).instance(0), LOSSLESS[0])
    dataset.PixelRepresentation = int(signed)
    found = values_of(dataset, tmp_path, "1.2.840.10008.1.2.4.201")
    assert (found is Reason.PIXELS_UNREADABLE) is signed


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize(
    ("low", "high", "signed"), [(0, 900, False), (0, 4090, False), (-900, 900, True)]
)
@pytest.mark.parametrize(("stream", "header"), [(16, 12), (12, 16), (12, 10)])
def test_other_bits_than_the_header_says_matter_where_values_differ(
    syntax: str, low: int, high: int, signed: bool, stream: int, header: int, tmp_path: Path
) -> None:
    stored = ramp(low, high)
    dataset = compressed(stored, syntax, tmp_path, bits=stream, signed=signed)
    dataset.BitsStored, dataset.HighBit = header, header - 1
    found = values_of(dataset, tmp_path, syntax)
    half = 1 << header - 1
    fits = high < (half if signed else 2 * half) and (-low <= half)
    if syntax == JPEGLSLossless and signed and header > stream:
        fits = False  # without a sign in the stream, -5 and 4091 are the same
    if fits:
        np.testing.assert_array_equal(found, stored)
    else:
        assert found is Reason.PIXELS_UNREADABLE


@pytest.mark.parametrize("signed", [False, True])
def test_jpeg_of_twelve_bits(signed: bool, tmp_path: Path) -> None:
    """The standard allows it no sign (PS3.5 8.2.1), so that with one half of the values are two."""
    dataset = Phantom(size=(16, 12, 1)).instance(0)
    dataset.PixelData = encapsulate([TWELVE])
    dataset["PixelData"].VR = "OB"
    dataset.PixelRepresentation = int(signed)
    found = values_of(dataset, tmp_path, JPEGExtended12Bit)
    if signed:
        assert found is Reason.PIXELS_UNREADABLE
    else:
        expected = np.add.outer(np.arange(12) * 200, np.arange(16) * 110)
        assert np.abs(found - expected).max() <= 4


def test_damaged_jpeg_of_twelve_bits_is_refused(tmp_path: Path) -> None:
    dataset = Phantom(size=(16, 12, 1)).instance(0)
    dataset.PixelData = encapsulate([TWELVE[:-40]])
    dataset["PixelData"].VR = "OB"
    assert values_of(dataset, tmp_path, JPEGExtended12Bit) is Reason.PIXELS_TRUNCATED


def test_single_bits_of_jpeg_2000_come_in_bytes() -> None:
    """As segmentations have them; there is no number of no bytes."""
    mask = (ramp(0, 1919) % 3 == 0).astype("u1")
    frame = encode_array(mask, photometric_interpretation=2, bits_stored=1, use_mct=False)
    pixels = PixelFormat(40, 48, 1, "MONOCHROME2", 0, 1, 1, 0, signed=False)
    found = compressed_frame(bytes(frame), pixels, JPEG2000Lossless)
    np.testing.assert_array_equal(found, mask)
