"""Faults of a thread or a process of a node, and how they are ended."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.world import World

LOOPS = {
    "watcher": "node",
    "deliveries to hook": "node",
    "assembly workers": "node",
    "supervisor of ingester": "node",
    "supervisor of receiver": "node",
    "page tick": "node",
    "ingest": "ingester",
    "archive and index sync": "ingester",
    "ingest priority": "ingester",
    "reporter": "ingester",
    "DICOM port": "receiver",
    "C-STORE requests": "receiver",
    "storage commitment": "receiver",
}
"""Every loop of a node that makes a step every few seconds, and the process that it runs in."""

PROCESSES = ("node", "receiver", "ingester", "worker", "fork server")


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        what: `kill` or `stop` a process, or have a loop `raise` or `hang`.
        target: the process or the loop.
    """

    what: str
    target: str

    def __str__(self) -> str:
        return f"{self.what} {self.target}"

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which `/health` may report it."""
        if self.target in LOOPS:
            own = {"page tick": "page", "reporter": "ingester"}.get(self.target, self.target)
            return (
                own,
                *{"ingester": ("ingester",), "receiver": ("receiver",)}.get(self.process, ()),
            )
        return {
            "receiver": ("receiver", "dicom"),
            "ingester": ("ingester",),
            "worker": ("assembly workers", "watcher"),
            "fork server": ("assembly workers", "watcher"),
        }.get(self.target, ())

    @property
    def process(self) -> str:
        """The process that it affects."""
        return LOOPS.get(self.target, self.target)

    def cause(self, world: World) -> bool:
        """Cause it; False if there is no such process."""
        if self.target in LOOPS:
            point = self.target if self.target == "page tick" else f"loop {self.target}"
            _write(world, f"{point} {self.what}")
            return True
        return _signal(
            world, self.target, signal.SIGKILL if self.what == "kill" else signal.SIGSTOP
        )

    def end(self, world: World) -> None:
        """End it, where the node cannot do so itself."""
        _write(world, "")
        if self.what == "stop":
            _signal(world, self.target, signal.SIGCONT)
        hung = self.what == "hang"
        if self.process == "node" and (hung or self.what == "kill"):
            world.node.kill()
            world.start()
        elif hung:
            _signal(world, self.process, signal.SIGKILL)


def any_fault(random_: random.Random) -> Fault:
    """A random fault; all are equally likely."""
    every: list[Callable[[], Fault]] = [
        *(lambda a=a, b=b: Fault(a, b) for a in ("kill", "stop") for b in PROCESSES),
        *(lambda a=a, b=b: Fault(a, b) for a in ("raise", "hang") for b in LOOPS),
    ]
    return random_.choice(every)()


def _write(world: World, point: str) -> None:
    """Write the fault point in one step."""
    new = world.faults.with_suffix(".new")
    new.write_text(point)
    new.replace(world.faults)


def _signal(world: World, target: str, number: signal.Signals) -> bool:
    found = _processes(world).get(target, [])
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    return bool(found)


def _processes(world: World) -> dict[str, list[int]]:
    assert world.node.process is not None
    own = world.node.process.pid
    found: dict[str, list[int]] = {"node": [own]}
    for pid in _children(own):
        names = _names(pid)
        if "rasnode-receive" in names or "node.daemon.receiving" in names:
            found.setdefault("receiver", []).append(pid)
        elif "rasnode-ingest" in names or "node.storage.ingest" in names:
            found.setdefault("ingester", []).append(pid)
        elif "forkserver" in names:
            found.setdefault("fork server", []).append(pid)
            found.setdefault("worker", []).extend(_children(pid)[:1])
    return {target: pids for target, pids in found.items() if pids}


def _children(pid: int) -> list[int]:
    """Each thread has those that it started."""
    with suppress(OSError):
        threads = Path(f"/proc/{pid}/task").iterdir()
        return [int(one) for path in threads for one in (path / "children").read_text().split()]
    return []


def _names(pid: int) -> str:
    """Its name and its command line."""
    try:
        folder = Path(f"/proc/{pid}")
        return (folder / "comm").read_text() + (folder / "cmdline").read_text()
    except OSError:
        return ""
