"""Reads and writes a peer's connection: reused buffer, deadlines, no delayed ACKs."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from contextlib import suppress
from typing import Any, Final

BUFFER: Final = 65536  # bytes read ahead
PDU_SECONDS: Final = 30.0  # from the first byte of a PDU to its last; then the peer is lost
WINDOW: Final = 1 << 20  # bytes that a peer may send ahead from its first instance on
Address = tuple[Any, ...]
"""Of a socket: host, port, and for IPv6 two numbers more."""

_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)  # Linux


class ConnectionLost(OSError):
    """The peer closed the connection, or it broke."""


class TooSlow(TimeoutError):
    """The peer did not finish a PDU in time."""


class PeerConnection:
    """Reads and writes one socket. For one thread at a time.

    DCMTK and dcm4che send with Nagle's algorithm: they hold the rest of a message back until we
    have acknowledged its beginning, which TCP delays by 40 ms. So we ask the kernel for immediate
    acknowledgements, and ask again after each read and write, because the kernel forgets.

    Args:
        connection: connected, with its TLS handshake done.
        first: bytes that have been read from it.
        seconds: how long a single read or write may take.
    """

    def __init__(
        self, connection: socket.socket, first: bytes = b"", seconds: float = PDU_SECONDS
    ) -> None:
        self.socket = connection
        self._seconds = seconds
        self._buffer = bytearray(max(BUFFER, len(first)))
        self._view = memoryview(self._buffer)
        self._buffer[: len(first)] = first
        self._start = 0
        self._end = len(first)
        self._secured = isinstance(connection, ssl.SSLSocket)
        self._flags = 0 if self._secured else socket.MSG_WAITALL
        _prepare(connection, seconds)

    @property
    def secured(self) -> bool:
        """Whether it is under TLS."""
        return self._secured

    @property
    def buffered(self) -> int:
        """How many bytes have been read ahead."""
        return self._end - self._start

    @property
    def pending(self) -> bool:
        """Whether there are bytes to read that `select` does not see."""
        if self._end > self._start:
            return True
        return isinstance(self.socket, ssl.SSLSocket) and self.socket.pending() > 0

    def peek(self, count: int) -> memoryview:
        """The next bytes, which stay unread; at most `BUFFER` of them.

        Raises:
            ConnectionLost, TooSlow: they do not arrive.
        """
        if self._end - self._start < count:
            self._fill(count)
        return self._view[self._start : self._start + count]

    def take(self, count: int) -> bytearray:
        """Read the next bytes, however many.

        Raises:
            ConnectionLost, TooSlow: they do not arrive.
        """
        taken = bytearray(count)
        target = memoryview(taken)
        have = self._move(target)
        if have < count:
            self._receive(target[have:], count - have, self._flags)
        return taken

    def receive(self, target: memoryview) -> int:
        """Read into `target` what has arrived, or wait for it; returns how many bytes, at least 1.

        Raises:
            ConnectionLost, TooSlow: nothing arrives.
        """
        return self._move(target) or self._receive(target, 1, 0)

    def put_back(self, data: bytes) -> None:
        """Have `data` read again before anything else."""
        rest = bytes(self._view[self._start : self._end])
        whole = data + rest
        if len(whole) > len(self._buffer):
            self._view.release()
            self._buffer = bytearray(len(whole))
            self._view = memoryview(self._buffer)
        self._buffer[: len(whole)] = whole
        self._start, self._end = 0, len(whole)

    def send(self, data: bytes) -> None:
        """Write everything.

        Raises:
            ConnectionLost: the peer has closed the connection, or reads no more.
        """
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise ConnectionLost(str(error)) from error
        self.acknowledge()

    def drain(self, most: int) -> None:
        """Throw away at most `most` received bytes, without waiting for more."""
        self._start = self._end = 0
        with suppress(OSError):
            self.socket.settimeout(0)
            while most > 0 and (count := len(self.socket.recv(BUFFER))):
                most -= count

    def close(self) -> None:
        """End the connection, whatever is under way. It may be closed already."""
        self.shut_down()
        self.socket.close()

    def shut_down(self) -> None:
        """End the connection but keep its descriptor, for a thread that may be waiting for it."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def _move(self, target: memoryview) -> int:
        """Move what was read ahead, as far as it fits; returns how many bytes."""
        have = min(len(target), self.buffered)
        target[:have] = self._view[self._start : self._start + have]
        self._start += have
        return have

    def _fill(self, count: int) -> None:
        if self._start + count > len(self._buffer):
            have = self._end - self._start
            self._buffer[:have] = bytes(self._view[self._start : self._end])
            self._start, self._end = 0, have
        elif self._start == self._end:
            self._start = self._end = 0
        missing = count - (self._end - self._start)
        self._end += self._receive(self._view[self._end :], missing, 0)

    def _receive(self, target: memoryview, least: int, flags: int) -> int:
        """Read at least `least` bytes, as many as are there; returns how many."""
        got = 0
        deadline = time.monotonic() + self._seconds
        while got < least:
            try:
                count = self.socket.recv_into(target[got:], 0, flags)
            except (BlockingIOError, ssl.SSLWantReadError, TimeoutError) as error:
                raise TooSlow("the peer began a PDU and stopped sending") from error
            except (OSError, ValueError) as error:
                raise ConnectionLost(str(error)) from error
            if not count:
                raise ConnectionLost("the peer closed the connection")
            got += count
            self.acknowledge()
            if got < least and time.monotonic() > deadline:
                raise TooSlow("the peer sends too slowly")
        return got

    def acknowledge(self) -> None:
        """Have the kernel acknowledge what has arrived at once."""
        if _QUICKACK is not None:
            with suppress(OSError):
                self.socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)


def _prepare(connection: socket.socket, seconds: float) -> None:
    with suppress(OSError):  # a closed connection shows at the first read
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _widen(connection)
        if isinstance(connection, ssl.SSLSocket):
            connection.settimeout(seconds)
            return
        # The kernel's own timeouts: one system call a read instead of two.
        limit = struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def _widen(connection: socket.socket) -> None:
    """Open TCP's receive window at once. Linux opens it step by step, so that the first instance of
    an association would arrive in pieces of 64 KiB, with an acknowledgement after each.

    Setting SO_RCVLOWAT enlarges the window, which stays so when the option is reset; other than
    SO_RCVBUF it lets the kernel enlarge the window further (`tcp_set_rcvlowat` in Linux).
    """
    for least in (WINDOW, 1):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least)
