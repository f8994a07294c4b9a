"""The page's server starts, answers, stops, and says plainly when it cannot."""

from __future__ import annotations

import errno
import os
import socket

import httpx
import pytest

from node.core import fault_points
from node.core.errors import ConfigError
from node.core.settings.http import Http
from node.core.supervision import HEARTBEATS, heartbeat
from node.core.system.listening import bound, bound_for_page
from node.web.app import create_app
from node.web.http.server import WebServer
from tests.running import eventually
from tests.unit.web.conftest import World


def served(world: World, port: int = 0) -> WebServer:
    return WebServer(create_app(world.site(), Http()), bound("127.0.0.1", port))


def test_answers_until_it_is_stopped(world: World) -> None:
    server = served(world)
    server.start()
    port = server.port
    assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    server.stop()
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{port}/health")
    served(world, port).start()


def test_nothing_is_reached_before_the_start(world: World) -> None:
    server = served(world)
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", server.port)) == errno.ECONNREFUSED
    server.stop()


def test_a_taken_port_is_a_plain_sentence_that_names_who_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            bound_for_page(Http(port=port))
    assert f"cannot listen on 127.0.0.1:{port} (the page): Address already in use" in str(
        caught.value
    )
    assert f"(process {os.getpid()}) listens there: stop it, or set http.port" in str(caught.value)


def test_of_two_that_took_a_port_at_once_one_is_told(world: World) -> None:
    """The system lets both bind it, as neither listens yet."""
    first = served(world)
    second = served(world, first.port)
    first.start()
    with pytest.raises(ConfigError, match=r"\(the page\): Address already in use"):
        second.start()
    first.stop()
    second.stop()


def test_a_page_that_failed_is_served_again_and_well(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "TROUBLED_SECONDS", 0.0)
    server = served(world)
    server.start()

    def trouble() -> list[str]:
        return [sign.trouble for sign in HEARTBEATS.own() if sign.name == "page" and sign.trouble]

    monkeypatch.setattr(fault_points, "_named", "page tick raise")
    eventually(trouble, 5, "it has failed")
    monkeypatch.setattr(fault_points, "_named", None)
    eventually(lambda: not trouble(), 10, "it is well again")
    assert httpx.get(f"http://127.0.0.1:{server.port}/health").status_code == 200
    server.stop()
