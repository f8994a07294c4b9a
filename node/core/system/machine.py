"""Processors and memory of the machine, and the activity of processes."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

_ROOT: Final = Path("/")
_MOST_DESCENDANTS: Final = 256


def available_processors() -> int:
    """Return the number of processors that this process may use, at least one."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # not on Linux
        return max(1, os.cpu_count() or 1)


def memory_bytes(root: Path = _ROOT) -> int:
    """Return the bytes of memory that this process and its children may use together: those of the
    machine, or of a control group if that has less.

    Args:
        root: the folder with `/proc` and `/sys`.
    """
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([most, *(group.limit for group in _groups(root))])


def free_memory(root: Path = _ROOT) -> int:
    """Return the bytes of memory that this process may still use now, without the system killing
    another process.

    Args:
        root: the folder with `/proc` and `/sys`.
    """
    free = [memory_bytes(root), *(group.free for group in _groups(root))]
    with suppress(OSError, ValueError, IndexError):
        text = (root / "proc/meminfo").read_text("ascii")
        free.append(int(text.partition("MemAvailable:")[2].split()[0]) * 1024)
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if limit != resource.RLIM_INFINITY:
        free.append(limit - held_bytes(root))
    return max(0, min(free))


def most_memory() -> int:
    """Return the bytes of memory that this process could use if nothing else ran."""
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return memory_bytes() if limit == resource.RLIM_INFINITY else min(limit, memory_bytes())


def held_bytes(root: Path = _ROOT) -> int:
    """Return the bytes of this process that count for RLIMIT_DATA; 0 if not known."""
    try:
        pages = int((root / "proc/self/statm").read_text("ascii").split()[5])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * resource.getpagesize()


class _Group(NamedTuple):
    """A control group with a limit of memory, in bytes."""

    limit: int
    free: int


def _groups(root: Path) -> list[_Group]:
    """Return the visible control groups of this process, of either version."""
    found = []
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text("utf-8").splitlines():
            _, kinds, name = line.split(":", 2)
            if kinds and "memory" not in kinds.split(","):
                continue
            top = root / ("sys/fs/cgroup/memory" if kinds else "sys/fs/cgroup")
            own = top / name.lstrip("/")
            for folder in [own, *own.parents]:
                group = _group(folder, first=bool(kinds))
                if group is not None:
                    found.append(group)
                if folder == top:
                    break
    return found


def _group(folder: Path, *, first: bool) -> _Group | None:
    """Return the memory of a control group; None if it has no limit or is not visible."""
    limit, used, cached = (
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
        if first
        else ("memory.max", "memory.current", "inactive_file ")
    )
    try:
        most = int((folder / limit).read_text("ascii"))
        taken = int((folder / used).read_text("ascii"))
        # cached file content that is not in use is given back when memory is needed
        spare = int(
            ("\n" + (folder / "memory.stat").read_text("ascii"))
            .partition(f"\n{cached}")[2]
            .split()[0]
        )
    except (OSError, ValueError, IndexError):  # not there, or "max"
        return None
    return _Group(most, most - taken + spare)


@dataclass(frozen=True, slots=True)
class Activity:
    """The activity of a process and its descendants.

    Attributes:
        states: their states as in `ps` (R, S, D, T or Z), that of the process first.
        ticks: processor time that they have used together, in ticks.
    """

    states: str
    ticks: int

    @property
    def stopped(self) -> bool:
        """Whether a signal or a debugger has stopped the process."""
        return self.states[0] in "Tt"

    @property
    def ended(self) -> bool:
        """Whether the process has ended, and its parent has not reaped it yet."""
        return self.states[0] in "ZX"

    @property
    def asleep(self) -> bool:
        """Whether all of them wait for something else than a disk or a processor."""
        return not set(self.states) & set("RD")


def activity(pid: int) -> Activity | None:
    """Return the activity of a process; None if it has ended or is not visible."""
    own = _stat(pid)
    if own is None:
        return None
    stats = [own]
    found = _children(pid)
    for child in found:
        if len(found) < _MOST_DESCENDANTS:
            found += _children(child)
        stats += [one for one in [_stat(child)] if one is not None]
    return Activity("".join(one.states for one in stats), sum(one.ticks for one in stats))


def _stat(pid: int) -> Activity | None:
    try:
        # The name may hold spaces and parentheses: fields are counted from its end. proc(5).
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return Activity(fields[0], sum(int(ticks) for ticks in fields[11:15]))
    except (OSError, IndexError, ValueError):
        return None


def _children(pid: int) -> list[int]:
    """Return the children that the threads of a process have started."""
    found = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += (thread / "children").read_text("ascii").split()
    return [int(child) for child in found]
