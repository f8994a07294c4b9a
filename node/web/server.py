"""uvicorn in a thread of the daemon."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import uvicorn
from starlette.types import ASGIApp

from node.errors import ConfigError

_START_SECONDS = 10.0
_STOP_SECONDS = 3


class WebServer:
    """Serves an app on one address.

    Args:
        port: 0 takes any free one.
    """

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self._address = (host, port)
        self._socket: socket.socket | None = None
        config = uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on, once started."""
        if self._socket is None:
            return self._address[1]
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Begin to answer.

        Raises:
            ConfigError: the address is taken or may not be used; nothing was started.
        """
        host, port = self._address
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            self._socket = socket.create_server(self._address, family=family, backlog=128)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {host}:{port} for the page: {error.strerror or error}; "
                "is another program there (http.port)? null switches the page off"
            ) from error
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise ConfigError(f"the page on {host}:{port} did not start; see the log")
            time.sleep(0.01)

    def stop(self) -> None:
        """Answer what was asked, and end."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS + 2)
        if self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        if self._socket is not None:
            with contextlib.closing(self._socket.dup()) as listener:
                self._server.run(sockets=[listener])
