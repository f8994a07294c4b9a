"""A port that is about to become free is waited for; one that is held is refused by name."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from node.core.system import listening
from node.core.system.listening import bound, refusal
from node.core.system.port_holders import Holder, holders

HOLD = "import sys, time; open('/proc/self/comm', 'w').write(sys.argv[1]); time.sleep(60)"


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other


def port_of(held: socket.socket) -> int:
    return int(held.getsockname()[1])


def test_who_listens(taken: socket.socket) -> None:
    port = port_of(taken)
    (holder,) = holders(port)
    assert holder.pid == os.getpid()
    assert not holder.receiver
    taken.close()
    assert holders(port) == []


def test_a_port_of_another_program_is_refused_soon(
    taken: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_SURE_SECONDS", 0.1)
    began = time.monotonic()
    with pytest.raises(OSError, match="in use") as caught:
        bound("127.0.0.1", port_of(taken))
    assert time.monotonic() - began < listening.WAIT_SECONDS / 2
    said = refusal("DICOM", "127.0.0.1", port_of(taken), "dicom.port", caught.value)
    assert f"(process {os.getpid()}) listens there" in said
    assert "dicom.port" in said


def test_a_receiver_that_was_left_behind_is_waited_for(
    taken: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after kill -9 of a node: its receivers have the port until they have ended, too."""
    monkeypatch.setattr(listening, "_SURE_SECONDS", 0.1)
    port = port_of(taken)
    left = subprocess.Popen(
        [sys.executable, "-c", HOLD, "rasnode-receive"], pass_fds=[taken.fileno()]
    )
    taken.close()

    def named() -> bool:
        return [one.receiver for one in holders(port)] == [True]

    while not named():
        assert left.poll() is None
    threading.Timer(0.6, left.kill).start()
    try:
        bound("127.0.0.1", port).close()
    finally:
        left.kill()
    assert left.wait(10) == -9


def test_a_port_whose_holder_cannot_be_seen_is_waited_for_to_the_end(
    taken: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_SURE_SECONDS", 0.1)
    monkeypatch.setattr(listening, "WAIT_SECONDS", 0.5)
    monkeypatch.setattr(listening, "holders", lambda _port: [])
    began = time.monotonic()
    with pytest.raises(OSError, match="in use"):
        bound("127.0.0.1", port_of(taken))
    assert time.monotonic() - began >= 0.5


def test_nobody_waits_for_an_address_of_another_machine() -> None:
    began = time.monotonic()
    with pytest.raises(OSError) as caught:  # noqa: PT011  the number says which
        bound("192.0.2.1", 11112)
    assert time.monotonic() - began < listening.WAIT_SECONDS / 2
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert "an address of this machine" in refusal("x", "192.0.2.1", 1, "http.port", caught.value)


def test_a_holder_is_called_by_name_and_number() -> None:
    assert str(Holder(7, "a", receiver=False)) == "a (process 7)"
