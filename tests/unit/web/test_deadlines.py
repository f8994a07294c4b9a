"""A database that takes connections and never says a word: everything is answered all the same."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest

from node.storage.index.engine import Index
from node.web.http import deadlines
from tests.unit.web.conftest import World

UID = "1.2.3"


class Silence:
    """A port that takes connections, and cuts them when it is closed."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        self._taken: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listening.getsockname()[1])

    def _serve(self) -> None:
        while True:
            try:
                self._taken.append(self._listening.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)
        for connection in self._taken:
            connection.close()


@pytest.fixture
def hanging(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(deadlines, "REQUEST_SECONDS", 0.4)
    monkeypatch.setattr(deadlines, "CHECK_SECONDS", 0.4)
    silence = Silence()
    index = Index(f"postgresql+psycopg://node:secret@127.0.0.1:{silence.port}/rasnode")
    with world.cleanup:
        yield replace(world, index=index)
        silence.close()
    index.close()


def timed(ask: Callable[[], httpx.Response]) -> httpx.Response:
    began = time.monotonic()
    answer = ask()
    assert time.monotonic() - began < 5
    return answer


def test_health_names_the_index(hanging: World) -> None:
    client = hanging.client()
    for _ in range(2):
        answer = timed(lambda: client.get("/health"))
        assert answer.status_code == 503
        assert set(answer.json()["faults"]) == {"index"}
        assert answer.json()["faults"]["index"].startswith("the check has not answered for ")


@pytest.mark.parametrize("url", ["/api/series", f"/api/series/{UID}", f"/series/{UID}", "/metrics"])
def test_whatever_asks_the_index_is_answered_503(hanging: World, url: str) -> None:
    answer = timed(lambda: hanging.client().get(url))
    assert answer.status_code == 503
    assert "/health shows the cause" in answer.json()["detail"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_many_that_hang_keep_neither_health_nor_pages_from_being_answered(hanging: World) -> None:
    client = hanging.client()
    with ThreadPoolExecutor(60) as pool:
        asked = [pool.submit(client.get, "/api/series", timeout=10) for _ in range(60)]
        answer = timed(lambda: client.get("/health"))
        assert set(answer.json()["faults"]) == {"index"}
        assert {one.result().status_code for one in asked} == {503}
    began = time.monotonic()
    assert client.get("/api/series").status_code == 503
    assert time.monotonic() - began < deadlines.REQUEST_SECONDS  # it was not even tried


def test_a_check_that_hangs_is_not_begun_again_before_it_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deadlines, "CHECK_SECONDS", 0.1)
    free, begun = threading.Event(), []

    def check() -> None:
        begun.append(1)
        free.wait(10)

    checks = deadlines.Checks({"index": check, "disk": lambda: None})
    assert set(checks.faults()) == set(checks.faults()) == {"index"}
    assert len(begun) == 1
    free.set()
    monkeypatch.setattr(deadlines, "CHECK_SECONDS", 10.0)
    assert checks.faults() == {}
    assert checks.faults() == {}
    assert len(begun) == 2


def test_a_check_that_breaks_is_a_fault_without_its_words() -> None:
    def check() -> None:
        raise ValueError("DOE^JANE")

    faults = deadlines.Checks({"index": check}).faults()
    assert faults == {"index": "the check failed with an unforeseen ValueError"}
