"""uvicorn in a thread of the daemon."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import uvicorn
from starlette.types import ASGIApp

from node.config import Http
from node.errors import ConfigError
from node.listening import bound, refusal

_START_SECONDS = 10.0
_STOP_SECONDS = 3
_BACKLOG = 128


class WebServer:
    """Serves an app on one address.

    Args:
        listening: bound, and not listening yet.
    """

    def __init__(self, app: ASGIApp, listening: socket.socket) -> None:
        self._socket = listening
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
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Begin to answer.

        Raises:
            ConfigError: the address is taken or may not be used; nothing was started.
        """
        host, port = self._socket.getsockname()[:2]
        try:
            self._socket.listen(_BACKLOG)
        except OSError as error:
            raise ConfigError(_taken(host, port, error)) from error
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
        self._socket.close()

    def _run(self) -> None:
        with contextlib.closing(self._socket.dup()) as listener:
            self._server.run(sockets=[listener])


def bound_for_page(http: Http) -> socket.socket | None:
    """The page's address, taken before anything is served; None where there is no page.

    Raises:
        ConfigError: it cannot be had.
    """
    if http.port is None:
        return None
    try:
        return bound(http.host, http.port)
    except OSError as error:
        raise ConfigError(_taken(http.host, http.port, error)) from error


def _taken(host: str, port: int, error: OSError) -> str:
    return refusal("the page", host, port, "http.port", error)
