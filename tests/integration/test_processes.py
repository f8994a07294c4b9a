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
    ("name", "successor"),
    [("rasnode-receive", "node.receiving.process"), ("rasnode-file", "node.filing.process")],
    ids=["a receiver", "the filer"],
)
def test_a_process_that_dies_is_started_again(
    node: RunningNode, name: str, successor: str, tmp_path: Path
) -> None:
    node.send(*small_ct(tmp_path / "before", 20, announced=True))
    pid = child(node, name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: child(node, successor), 20, "another process does its work")
    node.send(*small_ct(tmp_path / "after", 20, announced=True))
    node.settle(30, states=["ready"])
    assert len(node.instances()) == 40
    assert node.terminate() == 0


def test_nothing_stays_open_of_peers_that_hang_up(node: RunningNode) -> None:
    receiver = child(node, "rasnode-receive")
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


def child(node: RunningNode, word: str) -> int | None:
    """The process of the node's that has a word as its name or in its command line."""
    assert node.process is not None
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if int(rest.split()[1]) == node.process.pid and word in (name, *command.split()):
                return int(folder.name)
    return None
