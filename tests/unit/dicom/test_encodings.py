"""One phantom in every encoding: the same voxels come back, or a refusal with a name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from node.assemble.frames.model import PixelFormat
from node.assemble.pixels.stored_values import bit_frame, compressed_frame, frame_span, split_frames
from node.convert import Conversion, convert_series, read_folder
from node.core.errors import AssemblyError, Reason
from tests.phantom import Phantom, save
from tests.unit.assemble.test_enhanced import enhanced

PHANTOM = Phantom(size=(48, 40, 3))


def converted(folder: Path) -> Conversion:
    (series,) = read_folder([folder])[0]
    (folder / "out").mkdir()
    return convert_series(series.instances, folder / "out", "v")


def voxels(folder: Path) -> np.ndarray:
    result = converted(folder)
    assert not result.refusals
    return np.asarray(nib.load(folder / "out" / "v.nii.gz").dataobj)  # type: ignore[attr-defined]


def plain(tmp_path: Path) -> np.ndarray:
    save(PHANTOM.instances(), tmp_path / "plain")
    return voxels(tmp_path / "plain")


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_native(syntax: str, tmp_path: Path) -> None:
    datasets = PHANTOM.instances()
    if syntax == ExplicitVRBigEndian:
        for dataset in datasets:
            words = np.frombuffer(dataset.PixelData, "<u2")
            dataset.PixelData = words.astype(">u2").tobytes()
    save(datasets, tmp_path / "other", syntax)
    assert np.array_equal(voxels(tmp_path / "other"), plain(tmp_path))


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_compressed(syntax: str, tmp_path: Path) -> None:
    datasets = PHANTOM.instances()
    for path, dataset in zip(save(datasets, tmp_path / "other"), datasets, strict=True):
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(path, enforce_file_format=True)
    assert np.array_equal(voxels(tmp_path / "other"), plain(tmp_path))


@pytest.mark.parametrize("extended", [False, True])
def test_offset_tables_basic_and_extended(extended: bool, tmp_path: Path) -> None:
    """An Extended Offset Table (PS3.3 C.7.6.3.1.8) leaves the basic one empty."""
    made = enhanced(PHANTOM)
    del made.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
    save([made], tmp_path / "first")
    made.compress(RLELossless, generate_instance_uid=False, encapsulate_ext=extended)
    assert ("ExtendedOffsetTable" in made) is extended
    save([made], tmp_path / "other", RLELossless)
    assert np.array_equal(voxels(tmp_path / "other"), plain(tmp_path))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_overlays_in_unused_high_bits_are_no_values(syntax: str, tmp_path: Path) -> None:
    """Retired, but sent: an overlay in bit 12 of each pixel (PS3.3 C.9.2, PS3.5 8.1.2)."""
    datasets = PHANTOM.instances()
    for dataset in datasets:
        words = np.frombuffer(dataset.PixelData, "<u2") | 0x1000
        dataset.PixelData = words.tobytes()
        dataset.add_new(0x60000100, "US", 16)
        dataset.add_new(0x60000102, "US", 12)
        if syntax == RLELossless:
            dataset.BitsStored, dataset.HighBit = 16, 15  # for the encoder
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.compress(syntax, generate_instance_uid=False)
            dataset.BitsStored, dataset.HighBit = 12, 11
    save(datasets, tmp_path / "overlaid", syntax)
    assert np.array_equal(voxels(tmp_path / "overlaid"), plain(tmp_path))


@pytest.fixture(scope="module")
def streams() -> dict[str, bytes]:
    """One frame, compressed by each codec that pydicom can write."""
    found = {}
    for syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
        dataset = PHANTOM.instance(0)
        dataset.file_meta = Dataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(syntax)
        found[syntax] = next(generate_frames(dataset.PixelData, number_of_frames=1))
    return found


FORMAT = PixelFormat(40, 48, 1, "MONOCHROME2", 0, 16, 12, 11, signed=False)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("offsets", [True, False])
def test_several_fragments_of_one_frame(
    syntax: str, offsets: bool, streams: dict[str, bytes]
) -> None:
    value = encapsulate([streams[syntax]], fragments_per_frame=3, has_bot=offsets)
    (frame,) = split_frames(value, 1)
    expected = np.frombuffer(PHANTOM.instance(0).PixelData, "<u2").reshape(40, 48)
    assert np.array_equal(compressed_frame(frame, FORMAT, syntax), expected)


WRONG: dict[str, Callable[[int], int]] = {
    "all zero": lambda _: 0,
    "beyond the end": lambda offset: offset * 1000,
    "inside a fragment": lambda offset: offset + 8,
}


@pytest.mark.parametrize("wrong", sorted(WRONG))
def test_a_wrong_offset_table_moves_no_frame(wrong: str) -> None:
    """Where fragments are frames, nobody needs it."""
    frames = [bytes([65 + index] * 10) for index in range(3)]
    value = encapsulate(frames)
    offsets = np.frombuffer(value[8:20], "<u4").tolist()
    moved = np.array([WRONG[wrong](one) for one in offsets], "<u4").tobytes()
    value = value[:8] + moved + value[20:]
    assert split_frames(value, 3) == frames


def test_the_fragments_of_one_frame_are_joined_whatever_the_table_says() -> None:
    value = encapsulate([b"abcdefgh"], fragments_per_frame=2)
    twice = value[:4] + b"\x08\0\0\0" + b"\0\0\0\0" + b"\x0c\0\0\0" + value[12:]
    assert split_frames(twice, 1) == [b"abcdefgh"]


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("part", [0.0, 0.01, 0.5])
def test_short_streams_are_named(part: float, syntax: str, streams: dict[str, bytes]) -> None:
    stream = streams[syntax]
    short = stream[: int(len(stream) * part)]
    with pytest.raises(AssemblyError) as caught:
        compressed_frame(short, FORMAT, syntax)
    assert caught.value.reason in {Reason.PIXELS_UNREADABLE, Reason.PIXELS_TRUNCATED}


def test_runs_beyond_their_frame_are_named(streams: dict[str, bytes]) -> None:
    """The codec panics over them, which is no Exception."""
    stream = bytearray(streams[RLELossless])
    stream[64:] = bytes([129, 7]) * ((len(stream) - 64) // 2)
    with pytest.raises(AssemblyError) as caught:
        compressed_frame(bytes(stream), FORMAT, RLELossless)
    assert caught.value.reason is Reason.PIXELS_UNREADABLE


def test_a_stream_of_another_size_is_never_decoded(streams: dict[str, bytes]) -> None:
    stream = streams[JPEG2000Lossless]
    huge = stream[:8] + b"\x00\x10\x00\x00" + stream[12:]
    with pytest.raises(AssemblyError) as caught:
        compressed_frame(huge, FORMAT, JPEG2000Lossless)
    assert caught.value.reason is Reason.PIXELS_UNREADABLE


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGExtended12Bit, JPEGLSLossless])
def test_a_cut_jpeg_never_reaches_its_codec(syntax: str) -> None:
    """One codec aborts over it, the other takes seconds to give up."""
    with pytest.raises(AssemblyError) as caught:
        compressed_frame(b"\xff\xd8" + bytes(100), FORMAT, syntax)
    assert caught.value.reason is Reason.PIXELS_TRUNCATED


def test_too_few_frames_are_named() -> None:
    with pytest.raises(AssemblyError) as caught:
        split_frames(encapsulate([b"ab", b"cd"], has_bot=False), 3)
    assert caught.value.reason in {Reason.PIXELS_TRUNCATED, Reason.PIXELS_UNREADABLE}
    with pytest.raises(AssemblyError):
        split_frames(b"\xfe\xff\x00\xe0", 1)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("size", [(3, 5), (4, 4), (7, 9)])
def test_single_bits_are_not_aligned_to_bytes(size: tuple[int, int], swapped: bool) -> None:
    frames = np.random.default_rng(3).integers(0, 2, (5, *size)).astype(np.uint8)
    raw = np.packbits(frames.ravel(), bitorder="little").tobytes()
    raw += b"\0" * (len(raw) % 2)
    if swapped:
        raw = np.frombuffer(raw, "u2").byteswap().tobytes()
    pixels = PixelFormat(
        size[0], size[1], 1, "MONOCHROME2", 0, 1, 1, 0, signed=False, frames=5, swapped=swapped
    )
    for index, expected in enumerate(frames):
        start, stop = frame_span(pixels, index)
        assert np.array_equal(bit_frame(raw[start:stop], pixels, index), expected)


def _palette(dataset: Dataset) -> np.ndarray:
    index = np.frombuffer(dataset.PixelData, "<u2").astype(np.uint8)
    tables = [(np.arange(256) * factor).astype(np.uint8) for factor in (1, 3, 7)]
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = index.tobytes()
    for colour, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        key = f"{colour}PaletteColorLookupTable"
        setattr(dataset, f"{key}Descriptor", [256, 0, 16])
        setattr(dataset, f"{key}Data", (table.astype("<u2") << 8 | 0x55).tobytes())
    return np.stack([table[index] for table in tables], axis=-1)


def _segmented_palette(dataset: Dataset) -> np.ndarray:
    """The same palette as one discrete segment (PS3.3 C.7.9.2.1)."""
    expected = _palette(dataset)
    for colour, factor in (("Red", 1), ("Green", 3), ("Blue", 7)):
        key = f"{colour}PaletteColorLookupTable"
        delattr(dataset, f"{key}Data")
        entries = (np.arange(256) * factor).astype(np.uint8).astype(int) << 8
        words = [0, 256, *entries.tolist()]
        setattr(dataset, f"Segmented{key}Data", np.array(words, "<u2").tobytes())
    return expected


def _colour(dataset: Dataset, planar: int) -> np.ndarray:
    rgb = np.stack([np.frombuffer(dataset.PixelData, "<u2") >> shift for shift in (0, 2, 4)], -1)
    rgb = rgb.astype(np.uint8)
    dataset.PhotometricInterpretation = "RGB"
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, planar
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = (rgb.T if planar else rgb).tobytes()
    return rgb


@pytest.mark.parametrize(
    "change",
    [
        _palette,
        _segmented_palette,
        lambda dataset: _colour(dataset, 0),
        lambda dataset: _colour(dataset, 1),
    ],
    ids=["palette", "segmented palette", "by pixel", "by plane"],
)
def test_colour_becomes_rgb24(change: Callable[[Dataset], np.ndarray], tmp_path: Path) -> None:
    datasets = PHANTOM.instances()
    expected = np.stack([change(dataset).reshape(40, 48, 3) for dataset in datasets])
    save(datasets, tmp_path / "colour")
    found = voxels(tmp_path / "colour")
    assert found.dtype.names == ("R", "G", "B")
    triples = np.stack([found[name] for name in "RGB"], axis=-1)
    # rows and columns of an axial LPS image are reversed in RAS
    assert np.array_equal(triples, expected.transpose(2, 1, 0, 3)[::-1, ::-1])


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_modality_table_is_applied(syntax: str, tmp_path: Path) -> None:
    datasets = PHANTOM.instances()
    entries = (np.arange(4000)[::-1] * 16).astype("<u2")
    for dataset in datasets:
        item = Dataset()
        item.LUTDescriptor = [4000, 50, 16]
        item.ModalityLUTType = "US"
        item.add_new(0x00283006, "OW", entries.tobytes())
        dataset.ModalityLUTSequence = [item]
    save(datasets, tmp_path / "table", syntax)
    found = voxels(tmp_path / "table")
    expected = entries[np.clip(plain(tmp_path).astype(int) - 50, 0, 3999)]
    assert np.array_equal(found, expected)


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    datasets = PHANTOM.instances()
    for dataset in datasets:
        dataset.ModalityLUTSequence = [Dataset()]
    save(datasets, tmp_path / "table")
    (refusal,) = converted(tmp_path / "table").refusals
    assert refusal.reason is Reason.PIXELS_UNREADABLE


def test_each_slice_has_its_own_slope(tmp_path: Path) -> None:
    datasets = PHANTOM.instances()
    for k, dataset in enumerate(datasets):
        dataset.RescaleSlope = str(0.1 + k * 0.37)
        dataset.RescaleIntercept = str(-k)
    save(datasets, tmp_path / "pet")
    found = voxels(tmp_path / "pet")
    stored = plain(tmp_path).astype(np.float64)
    slopes = np.array([float(str(0.1 + k * 0.37)) for k in range(3)])
    expected = (stored * slopes - np.arange(3)).astype(np.float32)
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)
