"""A node whose processes are killed one by one: each comes back, and nothing answered is lost."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from node.dimse.upper_layer.messages import C_ECHO_RQ
from node.dimse.upper_layer.pdus import ABORT, Proposal, associate_rq, pdu
from node.dimse.upper_layer.requestor import Destination, PeerSilent, Requestor
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
    [
        ("rasnode-receive", "node.daemon.receiving.process"),
        ("rasnode-ingest", "node.storage.ingest.process"),
    ],
    ids=["a receiver", "the ingester"],
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
        return node.log.read_text().count("ended without a release")

    hung_up(10)
    eventually(lambda: ended() == 5, 10, "they have come and gone")
    before = opened()
    hung_up(200)
    eventually(lambda: ended() == 105, 20, "all have come and gone")
    eventually(lambda: opened() <= before + 4, 10, "all connections are closed")
    assert node.terminate() == 0


def test_each_of_many_peers_at_once_is_answered_and_its_descriptors_are_closed(
    node: RunningNode,
) -> None:
    receiver = child(node, "rasnode-receive")
    verify = {"AffectedSOPClassUID": VERIFICATION, "CommandField": C_ECHO_RQ}

    def peer(title: str) -> Requestor:
        where = Destination("127.0.0.1", node.port, "RASNODE", title)
        return Requestor(where, [Proposal(VERIFICATION, (IMPLICIT,))])

    def sockets() -> int:
        found = Path(f"/proc/{receiver}/fd").iterdir()
        return sum(str(one.readlink()).startswith("socket:") for one in found)

    def left(number: int) -> None:
        said = node.log.read_text
        eventually(lambda: said().count("was released after") == number, 10, f"{number} have left")

    with peer("FIRST"):
        pass
    left(1)
    before = sockets()
    titles = [f"PEER{number}" for number in range(16)]
    with ExitStack() as stack:
        peers = [stack.enter_context(peer(title)) for title in titles]
        for one in peers:
            assert one.response(one.request(1, verify)).command["Status"] == 0
    left(1 + len(titles))
    said = node.log.read_text()
    assert all(said.count(f"'{title}' at 127.0.0.1 associates") == 1 for title in titles)
    assert all(said.count(f"of '{title}' at 127.0.0.1 was released") == 1 for title in titles)
    eventually(lambda: sockets() <= before, 10, "all connections are closed")


def test_a_receiver_without_a_descriptor_left_serves_again_when_it_has_one(
    node: RunningNode,
) -> None:
    receiver = child(node, "rasnode-receive")
    assert receiver is not None
    where = Destination("127.0.0.1", node.port, "RASNODE", "PEER")
    verify = {"AffectedSOPClassUID": VERIFICATION, "CommandField": C_ECHO_RQ}

    def answered() -> int:
        with Requestor(where, [Proposal(VERIFICATION, (IMPLICIT,))]) as peer:
            return int(peer.response(peer.request(1, verify)).command["Status"])

    assert answered() == 0  # it has what it needs
    limits = resource.prlimit(receiver, resource.RLIMIT_NOFILE)

    def descriptors() -> set[int]:
        return {int(one.name) for one in Path(f"/proc/{receiver}/fd").iterdir()}

    def unchanging() -> set[int]:
        """Its descriptors once the connection before has given back its own."""
        while True:
            found = descriptors()
            time.sleep(0.2)
            if descriptors() == found:
                return found

    def turned_away() -> bool:
        """With one descriptor left, which its connection takes, if nothing else did first."""
        opened = unchanging()
        free = next(number for number in range(len(opened) + 1) if number not in opened)
        resource.prlimit(receiver, resource.RLIMIT_NOFILE, (free + 1, limits[1]))
        try:
            with suppress(PeerSilent):
                answered()
        finally:
            resource.prlimit(receiver, resource.RLIMIT_NOFILE, limits)
        return "no file descriptor is left (Too many open files)" in node.log.read_text()

    eventually(turned_away, 30, "a connection took the last descriptor")
    assert answered() == 0


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
