"""One worker process with an executor of its own, and how such a process is prepared.

A fork server starts the processes: the daemon has threads, and forking it could deadlock the child.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.util import Finalize
from typing import Any

from node.convert.decoding import close as close_decoders
from node.convert.decoding import prepare_copy
from node.core.supervision import background, install_hooks
from node.core.system.interpreters import without_interrupts
from node.core.system.machine import activity

log = logging.getLogger(__name__)

JOBS_PER_PROCESS = 100  # then a process is replaced, so that no memory leak grows without end
_LEAST_PRIORITY = 19


class ProcessSlot:
    """One process with an executor of its own.

    Args:
        context: starts the process.
        prepare: runs first in the process.

    Attributes:
        jobs: how many jobs the process was given.
    """

    def __init__(self, context: Any, prepare: Callable[[], None]) -> None:
        self._executor = ProcessPoolExecutor(1, mp_context=context, initializer=prepare)
        with without_interrupts():  # it may start the fork server
            self._process = self._executor.submit(os.getpid)
        self.jobs = 0

    @property
    def pid(self) -> int | None:
        """Its process' ID; None until it has started."""
        if not self._process.done() or self._process.exception() is not None:
            return None
        return self._process.result()

    @property
    def alive(self) -> bool:
        """Whether its process runs, as far as is known."""
        found = activity(self.pid) if self.pid is not None else None
        return self.pid is None or (found is not None and not found.ended)

    def submit(self, task: Callable[..., Any], *args: object) -> Future[Any]:
        """Start a function in the process; its arguments are pickled."""
        self.jobs += 1
        return self._executor.submit(task, *args)

    def retire(self) -> None:
        """End the process after the job that it has."""
        self._executor.shutdown(wait=False)

    def kill(self) -> None:
        """End the process at once."""
        self._process.add_done_callback(_kill)  # at once, or as soon as it has started
        self.retire()


def _kill(process: Future[int]) -> None:
    if process.exception() is None:
        try:
            os.kill(process.result(), signal.SIGKILL)
        except ProcessLookupError:
            log.debug("the worker process had ended already")


def prepare_idle_process(memory: int | None) -> None:
    """Prepare the process of an `IdleWorker`: it runs only while processors are idle.

    Args:
        memory: bytes that it may have as data; None: no limit.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):  # not Linux, or not allowed
        os.nice(_LEAST_PRIORITY)
    prepare_process(memory)


def prepare_process(memory: int | None) -> None:
    """Prepare a worker process.

    Args:
        memory: bytes that it may have as data (RLIMIT_DATA); None: no limit.
    """
    if memory is not None:
        # A series that needs more fails by name, before the system ends another process.
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    install_hooks()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C and service managers end the daemon,
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # which ends its workers
    os.nice(5)  # receiving comes first
    gc.freeze()  # loaded modules stay: no collection has to examine them
    prepare_copy()  # before another thread starts
    Finalize(None, close_decoders, exitpriority=0)  # a worker that is replaced leaves no orphan
    background("die with the parent", _die_with_parent)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
