"""What cases are thrown at: the readers of PDUs, messages and data sets, and a running node."""

from __future__ import annotations

import hashlib
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from node.dimse.associate import read_associate
from node.dimse.fastpath import FastPath, StoreAnswer, StoreRequest, Turn
from node.dimse.intake import BufferedIntake, Buffers
from node.dimse.proposal import plain, unacceptable
from node.dimse.upper_layer import MalformedPDU
from node.dimse.wire import Wire
from node.errors import InvalidUID, MalformedDataSet
from node.registration import Mismatch, register
from node.spill import Spill
from tests.fuzz import cases

_BUFFERS: Final = Buffers(1 << 20)
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
            plain(whole)


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
    served = _served(stream)
    if not damaged:
        assert served == wanted


def _served(stream: bytes) -> dict[str, bytes]:
    ours, theirs = socket.socketpair()
    found: dict[str, bytes] = {}

    def serve(request: StoreRequest, intake: BufferedIntake) -> StoreAnswer:
        assert request.context_id == cases.CONTEXT
        found[request.sop_instance_uid] = bytes(intake.view())
        return StoreAnswer(0)

    with ours, theirs:
        theirs.sendall(stream)
        theirs.shutdown(socket.SHUT_WR)
        wire = Wire(ours)
        path = FastPath(
            wire,
            {cases.CONTEXT: cases.EXPLICIT},
            lambda _request: BufferedIntake(_BUFFERS, _no_spill),
            serve,
        )
        assert path.run(lambda: True, lambda: True) in set(Turn)
    return found


def _no_spill() -> Spill:
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


DECODERS: Final[tuple[Target, ...]] = (associations, data_sets, messages)


def run(target: Target, seed: int, number: int) -> None:
    """One case; what it raises says how to have it again."""
    try:
        target(random.Random(f"{seed}-{number}"))
    except Exception as error:
        error.add_note(f"case: {target.__name__}, seed {seed}, number {number}")
        raise
