"""Associations that we open: every way in which a peer can fail us has its sentence."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace

import pytest

from node.dimse.upper_layer.messages import encode_message
from node.dimse.upper_layer.pdus import Proposal
from node.dimse.upper_layer.requestor import MAX_PDU, Destination, PeerSilent, Requestor

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
ECHO = {"AffectedSOPClassUID": VERIFICATION, "CommandField": 0x0030}
RELEASE_RQ, RELEASE_RP = b"\5\0" + struct.pack(">L4x", 4), b"\6\0" + struct.pack(">L4x", 4)
ABORT = b"\7\0" + struct.pack(">L4x", 4)


def item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def accept(result: int = 0) -> bytes:
    context = item(0x21, bytes((1, 0, result, 0)) + item(0x40, IMPLICIT.encode()))
    user = item(0x50, item(0x51, struct.pack(">L", 16384)))
    body = bytes(68) + item(0x10, b"1.2.840.10008.3.1.1.1") + context + user
    return struct.pack(">BxL", 2, len(body)) + body


def read_pdu(connection: socket.socket) -> bytes:
    head = connection.recv(6, socket.MSG_WAITALL)
    if len(head) < 6:
        return b""
    length = int.from_bytes(head[2:], "big")
    return head + connection.recv(length, socket.MSG_WAITALL)


Script = Callable[[socket.socket], None]


@contextmanager
def peer(script: Script) -> Iterator[Destination]:
    """A peer that does what a test wants."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        failed: list[BaseException] = []

        def serve() -> None:
            connection, _ = listening.accept()
            with closing(connection):
                connection.settimeout(5)
                try:
                    script(connection)
                except OSError as error:
                    failed.append(error)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Destination("127.0.0.1", listening.getsockname()[1], "PEER", "US", seconds=0.5)
        thread.join(5)


def associate(destination: Destination) -> Requestor:
    return Requestor(destination, [Proposal(VERIFICATION, (IMPLICIT,))])


def answering(*answers: bytes) -> Script:
    """Read a PDU, write the next answer; then wait for the other side to hang up."""

    def script(connection: socket.socket) -> None:
        for answer in answers:
            read_pdu(connection)
            connection.sendall(answer)
        while read_pdu(connection):
            pass

    return script


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"\3\0" + struct.pack(">L", 4) + b"\0\1\1\7", "called AE title not recognized"),
        (ABORT, "aborted the association, or does not speak DICOM"),
        (b"HTTP/1.1 400 Bad Request\r\n", "PDU larger than the agreed maximum"),
        (accept(result=3), "accepts none of the proposed services"),
        (
            b"\2\0" + struct.pack(">L", 75) + bytes(68) + b"\x21\0\xff\xff123",
            "does not speak DICOM",
        ),
        (b"\2\0\0\0", "no answer in time"),
        (b"", "no answer in time"),
    ],
)
def test_no_association(answer: bytes, said: str) -> None:
    with peer(answering(answer)) as destination, pytest.raises(PeerSilent, match=said):
        associate(destination)


def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        where = Destination("127.0.0.1", unused.getsockname()[1], "PEER", "US", seconds=0.5)
        with pytest.raises(PeerSilent, match="cannot be reached"):
            associate(where)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "no answer in time"),
        (ABORT, "aborted the association"),
        (RELEASE_RQ, "released the association"),
        (struct.pack(">BxL", 4, MAX_PDU * 2), "larger than the agreed maximum"),
        (struct.pack(">BxL", 4, 6) + struct.pack(">LBB", 99, 1, 3), "sends an invalid message"),
        (
            struct.pack(">BxL", 4, 14) + struct.pack(">LBB", 10, 1, 3) + b"\0\0\0\1\x0a\0\0\0",
            "sends an invalid message",
        ),
    ],
)
def test_no_answer(answer: bytes, said: str) -> None:
    with peer(answering(accept(), answer)) as destination:
        requestor = associate(destination)
        message_id = requestor.request(1, ECHO)
        with pytest.raises(PeerSilent, match=said):
            requestor.response(message_id)
        requestor.abort()


