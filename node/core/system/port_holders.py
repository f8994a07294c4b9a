"""Find the programs that listen on a TCP port, if they are visible to this user (Linux)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.core.plain_text import plain

_LISTENING: Final = "0A"  # TCP_LISTEN, as /proc/net/tcp writes it
_RECEIVER: Final = ("rasnode-receive", "node.daemon.receiving.process")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds a port.

    Attributes:
        pid: process ID.
        name: name of the program.
        receiver: it is a receiver process of a node. The node's main process holds the port, too:
            if only receivers hold it, the node has ended, and they are about to.
    """

    pid: int
    name: str
    receiver: bool

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})"


def holders(port: int) -> list[Holder]:
    """Return the processes that listen on a port; empty if there are none, or none are visible."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    if not sockets:
        return []
    return [
        holder
        for process in Path("/proc").iterdir()
        if process.name.isdigit() and _has(process, sockets)
        if (holder := _holder(process)) is not None
    ]


def _inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _has(process: Path, sockets: set[str]) -> bool:
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:  # another user's, or it has ended
        return False
    return any(_target(descriptor) in sockets for descriptor in descriptors)


def _target(descriptor: Path) -> str:
    try:
        return os.readlink(descriptor)  # noqa: PTH115  it is no path
    except OSError:
        return ""


def _holder(process: Path) -> Holder | None:
    try:
        name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
        command = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    receives = name == _RECEIVER[0] or _RECEIVER[1] in command
    return Holder(int(process.name), plain(name), receives)
