"""The page's server starts, answers, stops, and says plainly when it cannot."""

from __future__ import annotations

import socket

import httpx
import pytest

from node.errors import ConfigError
from node.web.app import create_app
from node.web.server import WebServer
from tests.unit.web.conftest import World


def test_answers_until_it_is_stopped(world: World) -> None:
    server = WebServer(create_app(world.site(), "127.0.0.1"), "127.0.0.1", 0)
    server.start()
    port = server.port
    assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    server.stop()
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{port}/health")
    WebServer(create_app(world.site(), "127.0.0.1"), "127.0.0.1", port).start()


def test_a_taken_port_is_a_plain_sentence(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = WebServer(create_app(world.site(), "127.0.0.1"), "127.0.0.1", port)
        with pytest.raises(ConfigError, match=rf"cannot listen on 127.0.0.1:{port} for the page"):
            server.start()
        server.stop()
