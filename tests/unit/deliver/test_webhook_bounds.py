"""Receivers of webhooks that never come to an end."""

from __future__ import annotations

import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from node.core.settings.deliver import WebhookSettings
from node.deliver.payload import encoded
from node.deliver.targets.target import DeliveryRefused, TargetUnavailable
from node.deliver.targets.webhook import Webhook
from tests.unit.deliver.samples import delivery

MIB = 1 << 20
OK = b"HTTP/1.1 200 OK\r\n"


class Receiver:
    """Answers one request by a script, and knows how much of that was taken."""

    def __init__(self, script: Callable[[Receiver], None]) -> None:
        self._script = script
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/hook"
        self.sent = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def write(self, piece: bytes) -> None:
        self._connection.sendall(piece)
        self.sent += len(piece)

    def drip(self, piece: bytes) -> None:
        while not self.over.wait(0.02):
            self.write(piece)

    def close(self) -> None:
        self.over.set()
        self.thread.join(10)
        self._listening.close()

    def _serve(self) -> None:
        self._connection, _ = self._listening.accept()
        with self._connection, suppress(OSError):
            self._connection.settimeout(10)
            self._connection.recv(65536)
            self._script(self)


@contextmanager
def receiver(script: Callable[[Receiver], None]) -> Iterator[Receiver]:
    made = Receiver(script)
    made.thread.start()
    try:
        yield made
    finally:
        made.close()


def hook(there: Receiver | str, seconds: float = 10.0) -> Webhook:
    url = there if isinstance(there, str) else there.url
    return Webhook(WebhookSettings(url=url, timeout_seconds=seconds), time.time)


def test_of_an_answer_of_200_mb_next_to_nothing_is_read() -> None:
    piece = bytes(MIB)

    def flood(there: Receiver) -> None:
        there.write(OK + b"Content-Length: %d\r\n\r\n" % (200 * MIB))
        for _ in range(200):
            there.write(piece)

    with receiver(flood) as there:
        webhook = hook(there)
        tracemalloc.start()
        try:
            webhook.deliver(delivery())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        there.thread.join(10)
        assert there.sent < 20 * MIB  # what the buffers of two sockets hold
    assert peak < 4 * MIB


@pytest.mark.parametrize("piece", [b"X", b"X-More: of it\r\n"])
def test_a_head_that_drips_is_cut(piece: bytes) -> None:
    def script(there: Receiver) -> None:
        there.write(OK)
        there.drip(piece)

    with receiver(script) as there:
        began = time.monotonic()
        with pytest.raises(TargetUnavailable, match=r"timed-out: no response within 0\.5 s"):
            hook(there, 0.5).deliver(delivery())
        assert time.monotonic() - began < 5


def test_a_body_that_drips_is_cut_and_the_status_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.deliver.targets.webhook._READ_SECONDS", 0.2)

    def script(there: Receiver) -> None:
        there.write(OK + b"\r\n")
        there.drip(b".")

    with receiver(script) as there:
        began = time.monotonic()
        hook(there).deliver(delivery())
        assert time.monotonic() - began < 5


def test_a_receiver_that_never_answers() -> None:
    with (
        receiver(lambda there: there.drip(b"")) as there,
        pytest.raises(TargetUnavailable, match="timed-out"),
    ):
        hook(there, 0.3).deliver(delivery())


def test_what_a_receiver_says_is_not_repeated() -> None:
    with (
        receiver(lambda there: there.write(b"HTTP/1.1 422 HOSTILE^NAME\r\n\r\n")) as there,
        pytest.raises(DeliveryRefused, match=r"^the receiver answered 422 Unprocessable Entity$"),
    ):
        hook(there).deliver(delivery())
    with (
        receiver(lambda there: there.write(b"HOSTILE^NAME\r\n\r\n")) as there,
        pytest.raises(TargetUnavailable, match="no response: the receiver does not speak HTTP"),
    ):
        hook(there).deliver(delivery())


@pytest.mark.parametrize("host", ["pacs..example", f"{'a' * 64}.example"])
def test_a_host_name_that_is_none(host: str) -> None:
    settings = WebhookSettings.model_construct(
        url=f"http://{host}/", secret=None, secret_file=None, timeout_seconds=5.0
    )
    with pytest.raises(TargetUnavailable, match="bad-host-name"):
        Webhook(settings, time.time).deliver(delivery())


def test_half_a_surrogate_pair_is_delivered_as_an_escape() -> None:
    assert json.loads(encoded({"state": "\ud800", "é": 1})) == {"state": "\ud800", "é": 1}
    with receiver(lambda there: there.write(b"HTTP/1.1 204 No Content\r\n\r\n")) as there:
        hook(there).deliver(delivery(state="\ud800"))
