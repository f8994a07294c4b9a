"""C-STORE requests arrive in whatever pieces, and come out as they were sent."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.dimse.scp.store.buffer_pool import BufferPool
from node.dimse.scp.store.message_reader import MessageReader, ProtocolError, Stage
from node.dimse.scp.store.store_messages import StoreRequest
from node.dimse.upper_layer.messages import C_ECHO_RQ, C_STORE_RQ, MalformedMessage, encode_message
from node.storage.spill import Spill

SYNTAX = "1.2.840.10008.1.2.1"
CONTEXTS = {1: SYNTAX, 3: SYNTAX}
RELEASE = struct.pack(">BxLL", 5, 4, 0)


def no_spill(_request: StoreRequest) -> Spill:
    raise AssertionError("it fits into memory")


def sent(number: int, data: bytes, largest: int = 16384) -> bytes:
    command = {
        "AffectedSOPClassUID": "1.2.3",
        "CommandField": C_STORE_RQ,
        "MessageID": number,
        "AffectedSOPInstanceUID": f"1.9.{number}",
    }
    return encode_message(1, command, data, largest)


def read_all(
    reader: MessageReader, stream: bytes, pieces: Iterator[int]
) -> Iterator[tuple[int, bytes] | Stage]:
    """What is read from a stream that arrives in pieces: requests, and how it ends."""
    stage = reader.read()
    while True:
        if stage is Stage.COMPLETE:
            assert reader.request is not None
            with reader.data_set() as view:
                yield reader.request.message_id, bytes(view)
            reader.finish()
            stage = reader.read()
        elif stage is Stage.OTHER_MESSAGE or not stream:
            yield stage
            return
        else:
            if reader.full:
                reader.spill_over()
            room = reader.room()
            count = min(len(room), next(pieces), len(stream))
            room[:count], stream = stream[:count], stream[count:]
            stage = reader.received(count)


@given(
    st.lists(st.binary(max_size=400), min_size=1, max_size=4),
    st.integers(7, 500),
    st.lists(st.integers(1, 700), min_size=1),
)
def test_whatever_the_pieces(data_sets: list[bytes], largest: int, sizes: list[int]) -> None:
    stream = b"".join(sent(n, data, largest) for n, data in enumerate(data_sets))
    reader = MessageReader(CONTEXTS, BufferPool(1 << 20), no_spill)
    found = list(read_all(reader, stream + RELEASE, cycle(sizes)))
    assert found == [*enumerate(data_sets), Stage.OTHER_MESSAGE]
    assert RELEASE.startswith(reader.take_unread())
    assert not reader.midway


@given(st.lists(st.integers(1000, 90_000), min_size=1, max_size=20), st.integers(20_000, 131_072))
def test_large_fragments_and_a_growing_buffer(sizes: list[int], largest: int) -> None:
    data = bytes(range(256)) * 1500  # more than one buffer of those below
    reader = MessageReader(CONTEXTS, BufferPool(1 << 19), no_spill)
    reader._buffers._free.append(memoryview(bytearray(1 << 14)))
    stream = sent(1, data, largest) + sent(2, data[:70_000], largest)
    found = list(read_all(reader, stream, cycle(sizes)))
    assert found == [(1, data), (2, data[:70_000]), Stage.INCOMPLETE]


def test_what_outgrows_the_memory_goes_into_a_file(tmp_path: Path) -> None:
    data = bytes(range(251)) * 1200
    spill = Spill(tmp_path / "part", b"meta", lambda _size: None)
    reader = MessageReader(CONTEXTS, BufferPool(1 << 17), lambda _request: spill)
    stream = sent(1, data) + sent(2, b"next")
    found = list(read_all(reader, stream, iter([50_000] * 100)))
    assert found == [(1, data), (2, b"next"), Stage.INCOMPLETE]
    assert not spill.path.exists()  # nobody kept it


def test_what_is_no_store_request_is_left_as_it_came() -> None:
    echo = encode_message(3, {"CommandField": C_ECHO_RQ, "MessageID": 2}, None, 0)
    reader = MessageReader(CONTEXTS, BufferPool(1 << 20), no_spill)
    assert list(read_all(reader, sent(1, b"x") + echo, iter([7] * 100)))[-1] is Stage.OTHER_MESSAGE
    rest = reader.take_unread()
    assert echo.startswith(rest)
    assert reader.request is None


@pytest.mark.parametrize("size", [1, 1000])
def test_a_command_counts_only_where_data_are_sent(size: int) -> None:
    stream = bytes([9]) + sent(1, b"12345678")[1:]  # PDU type 09H is none (PS3.8 9.3.1)
    assert ended(stream, size) == [Stage.OTHER_MESSAGE]


def test_an_abort_amid_a_data_set_is_left_as_it_came() -> None:
    abort = struct.pack(">BxLL", 7, 4, 0)
    reader = MessageReader(CONTEXTS, BufferPool(1 << 20), no_spill)
    begun = sent(1, bytes(100), 80)
    begun = begun[: begun.rindex(struct.pack(">BxL", 4, 32))]
    assert list(read_all(reader, begun + abort, iter([4096] * 9))) == [Stage.OTHER_MESSAGE]
    assert reader.take_unread() == abort


def test_two_values_in_one_pdu() -> None:
    """A PDU that ends one message may begin the next (PS3.8 9.3.5.1)."""
    first, second = sent(1, b"abcd"), sent(2, b"efgh")
    values = b""
    for message in (first, second):
        at = 0
        while at < len(message):
            (length,) = struct.unpack_from(">L", message, at + 2)
            values += message[at + 6 : at + 6 + length]
            at += 6 + length
    reader = MessageReader(CONTEXTS, BufferPool(1 << 20), no_spill)
    stream = struct.pack(">BxL", 4, len(values)) + values
    assert list(read_all(reader, stream, iter([11] * 100))) == [
        (1, b"abcd"),
        (2, b"efgh"),
        Stage.INCOMPLETE,
    ]


fragments = st.lists(
    st.tuples(st.binary(max_size=40), st.sampled_from([0, 0, 0, 2]), st.booleans()), max_size=6
)
"""What each holds, its flags, and whether it is in the PDU of the one before."""
lies = st.tuples(
    st.integers(0, 5),
    st.sampled_from(["kind", "PDU", "value", "both", "context", "flags"]),
    st.sampled_from([-9, -2, 1, 3, 5, 1 << 18]),
)


@given(fragments, st.lists(lies, max_size=1), st.integers(1, 60))
def test_right_or_wrong_the_pieces_make_no_difference(
    parts: list[tuple[bytes, int, bool]], wrong: list[tuple[int, str, int]], size: int
) -> None:
    """What has come as a whole is taken apart in fewer steps, and to the same end."""
    stream = sent(1, b"first") + sent(2, b"")[:-12]  # its data set is still to come
    body = b""
    for number, (part, usual, joined) in enumerate(parts):
        off = {what: by for where, what, by in wrong if where == number}
        both = off.get("both", 0)
        length = max(0, len(part) + 2 + off.get("value", 0) + both)
        context = (1 + off.get("context", 0)) % 256
        flags = (usual + off.get("flags", 0)) % 256
        value = struct.pack(">LBB", length, context, flags) + part
        body = body + value if joined else value
        if number + 1 == len(parts) or not parts[number + 1][2]:
            length = max(0, len(body) + off.get("PDU", 0) + both)
            stream += struct.pack(">BxL", (4 + off.get("kind", 0)) % 256, length) + body
    stream += struct.pack(">BxLLBB", 4, 9, 5, 1, 2) + b"end" + RELEASE + bytes(64)
    assert ended(stream, len(stream)) == ended(stream, size)


def ended(stream: bytes, size: int) -> list[object]:
    """What came out of a stream, and how it ended."""
    found: list[object] = []
    try:
        for one in read_all(
            MessageReader(CONTEXTS, BufferPool(1 << 16), no_spill), stream, cycle([size])
        ):
            found.append(one)  # noqa: PERF402  what came before an error counts
    except (ProtocolError, MalformedMessage) as error:
        found.append(type(error))
    return found


def _with(change: Callable[[bytearray], None]) -> bytes:
    stream = bytearray(sent(1, b"12345678"))
    change(stream)
    return bytes(stream)


@pytest.mark.parametrize(
    "stream",
    [
        _with(lambda s: s.__setitem__(10, 9)),  # a context that was not accepted
        _with(lambda s: s.__setitem__(11, 2)),  # a data set without a command
        _with(lambda s: s.__setitem__(slice(2, 6), b"\x7f\xff\xff\xff")),  # too long a PDU
        _with(lambda s: s.__setitem__(slice(6, 10), b"\0\0\x7f\xff")),  # a value longer than it
        sent(1, b"12345678", 10)[:-16]  # too long a PDU that is not the first one
        + struct.pack(">BxLLBB", 4, 1 << 18, (1 << 18) - 4, 1, 2),
        _with(lambda s: s.__setitem__(-9, 3)),  # a second command
        _with(lambda s: s.__setitem__(-10, 3)),  # a data set in another context
    ],
)
def test_what_cannot_come_here_ends_it(stream: bytes) -> None:
    reader = MessageReader(CONTEXTS, BufferPool(1 << 20), no_spill)
    with pytest.raises(ProtocolError):
        list(read_all(reader, stream, iter([4096] * 9)))
