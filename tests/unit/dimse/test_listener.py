"""The listener's thread while no peer connects."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from node.dimse.upper_layer.listener import Listener
from tests.running import eventually, slowness


def test_a_quiet_moment_is_used_and_soon_again_while_there_is_more_to_do() -> None:
    with without_peers(lambda: True) as calls:
        eventually(lambda: len(calls) >= 3, 10, "it is called again and again")
    assert calls[2] - calls[0] < 2 * slowness()


def test_and_when_all_is_done_it_is_left_at_rest() -> None:
    with without_peers(lambda: False) as calls:
        time.sleep(2.5)
    assert 1 <= len(calls) <= 3


@contextmanager
def without_peers(quiet: Callable[[], bool]) -> Iterator[list[float]]:
    """A listener that no peer connects to; yields when it called `quiet`."""
    calls: list[float] = []

    def counted() -> bool:
        calls.append(time.monotonic())
        return quiet()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listener = Listener(listening, lambda: None, lambda *_: None, lambda *_: None, counted)
        listener.start()
        try:
            yield calls
        finally:
            listener.stop()
