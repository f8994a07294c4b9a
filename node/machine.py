"""What the machine has, and what processes do on it, as far as the system tells."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CGROUP_LIMITS: Final = (
    Path("/sys/fs/cgroup/memory.max"),  # version 2, as seen from inside a container
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),  # version 1
)
_MOST_DESCENDANTS: Final = 256


def available_processors() -> int:
    """How many processors this process may use, at least one."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # not on Linux
        return max(1, os.cpu_count() or 1)


def memory_bytes() -> int:
    """The memory that this process and its children may use together: the machine's or, if that
    is less, its control group's."""
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # not there, or "max"
            most = min(most, int(limit.read_text(encoding="ascii")))
    return most


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
