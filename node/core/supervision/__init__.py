"""The watch over every thread and process of the node: heartbeats, guards, restarts.

Threads are started here and nowhere else (ruff's TID251 sees to it), so that none is without a
guard, and none that lasts is without a heartbeat.
"""

from node.core.supervision.background import Background, background, deadline
from node.core.supervision.heartbeat import HEARTBEATS, Heartbeat, Heartbeats, Sign
from node.core.supervision.hooks import install_hooks
from node.core.supervision.loop import Loop
from node.core.supervision.parallel import in_parallel
from node.core.supervision.process import Process, SupervisedProcess
from node.core.supervision.report import Reporter
from node.core.supervision.watchdog import Watchdog
from node.core.supervision.within import within

__all__ = [
    "HEARTBEATS",
    "Background",
    "Heartbeat",
    "Heartbeats",
    "Loop",
    "Process",
    "Reporter",
    "Sign",
    "SupervisedProcess",
    "Watchdog",
    "background",
    "deadline",
    "in_parallel",
    "install_hooks",
    "within",
]
