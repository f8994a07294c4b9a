"""The scanner against pydicom on real data, and against hostile bytes."""

from __future__ import annotations

import math
import random
import struct
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from node.core.errors import MalformedDataSet
from node.dicom import DEFLATED, NO_TAG, Elements, encoding_of, find_data_set, inflate, scan

CORPUS = Path(__file__).resolve().parents[4] / "shared" / "corpus"
EXPLICIT, IMPLICIT, BIG = ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian


def encode(dataset: Dataset, syntax: str = EXPLICIT) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian = syntax != BIG
    buffer.is_implicit_VR = syntax == IMPLICIT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_dataset(buffer, dataset)
    return buffer.getvalue()


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
        return head + struct.pack("<HI", 0, size) + value
    return head + struct.pack("<H", size) + value


# ------------------------------------------------------------------ real data
def corpus_files() -> list[Path]:
    strangers = {".txt", ".pdf"}
    found = (path for path in CORPUS.rglob("*") if path.is_file())
    return sorted(p for p in found if p.suffix not in strangers and "too_short" not in p.name)


def data_set_of(path: Path) -> tuple[bytes, str, Dataset]:
    """The bytes after the meta information, their transfer syntax, and pydicom's reading."""
    raw = path.read_bytes()
    start = find_data_set(raw)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        truth = pydicom.dcmread(BytesIO(raw), force=True)
    stated = truth.file_meta.get("TransferSyntaxUID")
    assert stated in (None, start.transfer_syntax_uid)
    body = raw[start.offset :]
    if start.transfer_syntax_uid == DEFLATED:
        body = inflate(body, 1 << 28)
    return body, start.transfer_syntax_uid, truth


def as_numbers(values: list[object]) -> tuple[float, ...]:
    try:
        numbers = tuple(float(str(value)) for value in values)
    except ValueError:
        return ()
    return numbers if all(map(math.isfinite, numbers)) else ()


def compare(mine: Elements, truth: Dataset, where: str) -> int:
    """Compare one level and all below it; returns how many elements agreed."""
    seen = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = [e for e in truth if int(e.tag) not in (0x7FE00008, 0x7FE00009, 0x7FE00010)]
    assert sorted(int(e.tag) for e in theirs) == sorted(mine), where
    for entry in theirs:
        tag, place = int(entry.tag), f"{where} {entry.tag}"
        if entry.VR == "SQ":
            items = mine.items(tag)
            assert len(items) == len(entry.value), place
            for number, (item, other) in enumerate(zip(items, entry.value, strict=True)):
                seen += compare(item, other, f"{place}[{number}]")
            continue
        assert mine.vr(tag) == entry.VR or entry.VR in ("UN", "ZZ"), place
        values = list(entry.value) if entry.VM > 1 else [] if entry.VM == 0 else [entry.value]
        if entry.VR in ("DS", "IS", "US", "SS", "UL", "SL", "FL", "FD"):
            assert mine.numbers(tag) == as_numbers(values), place
        elif entry.VR in ("OB", "OW", "OF", "OD", "OL", "UN"):
            assert mine.raw(tag) == (entry.value or b""), place
        elif entry.VR == "AT":
            assert mine.tags(tag) == tuple(int(value) for value in values), place
        else:
            theirs_text = [part.strip() for part in map(str, values)]
            mine_text = [part.strip("\0 \r\n\t") for part in (mine.value(tag) or "").split("\\")]
            theirs_split = "\\".join(theirs_text).strip("\0 ").split("\\")
            assert mine_text == [part.strip("\0 \r\n\t") for part in theirs_split], place
        seen += 1
    return seen


@pytest.mark.acceptance
@pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared/corpus is absent")
def test_agrees_with_pydicom_on_the_whole_corpus() -> None:
    seen = 0
    sample: dict[Path, int] = {}
    for path in corpus_files():
        sample[path.parent] = sample.get(path.parent, 0) + 1
        if sample[path.parent] > 6 and path.parent.name != "pydicom-data":
            continue
        body, syntax, truth = data_set_of(path)
        if "SOPClassUID" not in truth:
            continue
        scanned = scan(body, syntax)
        seen += compare(scanned.elements, truth, str(path.relative_to(CORPUS)))
        for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
            if keyword not in truth:
                continue
            pixels = truth[keyword]
            assert scanned.pixel_tag == int(pixels.tag)
            offset, length = scanned.pixel_offset, scanned.pixel_length
            assert offset is not None
            assert scanned.encapsulated == pixels.is_undefined_length
            if length is not None:
                assert body[offset : offset + length] == pixels.value
            else:
                assert body[offset : offset + 64] == pixels.value[:64]
    assert seen > 20_000


