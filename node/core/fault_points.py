"""Fault points: places where a test can break the process as a fault of the machine would.

`RASNODE_FAULT_POINT=published` makes the process that comes to `fault_point("published")` send
itself SIGKILL; `published raise` raises an exception there, `published hang` waits for ever. With
`RASNODE_FAULT_POINT=/a/file` it is what the file holds by then. Nothing else reads the variable,
and without it a fault point does nothing. The points are listed in `docs/completion.md`; each loop
has one before each of its steps, `loop NAME`.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

VARIABLE = "RASNODE_FAULT_POINT"


class InjectedFault(Exception):
    """What `NAME raise` raises: an exception that nobody foresees."""


def fault_point(name: str) -> None:
    """Break here if this is the point that a test has named."""
    named = os.environ.get(VARIABLE)
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
