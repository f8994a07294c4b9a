"""A node whose processes are killed one by one: each comes back, and nothing answered is lost."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from node.dimse.upper_layer import ABORT, Proposal, associate_rq, pdu
from tests.running import RunningNode, configured, eventually
from tests.small import small_ct

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    """One that has secrets to keep from its receivers, too."""
    hook = {"url": "http://127.0.0.1:9/", "secret": "a secret of sixteen"}
    running = configured(
        tmp_path,
        [{"name": "hook", "when": {"Modality": "MR"}, "webhook": hook}],
        completion={"quiet_seconds": 0.5},
    ).start()
    try:
        yield running
    finally:
        running.kill()


@pytest.mark.parametrize(
    ("word", "successor"),
    [("node serve", "node.receiving.process"), ("node.filing.process", "node.filing.process")],
    ids=["a receiver", "the filer"],
)
def test_a_process_that_dies_is_started_again(
    node: RunningNode, word: str, successor: str, tmp_path: Path
) -> None:
    node.send(*small_ct(tmp_path / "before", 20, announced=True))
    # A worker has the node's command line until it has its own: the first one is the receiver.
    pid = min(children(node, word))
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: set(children(node, successor)) - {pid}, 20, "another process does its work")
    node.send(*small_ct(tmp_path / "after", 20, announced=True))
    node.settle(30, states=["ready"])
    assert len(node.instances()) == 40
    assert node.terminate() == 0


def test_nothing_stays_open_of_peers_that_hang_up(node: RunningNode) -> None:
    receiver = min(children(node, "node serve"))
    asked = associate_rq(
        "A",
        "B",
        [Proposal(VERIFICATION, (IMPLICIT,))],
        max_pdu=16384,
        implementation_class_uid="1.2.3",
        implementation_version_name="HASTY",
    )
    last_words = [asked + pdu(ABORT, bytes(4)), asked[:20]]

    def hung_up(times: int) -> None:
        for number in range(times):
            with socket.create_connection(("127.0.0.1", node.port)) as connection:
                connection.sendall(last_words[number % 2])

    def opened() -> int:
        return len(list(Path(f"/proc/{receiver}/fd").iterdir()))

    def ended() -> int:
        return node.log.read_text().count("ended without release")

    hung_up(10)
    eventually(lambda: ended() == 5, 10, "they have come and gone")
    before = opened()
    hung_up(200)
    eventually(lambda: ended() == 105, 20, "all have come and gone")
    eventually(lambda: opened() <= before + 4, 10, "all connections are closed")
    assert node.terminate() == 0


def children(node: RunningNode, word: str) -> list[int]:
    """Processes that the node has started and whose command line has a word."""
    assert node.process is not None
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if parent == node.process.pid and word in command:
                found.append(int(folder.name))
    return found
