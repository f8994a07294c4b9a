"""A C-STORE sender that does not hold anybody up: everything is encoded before the clock runs."""

from __future__ import annotations

import multiprocessing
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from typing import Any, Final

from benchmarks.instances import EXPLICIT, Instance, wire
from node.dimse.upper_layer.pdus import Proposal, associate_ac, associate_rq, pdu

LARGEST_PDU: Final = 131072
PATIENCE_SECONDS: Final = 60.0
"""For the slowest sender: if another one has failed, nobody waits for ever."""
_STATUS: Final = 0x0900


@dataclass(frozen=True)
class Sent:
    """What came of it.

    Attributes:
        seconds: from the first association's request to the last one's release.
        ended: when the last response had come, in seconds of `time.monotonic`.
        latencies: seconds from the last byte of each request to its response.
    """

    seconds: float
    ended: float
    instances: int
    size: int
    latencies: list[float]

    @property
    def rate(self) -> float:
        """Instances a second."""
        return self.instances / self.seconds

    def latency(self, share: float) -> float:
        """The latency that a share of the responses did not exceed, in ms."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


def send(port: int, called: str, shares: Sequence[Sequence[Instance]], pause: float = 0.0) -> Sent:
    """Send each share through an association and a process of its own, all at once.

    Each associates twice: to learn how large the PDUs may be that it encodes, and to send. A server
    that serves one association at a time leaves the others waiting.

    Args:
        pause: seconds before each instance.
    """
    context = multiprocessing.get_context("fork")  # the instances need no copying
    barrier = context.Barrier(len(shares))
    ends = []
    processes = []
    for share in shares:
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_send, args=(port, called, share, pause, barrier, there))
        process.start()
        there.close()
        ends.append(here)
        processes.append(process)
    try:
        found = [end.recv() for end in ends]
    except EOFError as error:
        raise SystemExit(f"the server on port {port} does not take everything") from error
    for process in processes:
        process.join()
    return Sent(
        max(end for _, end, _, _ in found) - min(start for start, _, _, _ in found),
        max(last for _, _, last, _ in found),
        sum(map(len, shares)),
        sum(len(instance.data_set) for share in shares for instance in share),
        [latency for _, _, _, latencies in found for latency in latencies],
    )


def _send(
    port: int,
    called: str,
    instances: Sequence[Instance],
    pause: float,
    barrier: Barrier,
    result: Any,
) -> None:
    connection, context_id, largest = _associated(port, called, instances[0].sop_class)
    wires = [
        wire(instance, number % 65535 + 1, context_id, largest)
        for number, instance in enumerate(instances)
    ]
    _release(connection)
    latencies = []
    barrier.wait()
    start = time.perf_counter()
    connection, _, _ = _associated(port, called, instances[0].sop_class)
    for encoded in wires:
        if pause:
            time.sleep(pause)
        connection.sendall(encoded)
        sent = time.perf_counter()
        status = _status(connection)
        latencies.append(time.perf_counter() - sent)
        if status != 0:
            raise SystemExit(f"C-STORE was answered 0x{status:04X}")
    last = time.monotonic()
    _release(connection)
    end = time.perf_counter()
    # A process that ends takes milliseconds of those who are still sending.
    barrier.wait(PATIENCE_SECONDS)
    result.send((start, end, last, latencies))


def _associated(port: int, called: str, sop_class: str) -> tuple[socket.socket, int, int]:
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(
        associate_rq(
            "BENCHMARK",
            called,
            [Proposal(sop_class, (EXPLICIT,))],
            max_pdu=LARGEST_PDU,
            implementation_class_uid="1.2.826.0.1.3680043.10.1234.1",
            implementation_version_name="BENCHMARK",
        )
    )
    kind, body = _read_pdu(connection)
    if kind != 2:
        raise SystemExit(f"{called} does not accept the association")
    accepted = associate_ac(body)
    (context_id,) = accepted.contexts
    return connection, context_id, min(accepted.max_pdu or LARGEST_PDU, LARGEST_PDU)


def _release(connection: socket.socket) -> None:
    connection.sendall(pdu(5, bytes(4)))
    _read_pdu(connection)
    connection.close()


def _status(connection: socket.socket) -> int:
    """The status in a response, which comes as one fragment (PS3.7 E.1)."""
    kind, body = _read_pdu(connection)
    at = 6
    while kind == 4 and at < len(body):
        _, element, length = struct.unpack_from("<HHL", body, at)
        if element == _STATUS:
            return int.from_bytes(body[at + 8 : at + 8 + length], "little")
        at += 8 + length
    raise SystemExit("no C-STORE response came")


def _read_pdu(connection: socket.socket) -> tuple[int, bytes]:
    kind, length = struct.unpack(">BxL", _exactly(connection, 6))
    return kind, _exactly(connection, length)


def _exactly(connection: socket.socket, count: int) -> bytes:
    read = b""
    while len(read) < count:
        part = connection.recv(count - len(read))
        if not part:
            raise SystemExit("the server closed the connection")
        read += part
    return read