# ------------------------------------------------------------------- encodings
def example() -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPInstanceUID = "1.2.3"
    dataset.PatientName = "Müller^Jörg"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.ImagePositionPatient = [1.5, -2, 3e1]
    dataset.Rows, dataset.Columns, dataset.PixelRepresentation = 4, 3, 1
    dataset.SmallestImagePixelValue = -5
    dataset["SmallestImagePixelValue"].VR = "SS"
    inner = Dataset()
    inner.PatientName = "Ähre"
    inner.DiffusionGradientOrientation = [0.0, 0.6, 0.8]
    outer = Dataset()
    outer.SharedFunctionalGroupsSequence = [inner]
    dataset.PerFrameFunctionalGroupsSequence = [outer, Dataset()]
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "1000")
    dataset.FrameIncrementPointer = 0x00181063
    return dataset


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_encoding_gives_the_same_answers(syntax: str, undefined: bool, kind: type) -> None:
    dataset = example()
    dataset["PerFrameFunctionalGroupsSequence"].is_undefined_length = undefined
    for item in dataset.PerFrameFunctionalGroupsSequence:
        item.is_undefined_length_sequence_item = undefined
    elements = scan(kind(encode(dataset, syntax)), syntax).elements
    assert elements.text(0x00100010) == "Müller^Jörg"
    assert elements.value(0x00080008) == "ORIGINAL\\PRIMARY"
    assert elements.numbers(0x00200032) == (1.5, -2.0, 30.0)
    assert elements.integer(0x00280010) == 4
    assert elements.number(0x00280106) == -5
    assert elements.uid(0x00080018) == "1.2.3"
    assert elements.tags(0x00280009) == (0x00181063,)
    first, second = elements.items(0x52009230)
    assert len(second) == 0
    inner = first.item(0x52009229)
    assert inner is not None
    assert inner.text(0x00100010) == "Ähre"
    assert inner.numbers(0x00189089) == (0.0, 0.6, 0.8)
    tag = elements.private(0x0019, "Siemens MR header", 0x0C)
    assert tag == 0x0019100C
    assert elements.integer(tag) == 1000
    assert elements.private(0x0019, "SIEMENS MR HEADER", 0x0D) == NO_TAG
    assert elements.text(NO_TAG) is None


def test_wanted_keeps_only_what_is_wanted() -> None:
    elements = scan(encode(example()), EXPLICIT, wanted=frozenset({0x00280010})).elements
    assert list(elements) == [0x00280010]


def test_private_block_is_found_where_a_pacs_moved_it() -> None:
    dataset = Dataset()
    dataset.add_new(0x00190010, "LO", "SOMEONE ELSE")
    dataset.add_new(0x00190042, "LO", "SIEMENS MR HEADER ")
    dataset.add_new(0x0019100C, "IS", "7")
    dataset.add_new(0x0019420C, "IS", "1000")
    for syntax in (EXPLICIT, IMPLICIT):
        elements = scan(encode(dataset, syntax), syntax).elements
        tag = elements.private(0x0019, "SIEMENS MR HEADER", 0x0C)
        assert elements.integer(tag) == 1000


@pytest.mark.parametrize(
    ("charset", "raw", "text"),
    [
        ("ISO_IR 192", "Wang^小东".encode(), "Wang^小东"),
        ("GB18030", "王^小东".encode("gb18030"), "王^小东"),
        ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ".encode("shift_jis"), "ﾔﾏﾀﾞ^ﾀﾛｳ"),
        (
            "\\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
            "Yamada^Tarou=山田^太郎",
        ),
        (
            "\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
            "Hong^Gildong=洪^吉洞",
        ),
        ("\\ISO 2022 IR 58", b"Zhang^=\x1b$)A\xd5\xc5^", "Zhang^=张^"),
        ("nonsense", b"M\xfcller", "Müller"),
        ("ISO_IR 192", b"M\xfcller", "M\ufffdller"),
    ],
)
def test_character_sets(charset: str, raw: bytes, text: str) -> None:
    data = element(0x00080005, b"CS", charset.encode()) + element(0x00100010, b"PN", raw)
    assert scan(data, EXPLICIT).elements.text(0x00100010) == text


