"""Signs, colour spaces and losses that encodings bring along, through files to voxels."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import jpeg_ls
import nibabel as nib
import numpy as np
import pytest
from openjpeg.utils import encode_array
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from node.assemble.frames.model import PixelFormat
from node.assemble.pixels.stored_values import compressed_frame
from node.convert import convert_series, read_folder
from node.convert.decoding import decode_apart
from node.core.errors import AssemblyError, Reason
from tests.phantom import Phantom, save

PHANTOM = Phantom(size=(48, 40, 2))
STORED = np.stack(
    [np.frombuffer(PHANTOM.instance(k).PixelData, "<u2").reshape(40, 48) for k in range(2)]
).astype(int)


def voxels(datasets: list[Dataset], syntax: str, folder: Path) -> np.ndarray:
    """(k, row, column), and colour, of what the files become."""
    save(datasets, folder / "in", syntax)
    (series,) = read_folder([folder / "in"])[0]
    assert not convert_series(series.instances, folder, "v").refusals
    found = np.asarray(nib.load(folder / "v.nii.gz").dataobj)  # type: ignore[attr-defined]
    if found.dtype.names:
        found = np.stack([found[name] for name in "RGB"], axis=-1)
    return np.swapaxes(found[::-1, ::-1], 0, 2).astype(int)


def encapsulated(dataset: Dataset, frame: bytes) -> Dataset:
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    return dataset


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless, JPEGLSLossless]
)
def test_signed_values(syntax: str, bits: int, tmp_path: Path) -> None:
    made = PHANTOM.instances()
    for values, one in zip(STORED - 2048, made, strict=True):
        one.PixelRepresentation, one.BitsStored, one.HighBit = 1, bits, bits - 1
        one.PixelData = values.astype("<i2").tobytes()
        if syntax != ExplicitVRLittleEndian:
            one.file_meta = FileMetaDataset()
            one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            one.compress(syntax, generate_instance_uid=False)
    assert np.array_equal(voxels(made, syntax, tmp_path), STORED - 2048)


def test_a_signed_value_in_a_stream_without_sign(tmp_path: Path) -> None:
    """The codec sees 12 bits; which of them is the sign only the header knows."""
    made = PHANTOM.instances()
    for values, one in zip(STORED - 2048, made, strict=True):
        one.PixelRepresentation = 1
        encapsulated(one, bytes(jpeg_ls.encode_array((values & 0xFFF).astype("<u2"))))
    assert np.array_equal(voxels(made, JPEGLSLossless, tmp_path), STORED - 2048)


def test_bits_in_runs_that_do_not_start_at_zero(tmp_path: Path) -> None:
    """Runs hold whole words; bits around the value belong to something else."""
    made = PHANTOM.instances()
    for values, one in zip(STORED & 1023, made, strict=True):
        one.BitsStored, one.HighBit = 16, 15  # for the encoder
        one.PixelData = (values << 4 | 0x8003).astype("<u2").tobytes()
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.compress(RLELossless, generate_instance_uid=False)
        one.BitsStored, one.HighBit = 10, 13
    assert np.array_equal(voxels(made, RLELossless, tmp_path), STORED & 1023)


def test_a_high_bit_that_no_codec_knows_is_refused(tmp_path: Path) -> None:
    made = PHANTOM.instances()
    for values, one in zip(STORED, made, strict=True):
        one.HighBit = 15
        encapsulated(one, bytes(jpeg_ls.encode_array(values.astype("<u2"))))
    save(made, tmp_path / "in", JPEGLSLossless)
    (series,) = read_folder([tmp_path / "in"])[0]
    (refusal,) = convert_series(series.instances, tmp_path, "v").refusals
    assert refusal.reason is Reason.UNSUPPORTED_PIXELS


def pillow(values: np.ndarray, form: str, **options: bool) -> bytes:
    file = BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(file, form, **options)
    return file.getvalue()


STREAMS: dict[str, tuple[str, Callable[[np.ndarray], bytes]]] = {
    "JPEG": (JPEGBaseline8Bit, lambda values: pillow(values, "JPEG")),
    "JPEG 2000 in a file": (JPEG2000Lossless, lambda values: pillow(values, "JPEG2000")),
    "JPEG-LS": (JPEGLSLossless, lambda values: bytes(jpeg_ls.encode_array(values.astype("<u2")))),
    "JPEG 2000": (JPEG2000Lossless, lambda values: pillow(values, "JPEG2000", no_jp2=True)),
}


@pytest.mark.parametrize("name", sorted(STREAMS))
@pytest.mark.parametrize("shape", [(48, 40), (20, 96), (41, 48)])
def test_a_stream_of_another_shape_is_refused(name: str, shape: tuple[int, int]) -> None:
    """As many pixels in other rows would be an image that nothing distinguishes from noise."""
    syntax, encode = STREAMS[name]
    frame = encode(np.resize(STORED[0] % 256, shape))
    bits = 16 if name == "JPEG-LS" else 8
    pixels = PixelFormat(40, 48, 1, "MONOCHROME2", 0, bits, bits, bits - 1, signed=False)
    with pytest.raises(AssemblyError) as caught:
        compressed_frame(frame, pixels, syntax)
    assert caught.value.reason is Reason.PIXELS_UNREADABLE
    compressed_frame(encode(STORED[0] % 256), pixels, syntax)


def test_values_that_are_wider_than_the_image_are_refused() -> None:
    frame = bytes(jpeg_ls.encode_array(STORED[0].astype("<u2")))
    pixels = PixelFormat(40, 48, 1, "MONOCHROME2", 0, 8, 8, 7, signed=False)
    with pytest.raises(AssemblyError):
        compressed_frame(frame, pixels, JPEGLSLossless)


def test_a_loss_is_as_small_as_it_was_asked_for(tmp_path: Path) -> None:
    made = PHANTOM.instances()
    for values, one in zip(STORED, made, strict=True):
        encapsulated(one, bytes(jpeg_ls.encode_array(values.astype("<u2"), lossy_error=2)))
    apart = np.abs(voxels(made, JPEGLSNearLossless, tmp_path) - STORED)
    assert 0 < apart.max() <= 2


SLOPING = b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJ"
    "BwYGCAsICQoKCgoKBggLDAsKDAkKCgr/wQALDAAQABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAACQ3/xAAbEAAA"
    "BwEAAAAAAAAAAAAAAAAACQ0pNEdS4//aAAgBAQAAPwCb4l2p3VBY1zXfIPAXandUFjXNd8hcIC7U7qgsa5rvkHgL"
    "tTuqCxrmu+Q////Z"
)
"""15·column + 240·row, 16 by 16, by DCMTK's `dcmcjpeg +ee +q 95`: 12 bits (T.81, process 4)."""


