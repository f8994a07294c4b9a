"""Host names of peers: looked up in time, and never the end of who asks."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterable

import pytest

from node.dimse.scu.requests import Destination, echo
from node.dimse.upper_layer.access import name_resolution
from node.dimse.upper_layer.access.name_resolution import Names, addresses, connected
from node.dimse.upper_layer.requestor import PeerSilent
from tests.running import eventually

HERE = "10.0.0.5"


@pytest.mark.parametrize("name", ["pacs..example", "a" * 70])
def test_a_name_that_cannot_be_encoded_is_an_error_like_others(name: str) -> None:
    with pytest.raises(OSError, match="no host name"):
        addresses(name, 104)
    with pytest.raises(PeerSilent, match="bad-host-name"):
        echo(Destination(name, 104, "PACS", "RASNODE"))
    assert not Names().is_at(name, HERE)


def test_a_look_up_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: over.wait(30))
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        connected("pacs.example", 104, 0.1)
    assert time.monotonic() - began < 10
    over.set()


def test_a_name_that_nobody_answers_for_holds_up_the_port_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(name_resolution, "_WAIT_SECONDS", 0.2)
    over, asked = threading.Event(), []

    def silent(name: str) -> Iterable[str]:
        asked.append(name)
        over.wait(30)
        return {HERE}

    names = Names(silent)
    began = time.monotonic()
    assert not names.is_at("pacs.example", HERE)
    waited = time.monotonic() - began
    for _ in range(100):
        assert not names.is_at("pacs.example", HERE)
    assert time.monotonic() - began < waited + 10 * 0.2  # and not a hundred times
    monkeypatch.setattr(name_resolution, "_RESOLVED_SECONDS", 0.0)
    assert not names.is_at("pacs.example", HERE)
    assert asked == ["pacs.example"]  # no second one beside the one that has no answer
    over.set()
    eventually(lambda: names.is_at("pacs.example", HERE), 10, "it is known once it was answered")


@pytest.mark.parametrize("error", [OSError("no such name"), UnicodeError("label empty")])
def test_a_name_that_is_lost_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    monkeypatch.setattr(name_resolution, "_RESOLVED_SECONDS", 0.0)
    failing, calls = [True], []

    def resolve(_name: str) -> Iterable[str]:
        calls.append(1)
        if failing:
            raise error
        return {HERE}

    names = Names(resolve)
    with caplog.at_level(logging.INFO, "node.dimse.upper_layer.access.name_resolution"):
        eventually(lambda: names.is_at("pacs", HERE) or len(calls) > 3, 10, "asked often")
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        failing.clear()
        eventually(lambda: names.is_at("pacs", HERE), 10, "it is found again")
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_what_was_found_stays_while_the_server_of_names_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(name_resolution, "_RESOLVED_SECONDS", 0.0)
    answers = [{HERE}]

    def resolve(_name: str) -> Iterable[str]:
        if answers:
            return answers.pop()
        raise OSError("away")

    names = Names(resolve)
    for _ in range(5):
        assert names.is_at("pacs", HERE)
        time.sleep(0.01)
