"""What the machine has, and what processes do on it, as far as the system tells."""

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
    """How many processors this process may use, at least one."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # not on Linux
        return max(1, os.cpu_count() or 1)


def memory_bytes(root: Path = _ROOT) -> int:
    """The memory that this process and its children may use together: the machine's or, if that
    is less, that of one of the control groups they are in.

    Args:
        root: where `/proc` and `/sys` are.
    """
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([most, *(group.limit for group in _groups(root))])


def free_memory(root: Path = _ROOT) -> int:
    """How much more memory this process may use now, without anything else being ended for it.

    Args:
        root: where `/proc` and `/sys` are.
    """
    free = [memory_bytes(root), *(group.free for group in _groups(root))]
    with suppress(OSError, ValueError, IndexError):
        said = (root / "proc/meminfo").read_text("ascii")
        free.append(int(said.partition("MemAvailable:")[2].split()[0]) * 1024)
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if limit != resource.RLIM_INFINITY:
        free.append(limit - held_bytes(root))
    return max(0, min(free))


def most_memory() -> int:
    """How much memory this process could have if nothing else ran."""
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return memory_bytes() if limit == resource.RLIM_INFINITY else min(limit, memory_bytes())


def held_bytes(root: Path = _ROOT) -> int:
    """What of this process counts for RLIMIT_DATA; 0 where the system does not say."""
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
    """The control groups that this process is in, of either version, as far as they can be seen."""
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
    """What a control group may have; None if it has no limit, or is not to be seen."""
    limit, used, cached = (
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
        if first
        else ("memory.max", "memory.current", "inactive_file ")
    )
    try:
        most = int((folder / limit).read_text("ascii"))
        taken = int((folder / used).read_text("ascii"))
        # What was read from files, and nobody uses, is given back when it is needed.
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
    """What a process and its descendants have done so far.

    Attributes:
        states: as `ps` shows them, R, S, D, T or Z each, its own first.
        ticks: of processor time that they used together.
    """

    states: str
    ticks: int

    @property
    def stopped(self) -> bool:
        """Whether a signal or a debugger holds the process."""
        return self.states[0] in "Tt"

    @property
    def ended(self) -> bool:
        """Whether it has ended, and only its parent has not taken notice yet."""
        return self.states[0] in "ZX"

    @property
    def asleep(self) -> bool:
        """Whether all of them wait for something other than a disk or a processor."""
        return not set(self.states) & set("RD")


def activity(pid: int) -> Activity | None:
    """What a process has done; None if it is gone or the system does not say."""
    own = _stat(pid)
    if own is None:
        return None
    said = [own]
    found = _children(pid)
    for child in found:
        if len(found) < _MOST_DESCENDANTS:
            found += _children(child)
        said += [one for one in [_stat(child)] if one is not None]
    return Activity("".join(one.states for one in said), sum(one.ticks for one in said))


def _stat(pid: int) -> Activity | None:
    try:
        # The name may hold spaces and parentheses: fields are counted from its end. proc(5).
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return Activity(fields[0], sum(int(ticks) for ticks in fields[11:15]))
    except (OSError, IndexError, ValueError):
        return None


def _children(pid: int) -> list[int]:
    """Each thread of a process has those that it started."""
    said = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                said += (thread / "children").read_text("ascii").split()
    return [int(child) for child in said]