@pytest.mark.parametrize(
    ("stored", "signed"), [(12, False), (12, True), (16, False), (16, True), (11, False)]
)
def test_lossy_jpeg_of_twelve_bits(stored: int, signed: bool) -> None:
    pixels = PixelFormat(16, 16, 1, "MONOCHROME2", 0, 16, stored, stored - 1, signed=signed)
    row, column = np.mgrid[:16, :16]
    if stored == 11 or (stored == 12 and signed):
        with pytest.raises(AssemblyError) as caught:
            decode_apart(SLOPING, pixels, JPEGExtended12Bit)
        assert caught.value.reason is Reason.PIXELS_UNREADABLE
        return
    found = decode_apart(SLOPING, pixels, JPEGExtended12Bit)
    assert found.dtype == np.dtype("i2" if signed else "u2")
    assert np.abs(found.astype(int) - 15 * column - 240 * row).max() <= 1


def test_a_series_of_lossy_jpeg_of_twelve_bits(tmp_path: Path) -> None:
    made = Phantom(size=(16, 16, 2)).instances()
    for one in made:
        encapsulated(one, SLOPING)
    row, column = np.mgrid[:16, :16]
    found = voxels(made, JPEGExtended12Bit, tmp_path)
    assert np.abs(found - 15 * column - 240 * row).max() <= 1


def test_lossy_jpeg_of_eight_bits_in_the_same_transfer_syntax() -> None:
    values = STORED[0] % 8 * 4 + 100
    pixels = PixelFormat(40, 48, 1, "MONOCHROME2", 0, 8, 8, 7, signed=False)
    frame = pillow(values, "JPEG")
    found = decode_apart(frame, pixels, JPEGExtended12Bit).astype(int)
    assert np.abs(found - compressed_frame(frame, pixels, JPEGBaseline8Bit)).max() <= 2


