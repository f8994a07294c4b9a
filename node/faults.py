"""Fault points: places where a test can kill the process as a power cut would.

`RASNODE_FAULT_POINT=published` makes the process that comes to `fault_point("published")` send
itself SIGKILL; with `RASNODE_FAULT_POINT=/a/file` the name is what the file holds by then.
Nothing else reads the variable, and without it a fault point does nothing. The points are listed
in `docs/completion.md`.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

VARIABLE = "RASNODE_FAULT_POINT"


def fault_point(name: str) -> None:
    """Die here, at once and without a trace, if this is the point that a test has named."""
    named = os.environ.get(VARIABLE)
    if named is not None and named.startswith("/"):
        with Path(named).open(encoding="ascii") as file:
            named = file.read()
    if named == name:
        os.kill(os.getpid(), signal.SIGKILL)
