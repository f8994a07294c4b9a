"""A node in a process of its own, on free loopback ports, below a folder of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from node.core.errors import NodeError
from node.core.system.interpreters import command, surroundings
from node.dimse.scu.requests import Destination, PeerSilent, echo

TITLE = "RASNODE"
_NODE = "from node.cli.main import main; main()"
_START_SECONDS = 60.0
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.1


class NodeTrouble(NodeError):
    """The node did not start, or did not end properly; the sentence names its log."""


@dataclass(frozen=True, slots=True)
class PrivateNode:
    """A running node.

    Attributes:
        folder: the folder of its configuration, log and data.
        page: the HTTP port.
    """

    process: subprocess.Popen[bytes]
    folder: Path
    port: int
    page: int

    @property
    def root(self) -> Path:
        """Its `storage.root`."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """The file with its log."""
        return self.folder / "node.log"

    def destination(self, calling_ae: str) -> Destination:
        """The node's address for a sender with this AE title."""
        return Destination("127.0.0.1", self.port, TITLE, calling_ae)

    def check_alive(self) -> None:
        """Raise NodeTrouble if the node has ended by itself."""
        if self.process.poll() is not None:
            lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = lines[-1] if lines else "without a line in its log"
            raise NodeTrouble(f"the node has ended ({last}); its log is {self.log}")

    def end(self) -> int:
        """Stop it as a service manager does.

        Returns:
            Its exit code.
        """
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@contextmanager
def private_node(folder: Path) -> Iterator[PrivateNode]:
    """Start a node and wait until it answers; stop it at the end of the block.

    Args:
        folder: for its configuration, log and data.

    Raises:
        NodeTrouble: the node did not start, or did not end with exit code 0.
    """
    folder = folder.absolute()
    port, page = _free_ports(2)
    config = folder / "config.yaml"
    settings = {
        "dicom": {"host": "127.0.0.1", "port": port, "ae_title": TITLE},
        "storage": {"root": str(folder / "data"), "minimum_free": "50 MiB"},
        "completion": {"quiet_seconds": 2},
        "http": {"port": page},
    }
    config.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    # The environment may have settings for another node.
    environment = {name: v for name, v in surroundings().items() if not name.startswith("RASNODE_")}
    with (folder / "node.log").open("wb") as log:
        process = subprocess.Popen(
            command(_NODE, "serve", "-c", str(config)),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches only this command, which then stops the node
        )
    node = PrivateNode(process, folder, port, page)
    try:
        _wait_until_it_answers(node)
        yield node
    except BaseException:
        node.end()
        raise
    code = node.end()
    if code != 0:
        raise NodeTrouble(f"the node ended with exit code {code}; its log is {node.log}")


def _wait_until_it_answers(node: PrivateNode) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        node.check_alive()
        try:
            echo(node.destination(TITLE))
        except PeerSilent as silence:
            if time.monotonic() > deadline:
                raise NodeTrouble(f"{silence}; the node's log is {node.log}") from silence
            time.sleep(_POLL_SECONDS)
        else:
            return


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
