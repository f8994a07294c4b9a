"""The web server: uvicorn in a supervised thread of the daemon."""

from __future__ import annotations

import contextlib
import socket
import time

import uvicorn
from starlette.types import ASGIApp

from node.core.errors import ConfigError
from node.core.fault_points import fault_point
from node.core.settings.http import HttpTLS
from node.core.supervision import Heartbeat, Loop
from node.core.system.listening import refusal
from node.web.http.certificate import PageCertificate

_START_SECONDS = 10.0
_STOP_SECONDS = 3
_BACKLOG = 128


class WebServer:
    """Serves an application on one address.

    Args:
        app: answers the requests.
        listening: a socket that is bound and does not listen yet.
        tls: certificate and key; None: plain HTTP.

    Raises:
        ConfigError: certificate or key cannot be used.
    """

    def __init__(self, app: ASGIApp, listening: socket.socket, tls: HttpTLS | None = None) -> None:
        self._socket = listening
        self._certificate = None if tls is None else PageCertificate(tls)
        self._config = uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            lifespan="off",
            ws="none",
            server_header=False,
            # X-Forwarded-For counts from `http.auth.proxy.trusted` alone.
            proxy_headers=False,
            ssl_context_factory=None
            if self._certificate is None
            else self._certificate.for_uvicorn,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        self._loop = Loop("page", self._run)
        self._server = _Server(self._config, self._loop.heartbeat)

    @property
    def port(self) -> int:
        """The port that it listens on, once started."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Start to answer requests.

        Raises:
            ConfigError: the address is in use or not permitted; nothing was started.
        """
        host, port = self._socket.getsockname()[:2]
        try:
            self._socket.listen(_BACKLOG)
        except OSError as error:
            raise ConfigError(refusal("the page", host, port, "http.port", error)) from error
        self._loop.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if time.monotonic() > deadline:
                self.stop()
                raise ConfigError(
                    f"the page on {host}:{port} did not start; the log has the reason"
                )
            time.sleep(0.01)

    def reread_certificate(self) -> None:
        """Show the certificate that the file has now in new connections.

        Raises:
            ConfigError: it cannot be used; the earlier one stays.
        """
        if self._certificate is not None:
            self._certificate.load()

    def stop(self) -> None:
        """Answer the open requests, then stop."""
        self._loop.ask_to_stop()
        self._server.should_exit = True
        self._loop.stop(_STOP_SECONDS + 2)
        self._socket.close()

    def _run(self) -> float:
        """Serve until `stop`; a server that has ended before is started again."""
        if self._server.started:
            self._server = _Server(self._config, self._loop.heartbeat)
        if not self._loop.stopping:
            with contextlib.closing(self._socket.dup()) as listener:
                self._server.run(sockets=[listener])
        return 0.0


class _Server(uvicorn.Server):
    """uvicorn's server with a heartbeat, ten times a second."""

    def __init__(self, config: uvicorn.Config, heartbeat: Heartbeat) -> None:
        super().__init__(config)
        self._heartbeat = heartbeat

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn's own loop."""
        fault_point("page tick")
        ending = await super().on_tick(counter)
        self._heartbeat.well()
        return ending
