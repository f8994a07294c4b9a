"""A connection as it is prepared for its peer's first bytes."""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Iterator

import pytest

from node.dimse.upper_layer.connection import WINDOW, PeerConnection


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A peer's end of a TCP connection, and ours."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as there,
        listening.accept()[0] as here,
    ):
        yield there, here


@pytest.mark.skipif(sys.platform != "linux", reason="the window is widened as Linux does it")
def test_there_is_room_for_an_instance_at_once(ends: tuple[socket.socket, socket.socket]) -> None:
    _, here = ends
    before = here.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    PeerConnection(here)
    after = here.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert after >= WINDOW > before


def test_and_a_single_byte_is_seen_when_it_comes(ends: tuple[socket.socket, socket.socket]) -> None:
    there, here = ends
    wire = PeerConnection(here)
    there.sendall(b"x")
    assert select.select([here], [], [], 5)[0] == [here]
    assert wire.take(1) == b"x"
