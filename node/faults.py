"""Fault points: places where a test can kill the process as a power cut would.

`RASNODE_FAULT_POINT=published` makes the process that comes to `fault_point("published")` send
itself SIGKILL. Nothing else reads the variable, and without it a fault point does nothing. The
points are listed in `docs/completion.md`.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "RASNODE_FAULT_POINT"


def fault_point(name: str) -> None:
    """Die here, at once and without a trace, if this is the point that a test has named."""
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)
