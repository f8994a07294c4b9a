"""Wakes a thread that waits for sockets."""

from __future__ import annotations

import socket
from contextlib import suppress


class WakeUp:
    """A descriptor that becomes readable when another thread calls `wake`.

    The waiting thread watches it together with its sockets, and calls `clear` when it is readable.
    """

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    def fileno(self) -> int:
        """The descriptor to watch."""
        return self._receiver.fileno()

    def wake(self) -> None:
        """Make the descriptor readable. Safe for many threads, and after `close`."""
        with suppress(OSError):  # full: it is readable already; closed: no thread waits any more
            self._sender.send(b"\0")

    def clear(self) -> None:
        """Forget every call of `wake` so far."""
        with suppress(OSError):
            self._receiver.recv(4096)

    def close(self) -> None:
        """Give the descriptors back."""
        self._receiver.close()
        self._sender.close()
