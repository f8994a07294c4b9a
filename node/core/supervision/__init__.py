"""Supervision of every thread and process of the node: heartbeats, guards, restarts.

Threads are started here and nowhere else, which ruff checks (TID251), so that every thread has a
guard, and every loop a heartbeat.
"""

from node.core.supervision.background import Background, background, deadline
from node.core.supervision.call_deadline import within
from node.core.supervision.exception_hooks import install_hooks
from node.core.supervision.heartbeat import HEARTBEATS, Heartbeat, Heartbeats, LoopState
from node.core.supervision.heartbeat_report import Reporter
from node.core.supervision.loop import Loop
from node.core.supervision.parallel import in_parallel
from node.core.supervision.process import Process, SupervisedProcess
from node.core.supervision.program import Program
from node.core.supervision.watchdog import Watchdog

__all__ = [
    "HEARTBEATS",
    "Background",
    "Heartbeat",
    "Heartbeats",
    "Loop",
    "LoopState",
    "Process",
    "Program",
    "Reporter",
    "SupervisedProcess",
    "Watchdog",
    "background",
    "deadline",
    "in_parallel",
    "install_hooks",
    "within",
]