def test_garbage_values_are_none() -> None:
    data = (
        element(0x00200032, b"DS", b"1\\x\\3 ")
        + element(0x00280010, b"US", b"")
        + element(0x00280011, b"US", b"\1")
        + element(0x00280030, b"DS", b"nan\\1_0 ")
        + element(0x00281052, b"DS", b" ")
        + element(0x00281053, b"DS", b"1e999 ")
        + element(0x00289001, b"FD", struct.pack("<d", math.nan))
        + element(0x00289002, b"IS", b"9" * 9000)
        + element(0x52009230, b"SQ", b"no sequence at all!!")
    )
    elements = scan(data, EXPLICIT).elements
    for tag in elements:
        assert elements.numbers(tag) == ()
        assert elements.number(tag) is None or tag == 0x00200032
        assert elements.integer(tag) is None or tag == 0x00200032
        assert elements.items(tag) == ()


# -------------------------------------------------------------------- tolerance
PIXELS = element(0x7FE00010, b"OW", b"\1\2\3\4")


@pytest.mark.parametrize(
    "odd",
    [
        element(0x00080000, b"UL", b"\4\0\0\0"),
        element(0x00091001, b"ZZ", b"abcd"),
        struct.pack("<HH2sHI", 9, 0x1001, b"ZZ", 0, 4) + b"abcd",
        struct.pack("<HHI", 9, 0x1001, 4) + b"abcd",
        element(0x00091001, b"UN", b"", 0xFFFFFFFF) + b"\xfe\xff\xdd\xe0\0\0\0\0",
        b"\xfe\xff\x0d\xe0\0\0\0\0",
        element(0x00091001, b"LO", b"odd"),
    ],
)
def test_what_real_files_hold_is_tolerated(odd: bytes) -> None:
    data = element(0x00080001, b"UL", b"\1\0\0\0") + odd
    data += element(0x00280010, b"US", b"\4\0") + PIXELS
    for tail in (b"", b"\0", b"\0" * 7, b"\0" * 9000, element(0xFFFCFFFC, b"OB", b"\0" * 10)):
        scanned = scan(data + tail, EXPLICIT)
        assert scanned.elements.integer(0x00280010) == 4
        assert scanned.pixel_offset == len(data) - 4
        assert scanned.pixel_length == 4


def test_un_of_undefined_length_is_implicit_inside() -> None:
    inner = struct.pack("<HHI", 0x18, 0x9087, 8) + struct.pack("<d", 1000.0)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + inner
    item += struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    value = item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    data = element(0x00189117, b"UN", value, 0xFFFFFFFF) + element(0x00280010, b"US", b"\4\0")
    elements = scan(data, EXPLICIT).elements
    assert elements.integer(0x00280010) == 4
    (content,) = elements.items(0x00189117)
    assert content.number(0x00189087) == 1000.0


@pytest.mark.parametrize(("declared", "real"), [(IMPLICIT, EXPLICIT), (EXPLICIT, IMPLICIT)])
def test_wrong_label_of_the_vr_encoding_is_seen_through(declared: str, real: str) -> None:
    scanned = scan(encode(example(), real), declared)
    assert scanned.elements.integer(0x00280010) == 4
    assert scanned.elements.encoding == encoding_of(real)


def test_elements_out_of_order_and_repeated() -> None:
    data = (
        PIXELS
        + element(0x00280010, b"US", b"\4\0")
        + element(0x00080060, b"CS", b"MR")
        + element(0x00280010, b"US", b"\5\0")
    )
    scanned = scan(data, EXPLICIT)
    assert scanned.elements.integer(0x00280010) == 5
    assert scanned.elements.text(0x00080060) == "MR"
    assert scanned.pixel_length == 4


