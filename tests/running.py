"""A real node in a process of its own, and the real clients that talk to it."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from node.cli.commands import build
from node.cli.context import let_settle
from node.storage.run_file import UNSEEN, running_node
from tests.commands import rasnode

SHARED = Path(__file__).parents[2] / "shared"
TITLE = "RASNODE"


def shared(part: str) -> Path:
    """A folder of the shared corpus or checks; skips, visibly, where there is none."""
    path = SHARED / part
    if not path.exists():
        pytest.skip(f"needs {part} of the shared corpus beside the checkout")
    return path


def dcmtk(name: str) -> str:
    """A client of DCMTK (Debian package dcmtk), not pynetdicom's app of the same name."""
    path = Path("/usr/bin") / name
    if not path.exists():
        pytest.skip(f"needs {name} of DCMTK (apt-get install dcmtk)")
    return str(path)


def free_port() -> int:
    """A TCP port that nothing listens on, and that no outgoing connection will be given."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)  # below Linux' ephemeral ports
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def eventually(check: Callable[[], Any], seconds: float, what: str) -> Any:
    """What `check` returns once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return found


def manifests(node: RunningNode) -> list[Path]:
    """The manifests that readers see."""
    found = []
    for place, folders, names in os.walk(node.root / "nifti"):
        folders[:] = [name for name in folders if name != ".staging"]  # these come and go
        found += [Path(place, name) for name in names if name.endswith(".manifest.json")]
    return sorted(found)


def configured(folder: Path, deliver: list[dict[str, Any]], **sections: Any) -> RunningNode:
    """A node that delivers, not started."""
    folder.mkdir(exist_ok=True)
    node = RunningNode(folder, sections)
    config = yaml.safe_load(node.config.read_text())
    node.config.write_text(yaml.safe_dump({**config, "deliver": deliver}))
    return node


def slowness() -> float:
    """How many times longer than its own processor time a short piece of work takes now.

    1 on a machine that does nothing else: what a test allows for on one that does.
    """
    began, used = time.monotonic(), time.process_time()
    while time.process_time() - used < 0.05:
        pass
    return max(1.0, (time.monotonic() - began) / 0.05)


class RunningNode:
    """`rasnode serve` on a free loopback port, below a folder of its own."""

    def __init__(self, folder: Path, settings: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.log = folder / "node.log"
        self.config = folder / "config.yaml"
        merged: dict[str, Any] = {
            "dicom": {"host": "127.0.0.1", "port": free_port()},
            "storage": {"root": str(folder / "data"), "minimum_free": "50 MiB"},
            "http": {"port": None},
        }
        for section, values in (settings or {}).items():
            merged.setdefault(section, {}).update(values)
        self.root = Path(merged["storage"]["root"])
        self.config.write_text(yaml.safe_dump(merged))
        self.port: int = merged["dicom"]["port"]
        self._ports = [port for port in (self.port, merged["http"]["port"]) if port is not None]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, env: dict[str, str] | None = None) -> RunningNode:
        """Start it and wait until its ports are open and other commands see it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "node", "serve", "-c", str(self.config)],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(env or {})},
            )
        eventually(self._listens, 30, f"the node listens; its log:\n{self.log.read_text()}")
        return self

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        seen = running_node(self.root)
        return all(map(self._answers, self._ports)) and seen is not None and seen is not UNSEEN

    @staticmethod
    def _answers(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def kill(self) -> None:
        """kill -9 of the node and its workers."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
            # Others of its group may hold the port for a moment longer.
            eventually(lambda: not self._answers(self.port), 10, "the port is free")

    def terminate(self, seconds: float = 30) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(seconds)

    def rasnode(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run another `rasnode` command on the same configuration."""
        return rasnode(*arguments, "-c", str(self.config), check=check)

    def _said(self, *arguments: str) -> str:
        """What a command says that is run here: another interpreter takes a second to start."""
        with redirect_stdout(io.StringIO()) as said:
            build()([*arguments, "-c", str(self.config)], standalone_mode=False)
        return said.getvalue()

    def instances(self) -> list[dict[str, Any]]:
        """`rasnode ls --level instance --json`."""
        lines = self._said("ls", "--level", "instance", "--json").splitlines()
        return [json.loads(line) for line in lines]

    def series(self) -> list[dict[str, Any]]:
        """The series of `rasnode status --json`."""
        found = json.loads(self._said("status", "--json"))["series"]
        assert isinstance(found, list)
        return found

    def _states(self) -> set[str]:
        """The states of all series; straight from the index, as a command takes a second."""
        let_settle(self.root)
        index = self.root / "index.db"
        if not index.exists():
            return {one["state"] for one in self.series()}
        with closing(sqlite3.connect(f"file:{index}?mode=ro", uri=True)) as connection:
            return {state for (state,) in connection.execute("SELECT state FROM series")}

    def settle(self, seconds: float = 60, states: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Wait until no series is under way; returns them all."""
        under_way = {"receiving", "settled", "assembling"}

        def at_rest() -> list[dict[str, Any]]:
            states = self._states()
            if not states or states & under_way:
                return []
            found = self.series()  # a series that has ended may have others made again
            return [] if under_way & {one["state"] for one in found} else found

        found = eventually(at_rest, seconds, "every series has an end state")
        if states:
            assert {one["state"] for one in found} <= set(states), found
        return found

    def send(self, *paths: Path, options: Sequence[str] = ()) -> None:
        """Send files or folders with DCMTK's storescu."""
        subprocess.run(
            [
                dcmtk("storescu"), "-aec", TITLE, *options, "+sd", "+r",
                "127.0.0.1", str(self.port), *map(str, paths),
            ],
            check=True,
            capture_output=True,
            timeout=300,
        )  # fmt: skip
