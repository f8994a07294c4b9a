"""What is taken to be alike reads exactly as if it were read for the first time."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.assemble.frames.classic import _PARTS
from node.assemble.sidecar import standard_fields
from node.core.errors import InvalidUID, MalformedDataSet
from node.dicom import HeaderTemplate, Scanned, cached, find_data_set, read_table, scan
from node.dicom.header_template import LARGEST
from node.storage.ingest.registration import alike_to_check, check, register

CORPUS = Path(__file__).resolve().parents[4] / "shared" / "corpus"
EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
UNDEFINED = 0xFFFFFFFF
PIXELS = 0x7FE00010
WIDE = (b"OB", b"OF", b"OW", b"SQ", b"UN", b"UT")

Value = tuple[int, bytes, bytes]  # tag, VR, value


def element(tag: int, vr: bytes, value: bytes, syntax: str, length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT:
        return head + struct.pack("<I", size) + value
    if vr in WIDE:
        return head + vr + struct.pack("<HI", 0, size) + value
    return head + vr + struct.pack("<H", size) + value


def sequence(items: list[bytes], *, undefined: bool, syntax: str) -> tuple[bytes, int | None]:
    """The value of a sequence, and the length that its header has to say."""
    if not undefined:
        whole = (struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
        return b"".join(whole), None
    end = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    whole = (struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED) + item + end for item in items)
    return b"".join(whole) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0), UNDEFINED


def image(number: int, syntax: str = EXPLICIT, **more: bytes) -> bytes:
    """A small image as a scanner sends one after the other."""
    pixels = 0x7FE00008 if "floats" in more else PIXELS
    position = f"0\\0\\{number * 1.5}".encode()
    nested = element(0x00081155, b"UI", b"1.2.3\0", syntax)
    fixed, size = sequence([nested], undefined=True, syntax=syntax)
    values = {
        0x00080005: (b"CS", b"ISO_IR 100"),
        0x00080008: (b"CS", b"ORIGINAL\\PRIMARY"),
        0x00080016: (b"UI", b"1.2.840.10008.5.1.4.1.1.4\0"),
        0x00080018: (b"UI", f"1.9.{number}".encode()),
        0x00080032: (b"TM", more.get("time", b"101112")),
        0x00080060: (b"CS", b"MR"),
        0x00080070: (b"LO", more.get("maker", b"Philips ")),
        0x00080080: (b"LO", more.get("institution", b"M\xfcnchen")),
        0x00081140: (b"SQ", fixed),
        0x00180050: (b"DS", more.get("thickness", b"1.5 ")),
        0x0020000D: (b"UI", b"1.2.3\0"),
        0x0020000E: (b"UI", b"1.2.3.4\0"),
        0x00200013: (b"IS", str(number).encode()),
        0x00200032: (b"DS", position),
        0x00200037: (b"DS", b"1\\0\\0\\0\\1\\0"),
        0x00280010: (b"US", b"\x02\0"),
        0x00280011: (b"US", b"\x02\0"),
        0x00280030: (b"DS", b"1\\1 "),
        0x00280100: (b"US", b"\x10\0"),
        0x00280103: (b"US", more.get("signed", b"\0\0")),
        0x00280106: (b"US", struct.pack("<h", -number)),
        0x20010010: (b"LO", more.get("creator", b"Philips Imaging DD 001")),
        0x20011003: (b"FL", struct.pack("<f", number)),
        pixels: (b"OF" if "floats" in more else b"OW", bytes(8)),
    }
    return b"".join(
        element(tag, vr, value + b" " * (len(value) % 2), syntax, size if vr == b"SQ" else None)
        for tag, (vr, value) in values.items()
    )


def outcome(read: Callable[[bytes, str], Scanned], data: bytes, syntax: str) -> Scanned | str:
    try:
        return read(data, syntax)
    except MalformedDataSet as error:
        return str(error)


def same(alike: HeaderTemplate, data: bytes, syntax: str) -> bool:
    """Whether it was taken to be alike; it is read as it is without that."""
    wanted, found = outcome(scan, data, syntax), outcome(alike.scan, data, syntax)
    if isinstance(wanted, str) or isinstance(found, str):
        assert found == wanted
        return False
    assert [(tag, found.elements.vr(tag), found.elements.raw(tag)) for tag in found.elements] == [
        (tag, wanted.elements.vr(tag), wanted.elements.raw(tag)) for tag in wanted.elements
    ]
    assert found.elements.pixels == wanted.elements.pixels
    for name in ("pixel_tag", "pixel_vr", "pixel_offset", "pixel_length", "encapsulated"):
        assert getattr(found, name) == getattr(wanted, name)
    return found.elements.cache is not None


def registered(data: bytes, syntax: str, alike: HeaderTemplate | None) -> object:
    try:
        return register(data, syntax, alike=alike)
    except (MalformedDataSet, InvalidUID) as error:
        return str(error)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_a_series_is_alike_but_for_what_differs(syntax: str) -> None:
    alike = HeaderTemplate()
    assert [same(alike, image(number, syntax), syntax) for number in range(8, 13)] == [
        False, False, True, True, True,
    ]  # fmt: skip
    cache = alike.scan(image(13, syntax), syntax).elements.cache
    assert cache is not None
    assert cache.varying == {0x00080018, 0x00200013, 0x00200032, 0x00280106, 0x20011003}


def test_the_last_of_what_occurs_twice_counts() -> None:
    alike = HeaderTemplate()
    last = element(0x00080060, b"CS", b"CT", EXPLICIT) + element(PIXELS, b"OW", b"", EXPLICIT)
    for kind in (b"MR", b"PT", b"XA", b"NM"):
        same(alike, element(0x00080060, b"CS", kind, EXPLICIT) + last, EXPLICIT)


def test_what_is_read_by_what_follows_is_never_alike() -> None:
    """Of an unknown VR, the length is right after which there is an element."""

    def data_set(after: bytes, distance: int) -> bytes:
        odd = struct.pack("<HH2sHI", 0x0010, 0x1000, b"QQ", 0, distance) + b"LO" + bytes(2)
        content, size = sequence([odd], undefined=True, syntax=EXPLICIT)
        return (
            element(0x00081140, b"SQ", content, EXPLICIT, size)
            + element(0x00200020, b"LO", after, EXPLICIT)
            + element(PIXELS, b"OW", b"\0\0", EXPLICIT)
        )

    like_an_element = element(0x00200024, b"LO", b"", EXPLICIT)
    distance = data_set(like_an_element, 0).index(like_an_element) - 32
    alike = HeaderTemplate()
    found = []
    for after in (b"12345678", b"abcdefgh", b"        ", like_an_element):
        data = data_set(after, distance)
        same(alike, data, EXPLICIT)
        found.append(isinstance(outcome(scan, data, EXPLICIT), str))
    assert found == [False, False, False, True]


def test_a_length_that_becomes_undefined_is_seen() -> None:
    alike = HeaderTemplate()
    end = element(0x00200020, b"LO", b"", EXPLICIT) + element(PIXELS, b"OW", b"", EXPLICIT)
    nested, size = sequence(
        [element(0x00100010, b"PN", b"", IMPLICIT)], undefined=True, syntax=IMPLICIT
    )
    for value, length in ((b"1234", None), (b"12", None), (b"", None), (nested, size)):
        same(alike, element(0x00091001, b"UN", value, EXPLICIT, length) + end, EXPLICIT)


def test_bytes_alone_do_not_make_it_alike() -> None:
    alike = HeaderTemplate()
    for number in range(4):
        same(alike, image(number), EXPLICIT)
    assert not same(alike, image(4), BIG)


def odd(length: int, rest: bytes) -> bytes:
    """Pixel data of an unknown VR, which are read by what their bytes look like."""
    return struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"QQ", length, len(rest)) + rest


ENDINGS = {
    "as ever": lambda syntax: element(PIXELS, b"OW", bytes(8), syntax),
    "longer": lambda syntax: element(PIXELS, b"OW", bytes(12), syntax),
    "none": lambda syntax: element(PIXELS, b"OW", b"", syntax),
    "cut": lambda syntax: element(PIXELS, b"OW", bytes(8), syntax)[:-1],
    "cut in the header": lambda syntax: element(PIXELS, b"OW", bytes(8), syntax)[:7],
    "padded": lambda syntax: element(PIXELS, b"OW", bytes(8), syntax) + bytes(6),
    "followed": lambda syntax: (
        element(PIXELS, b"OW", bytes(8), syntax) + element(0xFFFCFFFC, b"OB", bytes(2), syntax)
    ),
    "of another VR": lambda syntax: element(PIXELS, b"OB", bytes(8), syntax),
    "floats": lambda syntax: element(0x7FE00008, b"OF", bytes(8), syntax),
    "both": lambda syntax: (
        element(0x7FE00008, b"OF", bytes(8), syntax) + element(PIXELS, b"OW", bytes(8), syntax)
    ),
    "twice": lambda syntax: (
        element(PIXELS, b"OW", bytes(8), syntax) + element(PIXELS, b"OB", bytes(8), syntax)
    ),
    "odd": lambda _: odd(0, bytes(8)),
    "odd and short": lambda _: odd(12, bytes(8)),
}


@pytest.mark.parametrize("first", ENDINGS)
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_pixel_data_of_others_show_nothing_about_these(first: str, syntax: str) -> None:
    before = element(0x00080060, b"CS", b"CT", syntax)
    for second in ENDINGS:
        alike = HeaderTemplate()
        for name in (first, first, second, first, second):
            same(alike, before + ENDINGS[name](syntax), syntax)


values = st.binary(max_size=12).map(lambda value: value + b" " * (len(value) % 2))
places = st.integers(0, 60)
ELEMENTS = st.lists(
    st.tuples(
        st.sampled_from([0x00080005, *range(0x00080050, 0x00080090, 16), 0x00280103, 0x00290010]),
        st.sampled_from([b"LO", b"UN", b"OB", b"SQ", b"US", b"QQ"]),
        values,
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """Data sets one after the other: like the first, but for a value, an element, a byte."""
    syntax = draw(st.sampled_from([EXPLICIT, IMPLICIT]))
    base = draw(ELEMENTS)
    stream = []
    for _ in range(draw(st.integers(2, 7))):
        one = [list(each) for each in base]
        for place, value in draw(st.dictionaries(st.integers(0, 5), values, max_size=3)).items():
            one[place % len(one)][2] = value
        change = draw(st.sampled_from(["", "", "", "drop", "repeat", "kind", "noise", "cut"]))
        place = draw(places) % len(one)
        if change == "drop":
            del one[place]
        elif change == "repeat":
            one.insert(place, one[draw(places) % len(one)])
        elif change == "kind":
            one[place][1] = draw(st.sampled_from([b"LO", b"SQ", b"ZZ"]))
        data = bytearray(b"".join(_encoded(each, syntax) for each in one))
        data += element(draw(st.sampled_from([PIXELS, PIXELS, 0x7FE00008])), b"OW", b"\1\2", syntax)
        if change == "noise":
            data[draw(places) % len(data)] = draw(st.integers(0, 255))
        elif change == "cut":
            del data[-draw(st.integers(1, 12)) :]
        stream.append(bytes(data))
    return syntax, stream


def _encoded(each: list[object], syntax: str) -> bytes:
    tag, vr, value, undefined = each
    assert isinstance(tag, int)
    assert isinstance(vr, bytes)
    assert isinstance(value, bytes)
    if vr != b"SQ":
        return element(tag, vr, value, syntax)
    items = [element(0x00080100, b"LO", value, syntax)]
    content, size = sequence(items, undefined=bool(undefined), syntax=syntax)
    return element(tag, vr, content, syntax, size)


@settings(max_examples=300, deadline=None)
@given(streams())
def test_any_stream_is_read_as_if_each_came_alone(stream: tuple[str, list[bytes]]) -> None:
    syntax, data_sets = stream
    alike, to_check = HeaderTemplate(), HeaderTemplate(frozenset({0x00080005, 0x00080060}))
    for data in data_sets * 2:
        same(alike, data, syntax)
        try:
            wanted = scan(data, syntax, wanted=frozenset({0x00080005, 0x00080060})).elements
        except MalformedDataSet:
            continue
        found = to_check.scan(data, syntax).elements
        assert [(tag, found.raw(tag)) for tag in found] == [
            (tag, wanted.raw(tag)) for tag in wanted
        ]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "time": st.sampled_from([b"101112", b"101112.5", b""]),
                "maker": st.sampled_from([b"Philips ", b"SIEMENS "]),
                "institution": st.sampled_from([b"M\xfcnchen", b"Bern"]),
                "thickness": st.sampled_from([b"1.5 ", b"2 ", b"nan "]),
                "signed": st.sampled_from([b"\0\0", b"\1\0"]),
                "floats": st.just(b""),
                "creator": st.sampled_from([b"Philips Imaging DD 001", b"ELSCINT1"]),
            },
        ),
        min_size=3,
        max_size=9,
    )
)
def test_what_is_made_of_it_is_the_same(changes: list[dict[str, bytes]]) -> None:
    alike = HeaderTemplate()
    for number, more in enumerate(changes + changes):
        data = image(number, EXPLICIT, **more)
        assert registered(data, EXPLICIT, alike) == registered(data, EXPLICIT, None)


@pytest.mark.parametrize("name", ["signed", "creator"])
def test_what_tells_how_others_are_read_is_never_just_another_value(name: str) -> None:
    other = {"signed": b"\1\0", "creator": b"ELSCINT1"}[name]
    alike = HeaderTemplate()
    for number in range(6):
        elements = alike.scan(image(number), EXPLICIT).elements
        changed = alike.scan(image(number, EXPLICIT, **{name: other}), EXPLICIT).elements
        for one in (elements.cache, changed.cache):
            assert one is None or not one.varying & {0x00280103, 0x20010010}


def test_a_check_says_the_same() -> None:
    to_check = alike_to_check()
    for number in range(5):
        uid = f"1.9.{number}"
        check(image(number), EXPLICIT, sop_class_uid=None, sop_instance_uid=uid, alike=to_check)
        with pytest.raises(Exception, match="not the one that the command announced"):
            check(
                image(number), EXPLICIT, sop_class_uid=None, sop_instance_uid="1.9", alike=to_check
            )


def test_large_headers_are_not_remembered() -> None:
    large = element(0x00090010, b"LO", b"A ", EXPLICIT)
    large += element(0x00091001, b"UN", bytes(LARGEST), EXPLICIT)
    alike = HeaderTemplate()
    for _ in range(4):
        assert not same(alike, large + element(PIXELS, b"OW", b"\0\0", EXPLICIT), EXPLICIT)


def test_tables_have_every_name_once() -> None:
    from node.storage.ingest.registration import _KEPT

    for table in (
        standard_fields._DESCRIPTIVE,
        standard_fields._IDENTIFYING,
        standard_fields._ENHANCED,
        standard_fields._ISOTOPE,
        _KEPT,
    ):
        names = [name for name, *_ in table]
        assert len(set(names)) == len(names)
    assert len(dict(_PARTS)) == len(_PARTS)


def test_a_function_that_reads_only_constant_elements_runs_once() -> None:
    alike, runs = HeaderTemplate(), []

    def common(elements: object) -> int:
        runs.append("common")
        return elements.integer(0x00280010)  # type: ignore[attr-defined,no-any-return]

    def special(elements: object) -> int:
        runs.append("special")
        return elements.integer(0x00200013)  # type: ignore[attr-defined,no-any-return]

    def entry(elements: object, tag: int) -> int | None:
        runs.append(hex(tag))
        return elements.integer(tag)  # type: ignore[attr-defined,no-any-return]

    for number in range(3):
        alike.scan(image(number), EXPLICIT)
    table = [("Rows", 0x00280010, entry), ("Number", 0x00200013, entry), ("No", 0x1, entry)]
    for number in range(4, 8):
        elements = alike.scan(image(number), EXPLICIT).elements
        assert elements.cache is not None
        assert cached(elements, common) == 2
        assert cached(elements, special) == number
        assert read_table(elements, table) == {"Rows": 2, "Number": number}
    assert runs.count("common") == 1
    assert runs.count("special") == 4
    assert (runs.count("0x280010"), runs.count("0x200013")) == (1, 4 + 1)


def corpus_folders() -> Iterator[list[Path]]:
    for folder in sorted({path.parent for path in CORPUS.rglob("*") if path.is_file()}):
        yield sorted(path for path in folder.iterdir() if path.is_file())


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not here")
def test_every_folder_of_the_corpus_is_registered_the_same() -> None:
    seen = taken = 0
    for files in corpus_folders():
        alike = HeaderTemplate()
        random.Random(len(files)).shuffle(files)
        for path in files[:60]:
            raw = path.read_bytes()
            try:
                start = find_data_set(raw)
            except MalformedDataSet:
                continue
            data = memoryview(raw)[start.offset :]
            syntax = start.transfer_syntax_uid
            assert registered(data, syntax, alike) == registered(data, syntax, None), path  # type: ignore[arg-type]
            if syntax != "1.2.840.10008.1.2.1.99":
                seen += 1
                taken += same(alike, bytes(data), syntax)
    assert taken > seen / 2


def test_what_one_has_behind_its_pixel_data_is_not_the_next_ones() -> None:
    uids = [(0x00080016, "1.2.3"), (0x00080018, "1.2.4"), (0x0020000D, "1.2.5")]
    uids.append((0x0020000E, "1.2.6"))

    def element(tag: int, vr: bytes, value: bytes) -> bytes:
        head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little") + vr
        if vr == b"OW":
            return head + bytes(2) + len(value).to_bytes(4, "little") + value
        return head + len(value).to_bytes(2, "little") + value

    plain = b"".join(element(tag, b"UI", uid.encode() + b"\0") for tag, uid in uids)
    plain += element(0x00200013, b"IS", b"55") + element(0x7FE00010, b"OW", bytes(8))
    alike = HeaderTemplate()
    followed = plain + element(0x00200013, b"IS", b"77")
    alike.scan(followed, "1.2.840.10008.1.2.1")
    for _ in range(2):
        assert alike.scan(plain, "1.2.840.10008.1.2.1").elements.integer(0x00200013) == 55
        assert alike.scan(followed, "1.2.840.10008.1.2.1").elements.integer(0x00200013) == 77
