"""CSA headers and protocols: both kinds read alike, damage noticed, garbage harmless."""

from __future__ import annotations

from struct import pack_into

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node.assemble.frames.headers import encode_header
from node.assemble.vendors.siemens.csa import parse_csa
from node.assemble.vendors.siemens.protocol import number, parse_protocol, slices, whole
from tests.phantom import Phantom
from tests.unit.assemble.build import header
from tests.unit.assemble.siemens_scans import (
    Mosaic,
    Tags,
    csa1,
    csa1_surplus,
    csa2,
    planned,
    protocol,
    sheet,
)

TAGS: Tags = {
    "EchoLinePosition": ("IS", ["32"]),
    "ImaCoilString": ("LO", ["T:HEA;HEP"]),
    "SliceNormalVector": ("FD", ["0.00000000 ", "0.10799944", "0.99415095"]),
    "B_value": ("IS", []),
}
READ = {
    "EchoLinePosition": ("32",),
    "ImaCoilString": ("T:HEA;HEP",),
    "SliceNormalVector": ("0.00000000", "0.10799944", "0.99415095"),
    "B_value": (),
}


@pytest.mark.parametrize("write", [csa1, csa1_surplus, csa2])
def test_both_kinds_say_the_same(write: object) -> None:
    assert callable(write)
    raw = write(TAGS)
    assert parse_csa(raw) == READ
    assert parse_csa(raw + b"\0padding") == READ


def test_all_items_count_where_the_multiplicity_is_zero() -> None:
    raw = bytearray(csa2({"MosaicRefAcqTimes": ("FD", ["0.0", "72.5", "142.5"])}))
    pack_into("<i", raw, 16 + 64, 0)
    assert parse_csa(bytes(raw)) == {"MosaicRefAcqTimes": ("0.0", "72.5", "142.5")}
    pack_into("<i", raw, 16 + 64, 2)
    assert parse_csa(bytes(raw)) == {"MosaicRefAcqTimes": ("0.0", "72.5")}


@pytest.mark.parametrize("write", [csa1, csa1_surplus, csa2])
def test_a_header_that_is_cut_off_gives_nothing(write: object) -> None:
    assert callable(write)
    raw = write(TAGS)
    for length in range(0, len(raw) - 20, 7):
        assert parse_csa(raw[:length]) is None


@pytest.mark.parametrize(
    ("at", "value"),
    [(8, 0), (8, 2_000_000_000), (12, 78), (16 + 76, 2_000_000_000), (16 + 80, 0), (16 + 88, -1)],
)
def test_counts_and_lengths_that_cannot_be_are_damage(at: int, value: int) -> None:
    raw = bytearray(csa2(TAGS))
    pack_into("<I", raw, at, value & 0xFFFFFFFF)
    assert parse_csa(bytes(raw)) is None


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400))
@example(b"SV10")
def test_garbage_is_no_header(raw: bytes) -> None:
    assert (
        parse_csa(raw) is None or raw.startswith(b"SV10") or raw[4:8] in (b"M\0\0\0", b"\xcd\0\0\0")
    )


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from([csa1(TAGS), csa1_surplus(TAGS), csa2(TAGS)]),
    st.lists(st.tuples(st.integers(0, 800), st.integers(0, 255)), max_size=4),
)
def test_a_damaged_header_never_raises(raw: bytes, damage: list[tuple[int, int]]) -> None:
    broken = bytearray(raw)
    for at, value in damage:
        broken[at % len(broken)] = value
    found = parse_csa(bytes(broken))
    assert found is None or all(isinstance(name, str) for name in found)


SHEET = sheet(Phantom(), Mosaic())
CSA_VALUES = {tag: SHEET[tag].value for tag in (0x00291010, 0x00291020)}


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(sorted(CSA_VALUES)),
    st.integers(0, 2000),
    st.binary(min_size=1, max_size=12),
)
def test_a_damaged_mosaic_is_described_or_refused(tag: int, at: int, noise: bytes) -> None:
    value = bytearray(CSA_VALUES[tag])
    at %= len(value) - len(noise)
    value[at : at + len(noise)] = noise
    dataset = sheet(Phantom(), Mosaic())
    dataset[tag].value = bytes(value)
    made = header(dataset)
    assert made.problem is not None or len(made.frames) == 4
    assert encode_header(made)


def test_the_last_protocol_counts() -> None:
    found = parse_protocol(b"garbage" + protocol({"lRepetitions": 9, "ucMode": "0x10 # text"}))
    assert whole(found, "lRepetitions") == 9
    assert whole(found, "ucMode") == 16
    assert whole(found, "sSliceArray.lSize") is None


@pytest.mark.parametrize("value", ["", "abc", "nan", "1e999", "0x", "0xZZ"])
def test_a_setting_that_is_no_number_is_none(value: str) -> None:
    assert number(parse_protocol(protocol({"dValue": value})), "dValue") is None


def test_text_is_without_its_quotes() -> None:
    found = parse_protocol(protocol({"tSequenceFileName": '""%SiemensSeq%\\ep2d_bold""'}))
    assert found["tSequenceFileName"] == "%SiemensSeq%\\ep2d_bold"


def test_a_protocol_without_its_end_is_none() -> None:
    assert parse_protocol(protocol({"lRepetitions": 9})[-60:-25]) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"sSliceArray.lSize": 9},
        {"sSliceArray.lSize": 5000},
        {"sSliceArray.asSlice[2].sPosition.dTra": "x"},
        {"sSliceArray.asSlice[2].sNormal.dTra": 0.5},
        {"sKSpace.ucDimension": "0x4"},
    ],
)
def test_slices_are_all_there_or_none(changes: dict[str, object]) -> None:
    whole_one = planned(Phantom(), Mosaic())
    assert len(slices(parse_protocol(protocol(whole_one)))) == 4
    assert slices(parse_protocol(protocol(whole_one | changes))) == ()
