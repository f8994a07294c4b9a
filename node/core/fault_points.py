"""Fault points: places where a test can break the process as a fault of the machine would.

With `RASNODE_FAULT_POINT=published` the process that reaches `fault_point("published")` sends
itself SIGKILL; `published raise` raises an exception there, `published hang` waits without end.
With `RASNODE_FAULT_POINT=/a/file` the content of the file at that time counts. Nothing else reads
the variable, and without it a fault point does nothing. The points are listed in
`docs/completion.md`; each loop has one before each of its steps, `loop NAME`.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

VARIABLE = "RASNODE_FAULT_POINT"
_named = os.environ.get(VARIABLE)  # once: each received instance passes several points


class InjectedFault(Exception):
    """The exception of `NAME raise`, which no code handles on purpose."""


def fault_point(name: str) -> None:
    """Break here if a test has named this point."""
    named = _named
    if named is None:
        return
    if named.startswith("/"):
        named = Path(named).read_text(encoding="ascii")
    if named == name:
        os.kill(os.getpid(), signal.SIGKILL)
    elif named == f"{name} raise":
        raise InjectedFault(name)
    elif named == f"{name} hang":
        while True:
            time.sleep(3600)