def codestream(values: np.ndarray, bits: int) -> bytes:
    """Lossless JPEG 2000, with the sign that the array's type has."""
    return bytes(encode_array(values, bits_stored=bits, photometric_interpretation=2))


def grey(bits: int, *, signed: bool) -> PixelFormat:
    return PixelFormat(40, 48, 1, "MONOCHROME2", 0, 16, bits, bits - 1, signed=signed)


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_a_sign_that_the_header_contradicts(signed: bool, bits: int) -> None:
    """Values that are the same with either sign are read, others refused (PS3.5 8.2.4)."""
    kind = "<i2" if signed else "<u2"
    half = STORED[0] // 2
    pixels = grey(bits, signed=not signed)
    same = compressed_frame(codestream(half.astype(kind), bits), pixels, JPEG2000Lossless)
    assert np.array_equal(same.astype(int), half)
    other = half - 2000 if signed else half + (1 << bits - 1)
    with pytest.raises(AssemblyError) as caught:
        compressed_frame(codestream(other.astype(kind), bits), pixels, JPEG2000Lossless)
    assert caught.value.reason is Reason.PIXELS_UNREADABLE


@pytest.mark.parametrize("signed", [False, True])
def test_a_stream_of_other_bits_than_the_header(signed: bool) -> None:
    kind, pixels = "<i2" if signed else "<u2", grey(12, signed=signed)
    values = STORED[0] - 2048 * signed
    for bits in (12, 13, 16):
        found = compressed_frame(codestream(values.astype(kind), bits), pixels, JPEG2000Lossless)
        assert np.array_equal(found.astype(int), values)
    few = np.clip(values, -120, 127)
    found = compressed_frame(codestream(few.astype(kind[1] + "1"), 8), pixels, JPEG2000Lossless)
    assert np.array_equal(found.astype(int), few)
    with pytest.raises(AssemblyError) as caught:
        compressed_frame(codestream((values + 3000).astype(kind), 16), pixels, JPEG2000Lossless)
    assert caught.value.reason is Reason.PIXELS_UNREADABLE


def _halved(ybr: np.ndarray) -> bytes:
    """Two luminances, then the colour of both (PS3.3 C.7.6.3.1.2)."""
    pairs = np.stack([ybr[:, 0::2, 0], ybr[:, 1::2, 0], ybr[:, 0::2, 1], ybr[:, 0::2, 2]], -1)
    return pairs.tobytes()


COLOURS: dict[str, tuple[str, int, Callable[[np.ndarray], bytes]]] = {
    "full": ("YBR_FULL", 0, np.ndarray.tobytes),
    "full by plane": ("YBR_FULL", 1, lambda ybr: ybr.transpose(2, 0, 1).tobytes()),
    "half": ("YBR_FULL_422", 0, _halved),
}


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("name", sorted(COLOURS))
def test_luminance_and_chrominance_become_rgb(name: str, syntax: str, tmp_path: Path) -> None:
    photometric, planar, packed = COLOURS[name]
    rgb = np.zeros((40, 48, 3), np.uint8)
    rgb[..., 0] = np.arange(48) // 2 * 10  # the same in both pixels of a pair
    rgb[..., 1] = np.arange(40)[:, None] * 6
    rgb[..., 2] = 100
    made = PHANTOM.instances()
    for one in made:
        one.SamplesPerPixel, one.PhotometricInterpretation = 3, photometric
        one.PlanarConfiguration = planar
        one.BitsAllocated = one.BitsStored = 8
        one.HighBit = 7
        one.PixelData = packed(convert_color_space(rgb, "RGB", "YBR_FULL"))
        one["PixelData"].VR = "OB"
    assert np.abs(voxels(made, syntax, tmp_path) - rgb).max() <= 2


def test_single_bits_in_jpeg_2000_come_in_bytes() -> None:
    values = (np.arange(64 * 64).reshape(64, 64) % 3 == 0).astype("u1")
    pixels = PixelFormat(64, 64, 1, "MONOCHROME2", 0, 1, 1, 0, signed=False)
    found = compressed_frame(codestream(values, 1), pixels, JPEG2000Lossless)
    assert found.dtype == np.uint8
    assert np.array_equal(found, values)
