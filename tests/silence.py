"""A network that can fall silent: nothing is closed, nothing arrives any more."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress

BLACKHOLE_SECONDS = float(os.environ.get("RASNODE_BLACKHOLE_SECONDS", "3"))
"""How long a test lets a server be away. 60 is what an administrator meets at a fail-over."""


class Network:
    """Forwards a loopback port to a server's, until it is told to be silent.

    What was connected then stays dead for ever, as after a fail-over; what connects meanwhile is
    accepted by the kernel and hears nothing.
    """

    def __init__(self, server: int) -> None:
        self._server = server
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._open = threading.Event()
        self._open.set()
        self._links: list[_Link] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def fall_silent(self) -> None:
        """From now on nothing goes through."""
        self._open.clear()
        for link in self._links:
            link.dead = True

    def come_back(self) -> None:
        """Serve new connections again."""
        self._open.set()

    def close(self) -> None:
        """Close everything."""
        self._open.set()
        self._listening.close()
        for link in self._links:
            link.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            self._open.wait()
            with suppress(OSError):
                self._links.append(_Link(near, self._server))


class _Link:
    def __init__(self, near: socket.socket, server: int) -> None:
        self.dead = False
        self._near, self._far = near, socket.create_connection(("127.0.0.1", server))
        for way in ((self._near, self._far), (self._far, self._near)):
            threading.Thread(target=self._pump, args=way, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self.dead:
                    return
                target.sendall(data)
            if not self.dead:
                target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for end in (self._near, self._far):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
