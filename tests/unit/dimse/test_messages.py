"""Messages as bytes: what we write others read, and the other way round."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode
from pynetdicom.pdu import P_DATA_TF

from node.dimse.upper_layer.messages import (
    Assembler,
    MalformedMessage,
    Message,
    decode_command,
    encode_command,
    encode_message,
    fragments,
)

COMMAND = {
    "AffectedSOPClassUID": "1.2.840.10008.5.1.4.1.2.2.1",
    "CommandField": 0x8020,
    "MessageIDBeingRespondedTo": 7,
    "CommandDataSetType": 1,
    "Status": 0xA900,
    "OffendingElement": (0x0020000D, 0x00080052),
    "ErrorComment": "no Study Instance UID",
}


def read_by_pynetdicom(encoded: bytes) -> Dataset:
    from io import BytesIO

    return decode(BytesIO(encoded), True, True)


def test_pynetdicom_reads_our_command_sets() -> None:
    read = read_by_pynetdicom(encode_command(COMMAND))
    assert read.CommandGroupLength == len(encode_command(COMMAND)) - 12
    assert read.Status == 0xA900
    assert list(read.OffendingElement) == [0x0020000D, 0x00080052]
    assert read.ErrorComment == "no Study Instance UID"
    assert read.AffectedSOPClassUID == COMMAND["AffectedSOPClassUID"]


def test_we_read_our_own() -> None:
    assert decode_command(encode_command(COMMAND)) == COMMAND


def test_comments_are_cut_and_ascii() -> None:
    found = decode_command(encode_command({"CommandField": 1, "ErrorComment": "é" * 100}))
    assert found["ErrorComment"] == "?" * 64


@pytest.mark.parametrize("cut", [1, 7, 9, 13])
def test_cut_command_sets_are_refused(cut: int) -> None:
    with pytest.raises(MalformedMessage):
        decode_command(encode_command(COMMAND)[:-cut])


@given(st.binary(max_size=60))
def test_noise_is_no_command_set(noise: bytes) -> None:
    with suppress(MalformedMessage):
        decode_command(noise)


def pdus(encoded: bytes) -> list[bytes]:
    found = []
    while encoded:
        length = 6 + int.from_bytes(encoded[2:6], "big")
        found.append(encoded[:length])
        encoded = encoded[length:]
    return found


@given(
    st.one_of(st.none(), st.binary(max_size=3000)),
    st.integers(20, 400) | st.just(0),
    st.integers(1, 255),
)
def test_messages_survive_their_way_through_pdus(data, max_pdu: int, context: int) -> None:
    encoded = encode_message(context, {"CommandField": 0x8020, "Status": 0}, data, max_pdu)
    assembler = Assembler(1 << 20)
    whole: list[Message] = []
    for pdu in pdus(encoded):
        assert max_pdu == 0 or len(pdu) - 6 <= max_pdu
        parsed = P_DATA_TF()
        parsed.decode(pdu)
        whole.extend(assembler.feed(pdu[6:]))
    (message,) = whole
    assert message.context_id == context
    assert message.data == data
    assert message.command["CommandDataSetType"] == (0x0101 if data is None else 1)


@given(st.lists(st.binary(max_size=100), max_size=20), st.integers(10, 90))
def test_pieces_do_not_matter(chunks: list[bytes], max_pdu: int) -> None:
    data = b"".join(chunks)
    joined = b"".join(fragments(1, chunks, len(data), max_pdu))
    whole = b"".join(fragments(1, [data], len(data), max_pdu))
    assert joined == whole


def test_large_data_sets_come_in_batches() -> None:
    parts = list(fragments(1, [bytes(1 << 20)], 1 << 20, 16384))
    assert len(parts) > 2


def test_what_is_too_large_is_not_put_together() -> None:
    assembler = Assembler(100)
    encoded = encode_message(1, {"CommandField": 1}, bytes(101), 0)
    command, data = pdus(encoded)
    assert list(assembler.feed(command[6:])) == []
    with pytest.raises(MalformedMessage):
        list(assembler.feed(data[6:]))


@pytest.mark.parametrize(
    "body",
    [b"\0\0", struct.pack(">LBB", 100, 1, 3) + b"x", struct.pack(">LBB", 1, 1, 3)],
)
def test_lying_values_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedMessage):
        list(Assembler(100).feed(body))


def test_a_data_set_needs_a_command_set() -> None:
    with pytest.raises(MalformedMessage):
        list(Assembler(100).feed(struct.pack(">LBB", 4, 1, 2) + b"xx"))
