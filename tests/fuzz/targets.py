"""What cases are thrown at: the readers of PDUs, messages and data sets, and a running node."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from node.core.errors import InvalidUID, MalformedDataSet
from node.dicom import HeaderTemplate
from node.dimse.scp.store.buffer_pool import BufferPool
from node.dimse.scp.store.fast_path import FastPath
from node.dimse.scp.store.lent_connection import LentConnection
from node.dimse.scp.store.message_reader import MessageReader
from node.dimse.scp.store.store_loop import StoreLoop
from node.dimse.scp.store.store_messages import StoreAnswer, StoreRequest, stored
from node.dimse.upper_layer.associate_request import read_associate
from node.dimse.upper_layer.connection import PeerConnection
from node.dimse.upper_layer.message_service import Outcome
from node.dimse.upper_layer.pdus import MalformedPDU
from node.dimse.upper_layer.request_repair import repaired, unacceptable
from node.storage.ingest.registration import Mismatch, Registration, register
from node.storage.spill import Spill
from tests.fuzz import cases

_BUFFERS: Final = BufferPool(1 << 20)
_REFUSED: Final = (MalformedDataSet, InvalidUID, Mismatch)
HANG_SECONDS: Final = 10.0

Target = Callable[[random.Random], None]


def associations(rng: random.Random) -> None:
    """An A-ASSOCIATE-RQ is read, or refused by name."""
    request = cases.mutated(rng, cases.associate(rng))
    with suppress(MalformedPDU):
        read_associate(request[6:])
        whole = request[:2] + (len(request) - 6).to_bytes(4, "big") + request[6:]
        if unacceptable(whole) is None:
            repaired(whole)


def data_sets(rng: random.Random) -> None:
    """A data set is understood, or refused by name; what is hashed is what came."""
    instance = cases.uid(rng)
    data = cases.mutated(rng, cases.data_set(rng, instance))
    try:
        found = register(data, rng.choice(cases.SYNTAXES), sop_instance_uid=instance)
    except _REFUSED:
        return
    assert found.sop_instance_uid == instance
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    if found.pixel_offset is not None and found.pixel_length is not None:
        assert found.pixel_offset + found.pixel_length <= len(data)


def likenesses(rng: random.Random) -> None:
    """Data sets that are like the one before, or damaged: each is read as if it came alone."""
    syntax, alike = rng.choice(cases.SYNTAXES), HeaderTemplate()
    instance = cases.uid(rng)
    whole = cases.data_set(rng, instance)
    for _ in range(6):
        data = cases.mutated(rng, whole) if rng.randrange(2) else whole
        assert _registered(data, syntax, alike) == _registered(data, syntax, None)


def _registered(data: bytes, syntax: str, alike: HeaderTemplate | None) -> Registration | str:
    try:
        return register(data, syntax, alike=alike)
    except _REFUSED as error:
        return f"{type(error).__name__}: {error}"


def messages(rng: random.Random) -> None:
    """A stream of requests: each is served whole, or the association ends."""
    wanted: dict[str, bytes] = {}
    stream = b""
    for _ in range(rng.randrange(1, 4)):
        instance = cases.uid(rng)
        wanted[instance] = cases.data_set(rng, instance)
        stream += cases.message(rng, cases.command(rng, instance), wanted[instance])
    damaged = rng.randrange(4) > 0
    if damaged:
        stream = cases.mutated(rng, stream)
    alone, together = _served(stream, None), _served_together(stream)
    assert alone == together
    if not damaged:
        assert alone == wanted


class _Thread:
    """The thread of an association that has nothing else to do."""

    def __init__(self) -> None:
        self._woken = threading.Event()

    def may_continue(self) -> bool:
        return True

    def wait_for_request(self) -> bool:
        return True

    def wait_while_lent(self, *, served: bool) -> None:
        assert self._woken.wait(HANG_SECONDS)
        self._woken.clear()

    def wake(self) -> None:
        self._woken.set()


Found = dict[str, bytes]


def _served_together(stream: bytes) -> Found:
    failures: list[Exception] = []

    def serve(
        connections: Sequence[LentConnection[Found]], meanwhile: Callable[[], None]
    ) -> list[bytes | None]:
        try:
            meanwhile()
            return _every_other(connections)
        except Exception as error:  # then the loop lets each association serve itself
            failures.append(error)
            raise

    store_loop: StoreLoop[Found] = StoreLoop(serve)
    store_loop.start()
    try:
        return _served(stream, store_loop)
    finally:
        store_loop.close()
        assert not failures


def _every_other(connections: Sequence[LentConnection[Found]]) -> list[bytes | None]:
    """Every other one; the rest is for their own threads."""
    answers: list[bytes | None] = []
    for lent in connections:
        assert lent.reader.request is not None
        if len(lent.association) % 2:
            answers.append(None)
        else:
            lent.association[lent.reader.request.sop_instance_uid] = bytes(lent.reader.view())
            answers.append(stored(lent.reader.request))
    return answers


def _served(stream: bytes, store_loop: StoreLoop[Found] | None) -> Found:
    ours, theirs = socket.socketpair()
    found: Found = {}

    def serve(reader: MessageReader) -> StoreAnswer:
        assert reader.request is not None
        assert reader.request.context_id == cases.CONTEXT
        found[reader.request.sop_instance_uid] = bytes(reader.view())
        return StoreAnswer(0)

    with ours, theirs:
        theirs.sendall(stream)
        theirs.shutdown(socket.SHUT_WR)
        reader = MessageReader({cases.CONTEXT: cases.EXPLICIT}, _BUFFERS, _no_spill)
        path = FastPath(PeerConnection(ours), reader, serve, store_loop, found)
        assert path.run(_Thread()) in set(Outcome)
    return found


def _no_spill(_request: StoreRequest) -> Spill:
    raise AssertionError("so much was not sent")


def a_node(port: int) -> Target:
    """A running node: whatever comes, it hangs up in time."""

    def run(rng: random.Random) -> None:
        instance = cases.uid(rng)
        request = cases.associate(rng)
        store = cases.message(rng, cases.command(rng, instance), cases.data_set(rng, instance))
        if rng.randrange(3) == 0:
            request = cases.mutated(rng, request)
        else:
            store = cases.mutated(rng, store)
        where = ("127.0.0.1", port)
        with (
            socket.create_connection(where, timeout=HANG_SECONDS) as connection,
            suppress(OSError),  # it may hang up at any moment
        ):
            connection.sendall(request)
            connection.sendall(store)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass

    return run


DECODERS: Final[tuple[Target, ...]] = (associations, data_sets, likenesses, messages)


def run(target: Target, seed: int, number: int) -> None:
    """One case; what it raises says how to have it again."""
    try:
        target(random.Random(f"{seed}-{number}"))
    except Exception as error:
        error.add_note(f"case: {target.__name__}, seed {seed}, number {number}")
        raise
