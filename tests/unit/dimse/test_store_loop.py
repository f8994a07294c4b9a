"""Lent connections are served together, and returned when something else has to be done."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

import pytest

from node.dimse.scp.store import store_loop as store_loop_module
from node.dimse.scp.store.buffer_pool import BufferPool
from node.dimse.scp.store.lent_connection import LentConnection, ReturnReason
from node.dimse.scp.store.message_reader import MessageReader, ProtocolError
from node.dimse.scp.store.store_loop import StoreLoop
from node.dimse.scp.store.store_messages import StoreRequest, stored
from node.dimse.upper_layer.connection import ConnectionLost, PeerConnection, TooSlow
from node.dimse.upper_layer.messages import C_ECHO_RQ, C_STORE_RQ, encode_message
from node.storage.spill import Spill

BUFFERS = BufferPool(1 << 20)
SECONDS = 10.0  # for what takes milliseconds


def no_spill(_request: StoreRequest) -> Spill:
    raise AssertionError("it fits into memory")


def request(number: int, data: bytes = b"12345678") -> bytes:
    command = {
        "AffectedSOPClassUID": "1.2.3",
        "CommandField": C_STORE_RQ,
        "MessageID": number,
        "AffectedSOPInstanceUID": f"1.9.{number}",
    }
    return encode_message(1, command, data, 16384)


def answer(number: int) -> bytes:
    return stored(StoreRequest(1, number, "1.2.3", f"1.9.{number}", "1.2"))


@dataclass
class Service:
    """Answers what it is told to answer, and remembers who came together."""

    batches: list[int] = field(default_factory=list)
    refused: frozenset[int] = frozenset()
    hold: threading.Event = field(default_factory=threading.Event)
    came: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None
    look: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.hold.set()

    def serve(
        self, lent: Sequence[LentConnection[None]], meanwhile: Callable[[], None]
    ) -> list[bytes | None]:
        self.came.set()
        assert self.hold.wait(SECONDS)
        meanwhile()
        self.look()
        if self.error is not None:
            raise self.error
        requests = [one.reader.request for one in lent]
        self.batches.append(len(lent))
        return [
            None if one is None or one.message_id in self.refused else stored(one)
            for one in requests
        ]


class Peer:
    """Both ends of a connection, of which one is lent to the store loop."""

    def __init__(self, stack: ExitStack, store_loop: StoreLoop[None]) -> None:
        ours, self.theirs = (stack.enter_context(end) for end in socket.socketpair())
        self.theirs.settimeout(SECONDS)
        self.out = threading.Event()
        connection, reader = PeerConnection(ours), MessageReader({1: "1.2"}, BUFFERS, no_spill)
        self.lent = LentConnection(connection, reader, None, self._ring)
        store_loop.lend(self.lent)

    def _ring(self) -> None:
        assert self.lent.returned is not None
        self.out.set()

    def heard(self, wanted: bytes) -> None:
        found = b""
        while len(found) < len(wanted):
            found += self.theirs.recv(65536)
        assert found == wanted

    def left(self) -> ReturnReason | None:
        assert self.out.wait(SECONDS)
        return self.lent.returned


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.fixture
def store_loop(service: Service) -> Iterator[StoreLoop[None]]:
    made: StoreLoop[None] = StoreLoop(service.serve)
    made.start()
    yield made
    made.close()
    assert not made._loop.alive


def test_those_who_come_meanwhile_are_served_together(
    stack: ExitStack, store_loop: StoreLoop[None], service: Service
) -> None:
    first, *others = [Peer(stack, store_loop) for _ in range(4)]
    service.hold.clear()
    first.theirs.sendall(request(1))
    assert service.came.wait(SECONDS)
    for number, other in enumerate(others, 2):
        other.theirs.sendall(request(number))
    service.hold.set()
    for number, peer in enumerate([first, *others], 1):
        peer.heard(answer(number))
    assert service.batches == [1, 3]


def test_others_are_received_while_the_disk_works(
    stack: ExitStack, store_loop: StoreLoop[None], service: Service
) -> None:
    first, other = Peer(stack, store_loop), Peer(stack, store_loop)
    seen: list[bool] = []
    service.look = lambda: seen.append(other.lent.complete)
    service.hold.clear()
    first.theirs.sendall(request(1))
    assert service.came.wait(SECONDS)
    other.theirs.sendall(request(2, bytes(70_000)))
    service.hold.set()
    first.heard(answer(1))
    other.heard(answer(2))
    assert service.batches == [1, 1]
    assert seen[0]


def test_a_slow_peer_holds_nobody_up(stack: ExitStack, store_loop: StoreLoop[None]) -> None:
    slow, quick = Peer(stack, store_loop), Peer(stack, store_loop)
    whole = request(1, bytes(70_000))
    slow.theirs.sendall(whole[:40_000])
    for number in range(2, 6):
        quick.theirs.sendall(request(number))
        quick.heard(answer(number))
    slow.theirs.sendall(whole[40_000:])
    slow.heard(answer(1))


def test_requests_that_come_at_once_are_served_one_after_the_other(
    stack: ExitStack, store_loop: StoreLoop[None], service: Service
) -> None:
    peer = Peer(stack, store_loop)
    peer.theirs.sendall(b"".join(request(number) for number in range(1, 9)))
    peer.heard(b"".join(answer(number) for number in range(1, 9)))
    assert service.batches == [1] * 8


def test_what_is_no_store_request_leaves_with_the_connection(
    stack: ExitStack, store_loop: StoreLoop[None]
) -> None:
    peer = Peer(stack, store_loop)
    echo = encode_message(1, {"CommandField": C_ECHO_RQ, "MessageID": 2}, None, 0)
    peer.theirs.sendall(request(1) + echo)
    peer.heard(answer(1))
    assert peer.left() is ReturnReason.OTHER_MESSAGE
    assert peer.lent.reader.take_unread() == echo


def test_a_connection_is_called_back_between_requests(
    stack: ExitStack, store_loop: StoreLoop[None], service: Service
) -> None:
    idle, busy = Peer(stack, store_loop), Peer(stack, store_loop)
    service.hold.clear()
    busy.theirs.sendall(request(1))
    assert service.came.wait(SECONDS)
    store_loop.recall(busy.lent)
    service.hold.set()
    busy.heard(answer(1))
    assert busy.left() is ReturnReason.RECALLED
    store_loop.recall(idle.lent)
    assert idle.left() is ReturnReason.RECALLED


def test_what_is_refused_here_is_for_its_own_thread(
    stack: ExitStack, store_loop: StoreLoop[None], service: Service
) -> None:
    service.refused = frozenset({7})
    odd, good = Peer(stack, store_loop), Peer(stack, store_loop)
    odd.theirs.sendall(request(7))
    good.theirs.sendall(request(8))
    good.heard(answer(8))
    assert odd.left() is ReturnReason.OWN_THREAD
    assert bytes(odd.lent.reader.view()) == b"12345678"


def test_an_error_of_the_service_does_not_end_the_loop(
    stack: ExitStack,
    store_loop: StoreLoop[None],
    service: Service,
    caplog: pytest.LogCaptureFixture,
) -> None:
    odd, good = Peer(stack, store_loop), Peer(stack, store_loop)
    service.error = ValueError("Doe^John")
    odd.theirs.sendall(request(1))
    assert odd.left() is ReturnReason.OWN_THREAD
    assert "ValueError" in caplog.text
    assert "Doe" not in caplog.text
    service.error = None
    good.theirs.sendall(request(2))
    good.heard(answer(2))


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"", ConnectionLost),
        (request(1)[:30], ConnectionLost),
        (request(1).replace(b"\x01\x03", b"\x05\x03", 1), ProtocolError),
    ],
)
def test_what_breaks_leaves(
    stack: ExitStack, store_loop: StoreLoop[None], sent: bytes, error: type[Exception]
) -> None:
    peer = Peer(stack, store_loop)
    peer.theirs.sendall(sent)
    peer.theirs.shutdown(socket.SHUT_WR)
    assert peer.left() is ReturnReason.BROKEN
    assert isinstance(peer.lent.error, error)


def test_who_does_not_go_on_leaves(
    stack: ExitStack, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_loop_module, "_CHECK_SECONDS", 0.02)
    monkeypatch.setattr(store_loop_module, "PDU_SECONDS", 0.1)
    made: StoreLoop[None] = StoreLoop(service.serve)
    made.start()
    stuck, idle = Peer(stack, made), Peer(stack, made)
    stuck.theirs.sendall(request(1)[:30])
    assert stuck.left() is ReturnReason.BROKEN
    assert isinstance(stuck.lent.error, TooSlow)
    assert idle.lent.returned is None
    made.close()
    assert idle.left() is ReturnReason.RECALLED


def test_an_answer_that_is_not_taken_is_for_its_own_thread(
    stack: ExitStack, store_loop: StoreLoop[None]
) -> None:
    peer = Peer(stack, store_loop)
    peer.lent.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    peer.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    numbers = range(1, 400)
    threading.Thread(
        target=lambda: peer.theirs.sendall(b"".join(map(request, numbers))), daemon=True
    ).start()
    assert peer.left() is ReturnReason.ANSWER_UNSENT
    missing = peer.lent.unsent
    assert missing
    heard = b""
    peer.theirs.settimeout(0.2)
    with suppress(TimeoutError):
        while True:
            heard += peer.theirs.recv(65536)
    assert b"".join(map(answer, numbers)).startswith(heard + missing)


def test_nobody_is_kept_when_it_is_closed(stack: ExitStack, service: Service) -> None:
    made: StoreLoop[None] = StoreLoop(service.serve)
    made.start()
    midway = Peer(stack, made)
    midway.theirs.sendall(request(1)[:-2])
    probe = Peer(stack, made)
    probe.theirs.sendall(request(2))
    probe.heard(answer(2))
    made.close()
    assert midway.left() is ReturnReason.OWN_THREAD
    late = Peer(stack, made)
    assert late.left() is ReturnReason.OWN_THREAD