def dripping(*answers: bytes) -> Script:
    """As `answering`, but the last answer comes a byte at a time."""

    def script(connection: socket.socket) -> None:
        for answer in answers[:-1]:
            read_pdu(connection)
            connection.sendall(answer)
        for byte in answers[-1]:
            connection.sendall(bytes((byte,)))
            time.sleep(0.02)

    return script


@pytest.mark.parametrize("seconds", [0.3, 60.0])
def test_an_answer_that_drips_is_cut(seconds: float) -> None:
    """By what each answer may take, or by what the whole association may."""
    answer = struct.pack(">BxL", 4, 4000) + bytes(4000)
    with peer(dripping(accept(), answer)) as there:
        deadline = time.monotonic() + (0.3 if seconds > 1 else 60)
        requestor = associate(replace(there, seconds=seconds, deadline=deadline))
        began = time.monotonic()
        with pytest.raises(PeerSilent, match="no answer in time"):
            requestor.response(requestor.request(1, ECHO))
        assert time.monotonic() - began < 5
        requestor.abort()


def test_an_association_has_one_deadline_for_everything() -> None:
    """Each answer comes in good time, and there is no end of them."""

    def script(connection: socket.socket) -> None:
        read_pdu(connection)
        connection.sendall(accept())
        for message_id in range(1, 1000):
            if not read_pdu(connection):
                return
            time.sleep(0.05)
            connection.sendall(echo_response(message_id))

    with peer(script) as there:
        requestor = associate(replace(there, seconds=30.0, deadline=time.monotonic() + 0.5))

        def ask_on() -> None:
            for _ in range(100):
                requestor.response(requestor.request(1, ECHO))

        with pytest.raises(PeerSilent, match=r"timed-out|no answer in time"):
            ask_on()
        requestor.abort()


def test_a_release_does_not_wait_for_a_peer_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.dimse.upper_layer.requestor.RELEASE_SECONDS", 0.2)

    def script(connection: socket.socket) -> None:
        read_pdu(connection)
        connection.sendall(accept())
        with suppress(OSError):
            while True:
                connection.sendall(echo_response(1))
                time.sleep(0.01)

    with peer(script) as there:
        requestor = associate(there)
        began = time.monotonic()
        requestor.release()
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("tls", [False, True])
def test_a_host_name_that_is_none(tls: bool) -> None:
    context = ssl.create_default_context() if tls else None
    with pytest.raises(PeerSilent, match=r"bad-host-name: 'pacs\.\.example' is no host name"):
        associate(Destination("pacs..example", 104, "PEER", "US", context))


def echo_response(message_id: int) -> bytes:
    command = {"CommandField": 0x8030, "MessageIDBeingRespondedTo": message_id, "Status": 0}
    return encode_message(1, command, None, 0)


def test_an_answer_to_something_else_is_not_ours() -> None:
    both = echo_response(99) + echo_response(1)
    with (
        peer(answering(accept(), both, RELEASE_RP)) as destination,
        associate(destination) as requestor,
    ):
        message = requestor.response(requestor.request(1, ECHO))
    assert message.command["MessageIDBeingRespondedTo"] == 1


def test_both_release_at_once() -> None:
    heard: list[bytes] = []

    def script(connection: socket.socket) -> None:
        read_pdu(connection)
        connection.sendall(accept())
        heard.append(read_pdu(connection))
        connection.sendall(RELEASE_RQ)
        heard.append(read_pdu(connection))
        connection.sendall(RELEASE_RP)

    with peer(script) as destination:
        associate(destination).release()
    assert [pdu[0] for pdu in heard] == [5, 6]


def test_after_an_error_the_peer_is_told_at_once() -> None:
    heard: list[bytes] = []

    def script(connection: socket.socket) -> None:
        read_pdu(connection)
        connection.sendall(accept())
        heard.append(read_pdu(connection))

    with (
        peer(script) as destination,
        pytest.raises(ValueError, match="ours"),
        associate(destination),
    ):
        raise ValueError("ours")
    assert heard[0][0] == 7