# -------------------------------------------------------------------- hostility
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
@pytest.mark.parametrize("undefined", [False, True])
def test_every_truncation_is_noticed(syntax: str, undefined: bool) -> None:
    dataset = example()
    dataset["PerFrameFunctionalGroupsSequence"].is_undefined_length = undefined
    dataset.add_new(0x7FE00010, "OW", bytes(range(1, 65)))
    whole = encode(dataset, syntax)
    boundaries = set(top_level_ends(dataset, syntax))
    for cut in range(1, len(whole)):
        if cut in boundaries or not any(whole[max(boundaries & set(range(cut)) | {0}) : cut]):
            continue
        with pytest.raises(MalformedDataSet):
            scan(whole[:cut], syntax)


def top_level_ends(dataset: Dataset, syntax: str) -> Iterator[int]:
    """Offsets at which a cut leaves whole elements, so that nothing can be noticed."""
    part = Dataset()
    for entry in dataset:
        part[entry.tag] = entry
        yield len(encode(part, syntax))


def test_fragments_have_to_be_closed() -> None:
    fragments = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    fragments += struct.pack("<HHI", 0xFFFE, 0xE000, 4) + b"\1\2\3\4"
    head = element(0x7FE00010, b"OB", b"", 0xFFFFFFFF)
    closed = head + fragments + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    scanned = scan(closed, "1.2.840.10008.1.2.5")
    assert (scanned.encapsulated, scanned.pixel_offset, scanned.pixel_length) == (True, 12, None)
    for cut in range(1, len(closed)):
        with pytest.raises(MalformedDataSet):
            scan(closed[:cut], "1.2.840.10008.1.2.5")


def seconds_and_peak(data: bytes, syntax: str) -> tuple[float, int]:
    started = time.perf_counter()
    scan(data, syntax, wanted=frozenset({0x00280010}))
    took = time.perf_counter() - started
    tracemalloc.start()
    scan(data, syntax, wanted=frozenset({0x00280010}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return took, peak


def opened(depth: int) -> bytes:
    one = element(0x00081140, b"SQ", b"", 0xFFFFFFFF)
    return (one + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)) * depth


@pytest.mark.parametrize(
    "data",
    [
        b"".join(element(0x00091000 | i & 0xFF, b"LO", b"ab") for i in range(200_000)),
        opened(100_000)
        + (struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))
        * 100_000,
        element(0x00081140, b"SQ", b"", 0xFFFFFFFF)
        + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 50_000
        + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0),
        b"".join(element(0x00091000 + i, b"ZZ", b"ab") for i in range(50_000)),
    ],
    ids=["private elements", "nested", "items", "unknown VR"],
)
def test_large_is_linear_and_small_in_memory(data: bytes) -> None:
    took, peak = seconds_and_peak(data, EXPLICIT)
    assert took < 3.0
    assert peak < 1 << 20


def test_unclosed_depth_and_lying_lengths_are_refused() -> None:
    for data in (
        opened(100_000),
        element(0x00080060, b"CS", b"MR", 60000),
        element(0x7FE00010, b"OW", b"\1\2", 0xFFFFFFF0),
        b"\0" * 5_000_000 + b"\1",
        random.Random(1).randbytes(10_000),
        b"GET / HTTP/1.1\r\nHost: somewhere\r\n\r\n",
    ):
        for syntax in (EXPLICIT, IMPLICIT, BIG):
            with pytest.raises(MalformedDataSet):
                scan(data, syntax)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 400), st.sampled_from([EXPLICIT, IMPLICIT, BIG]))
def test_any_damage_is_read_or_refused(noise: bytes, at: int, syntax: str) -> None:
    whole = encode(example(), syntax)
    damaged = whole[:at] + noise + whole[at + len(noise) :]
    try:
        elements = scan(damaged, syntax).elements
    except MalformedDataSet:
        return
    for tag in elements:
        elements.texts(tag), elements.numbers(tag), elements.tags(tag)
        for item in elements.items(tag):
            assert all(item.vr(inner) for inner in item)


def test_inflate_is_bounded() -> None:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(b"\0" * 1_000_000) + packer.flush()
    assert inflate(packed, 1_000_000) == b"\0" * 1_000_000
    assert inflate(packed + b"\0", 1_000_000) == b"\0" * 1_000_000
    for bad, limit in ((packed, 999_999), (packed[:-2], 1 << 30), (b"\xff\xff\xff", 1 << 30)):
        with pytest.raises(MalformedDataSet):
            inflate(bad, limit)
