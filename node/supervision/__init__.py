"""The watch over every thread and process of the node: heartbeats, guards, restarts.

Threads are started here and nowhere else (ruff's TID251 sees to it), so that none is without a
guard, and none that lasts is without a heartbeat.
"""

from node.supervision.background import Background, background, deadline
from node.supervision.heartbeat import HEARTBEATS, Heartbeat, Heartbeats, Sign
from node.supervision.hooks import install_hooks
from node.supervision.loop import Loop
from node.supervision.process import Process, SupervisedProcess
from node.supervision.report import Reporter
from node.supervision.watchdog import Watchdog
from node.supervision.within import within

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
    "install_hooks",
    "within",
]
