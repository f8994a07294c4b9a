"""What can happen to a thread or a process of a node, and how it is put right."""

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
"""Every loop of a node that makes a step every few seconds, and the process that it is of."""

PROCESSES = ("node", "receiver", "ingester", "worker", "fork server")


@dataclass(frozen=True)
class Trouble:
    """One fault.

    Attributes:
        what: `kill` or `stop` a process, or have a loop `raise` or `hang`.
        whom: the process or the loop.
    """

    what: str
    whom: str

    def __str__(self) -> str:
        return f"{self.what} {self.whom}"

    @property
    def names(self) -> tuple[str, ...]:
        """What `/health` may call it; any of these."""
        if self.whom in LOOPS:
            own = {"page tick": "page", "reporter": "ingester"}.get(self.whom, self.whom)
            return (
                own,
                *{"ingester": ("ingester",), "receiver": ("receiver",)}.get(self.process, ()),
            )
        return {
            "receiver": ("receiver", "dicom"),
            "ingester": ("ingester",),
            "worker": ("assembly workers", "watcher"),
            "fork server": ("assembly workers", "watcher"),
        }.get(self.whom, ())

    @property
    def process(self) -> str:
        """The process that it is about."""
        return LOOPS.get(self.whom, self.whom)

    def cause(self, world: World) -> bool:
        """Make it happen; False if there is nobody that it could happen to."""
        if self.whom in LOOPS:
            point = self.whom if self.whom == "page tick" else f"loop {self.whom}"
            _write(world, f"{point} {self.what}")
            return True
        return _signal(world, self.whom, signal.SIGKILL if self.what == "kill" else signal.SIGSTOP)

    def end(self, world: World) -> None:
        """Put right what nothing but a person could put right."""
        _write(world, "")
        if self.what == "stop":
            _signal(world, self.whom, signal.SIGCONT)
        hung = self.what == "hang"
        if self.process == "node" and (hung or self.what == "kill"):
            world.node.kill()
            world.start()
        elif hung:
            _signal(world, self.process, signal.SIGKILL)


def any_trouble(random_: random.Random) -> Trouble:
    """One of all, each as likely as any other."""
    every: list[Callable[[], Trouble]] = [
        *(lambda a=a, b=b: Trouble(a, b) for a in ("kill", "stop") for b in PROCESSES),
        *(lambda a=a, b=b: Trouble(a, b) for a in ("raise", "hang") for b in LOOPS),
    ]
    return random_.choice(every)()


def _write(world: World, said: str) -> None:
    """At once for whoever reads it."""
    new = world.faults.with_suffix(".new")
    new.write_text(said)
    new.replace(world.faults)


def _signal(world: World, whom: str, number: signal.Signals) -> bool:
    found = _processes(world).get(whom, [])
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    return bool(found)


def _processes(world: World) -> dict[str, list[int]]:
    assert world.node.process is not None
    own = world.node.process.pid
    found: dict[str, list[int]] = {"node": [own]}
    for pid in _children(own):
        said = _said(pid)
        if "rasnode-receive" in said or "node.daemon.receiving" in said:
            found.setdefault("receiver", []).append(pid)
        elif "rasnode-ingest" in said or "node.storage.ingest" in said:
            found.setdefault("ingester", []).append(pid)
        elif "forkserver" in said:
            found.setdefault("fork server", []).append(pid)
            found.setdefault("worker", []).extend(_children(pid)[:1])
    return {whom: pids for whom, pids in found.items() if pids}


def _children(pid: int) -> list[int]:
    """Each thread has those that it started."""
    with suppress(OSError):
        threads = Path(f"/proc/{pid}/task").iterdir()
        return [int(one) for path in threads for one in (path / "children").read_text().split()]
    return []


def _said(pid: int) -> str:
    """Its name and its command line."""
    try:
        folder = Path(f"/proc/{pid}")
        return (folder / "comm").read_text() + (folder / "cmdline").read_text()
    except OSError:
        return ""
