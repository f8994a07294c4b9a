"""Executors of assemblies: local worker processes, or a cluster (`node.lifecycle.cluster`).

Each local slot is a pool of one process, so that the death of a process costs one series. A process
is replaced after some jobs, so that no memory leak of an image library grows without end. A fork
server starts them: the daemon has threads, and forking it could deadlock the child.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import resource
import signal
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.util import Finalize
from typing import Any

from node.convert.decoding import close as close_decoders
from node.convert.decoding import prepare_copy
from node.core.settings.model import AssemblySettings
from node.core.supervision import background, install_hooks
from node.core.system.machine import activity, available_processors
from node.lifecycle.assembly.jobs import Assembled, Job, WorkerDied
from node.lifecycle.cluster import DaskWorkers, address_of
from node.lifecycle.workers.watch import Watched, WorkerWatch

log = logging.getLogger(__name__)

JOBS_PER_PROCESS = 100  # then a local process is replaced
LEAST_PRIORITY = 19
Task = Callable[[Job], Assembled]


class LocalWorkers:
    """Runs jobs in local processes.

    Args:
        task: what a process does with a job; importable by name.
        count: how many jobs may run at once; None: as many as there are processors.
        jobs_per_process: after how many jobs a process is replaced.
        memory: bytes that each process may have as data (RLIMIT_DATA); None: no limit.
    """

    def __init__(
        self,
        task: Task,
        count: int | None = None,
        jobs_per_process: int = JOBS_PER_PROCESS,
        memory: int | None = None,
    ) -> None:
        self._task = task
        self._count = count or available_processors()
        self._jobs_per_process = jobs_per_process
        _choose_temporary_folder()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([task.__module__])
        self._prepare_process = partial(_prepare_process, memory)
        self._lock = threading.Lock()
        self._watch = WorkerWatch("assembly workers", self._slots)
        self._idle: list[_Slot] = []
        self._busy: dict[Future[Assembled], _Slot] = {}
        self._stopped = False

    @property
    def capacity(self) -> int:
        """How many jobs may run at once."""
        return self._count

    def fault(self) -> str | None:
        """None: processes are started when they are needed."""
        return None

    def warm_up(self) -> None:
        """Start a process before the first series needs it."""
        self._watch.start()
        with self._lock:
            wanted = not self._idle and not self._busy and not self._stopped
        if not wanted:
            return
        slot = _Slot(self._context, self._prepare_process)  # not under the lock: it may take long
        with self._lock:
            if not self._stopped:
                self._idle.append(slot)
                return
        slot.kill()

    def submit(self, job: Job) -> Future[Assembled]:
        """Start a job; the caller keeps to `capacity`.

        Returns:
            its future, which fails with `WorkerDied` if its process does.
        """
        outer: Future[Assembled] = Future()
        outer.set_running_or_notify_cancel()
        slot, inner = self._start(job)
        with self._lock:
            self._busy[outer] = slot
        inner.add_done_callback(lambda done: self._done(outer, done))
        return outer

    def _start(self, job: Job) -> tuple[_Slot, Future[Assembled]]:
        """Start a job in an idle or a new process; an idle process that has died is replaced.

        Raises:
            WorkerDied: a new process died at once.
        """
        while True:
            with self._lock:
                idle = self._idle.pop() if self._idle else None
            slot = idle or _Slot(self._context, self._prepare_process)
            try:
                if idle is None or idle.alive:
                    return slot, slot.submit(self._task, job)
            except BrokenExecutor as error:
                if idle is None:
                    raise WorkerDied("a new assembly worker process died at once") from error
            slot.retire()

    def kill(self, future: Future[Assembled]) -> None:
        """End the process that works on a job; its future fails with `WorkerDied`."""
        with self._lock:
            slot = self._busy.get(future)
        if slot is not None:
            slot.kill()

    def close(self) -> None:
        """End every process, idle or not."""
        self._watch.stop()
        with self._lock:
            self._stopped = True
            slots = [*self._idle, *self._busy.values()]
            self._idle.clear()
        for slot in slots:
            slot.kill()

    def _slots(self) -> list[tuple[Watched, bool]]:
        with self._lock:
            busy = [(slot, True) for slot in self._busy.values()]
            return [*busy, *((slot, False) for slot in self._idle)]

    def _done(self, outer: Future[Assembled], inner: Future[Assembled]) -> None:
        error = (
            WorkerDied("the worker process was stopped") if inner.cancelled() else inner.exception()
        )
        died = isinstance(error, BrokenProcessPool | WorkerDied)
        with self._lock:
            slot = self._busy.pop(outer)
            keep = not died and not self._stopped and slot.jobs < self._jobs_per_process
            if keep:
                self._idle.append(slot)
        if not keep:
            slot.retire()
        if died:
            outer.set_exception(WorkerDied("the worker process that assembled the series died"))
        elif error is not None:
            outer.set_exception(error)
        else:
            outer.set_result(inner.result())


class IdleWorker:
    """A process that works only while processors are idle; it is started when it is needed.

    Args:
        memory: bytes that it may have as data (RLIMIT_DATA); None: no limit.
    """

    def __init__(self, memory: int | None = None) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._prepare_process = partial(_prepare_idle_process, memory)
        self._slot: _Slot | None = None
        self._last: Future[int] | None = None
        self._watch: WorkerWatch | None = None

    def submit(self, function: Callable[..., int], *args: object) -> Future[int]:
        """Start a function; its future fails with `BrokenExecutor` if the process dies."""
        slot = self._slot
        if slot is None or slot.jobs >= JOBS_PER_PROCESS:
            slot = self._new_slot()
        try:
            self._last = slot.submit(function, *args)
        except BrokenExecutor:  # the process died earlier
            self._last = self._new_slot().submit(function, *args)
        return self._last

    def close(self) -> None:
        """End the process at once."""
        if self._watch is not None:
            self._watch.stop()
        if self._slot is not None:
            self._slot.kill()
            self._slot = None

    def _new_slot(self) -> _Slot:
        if self._watch is None:
            self._watch = WorkerWatch("idle worker", self._slots)
            self._watch.start()
        if self._slot is not None:
            self._slot.retire()
        self._slot = _Slot(self._context, self._prepare_process)
        return self._slot

    def _slots(self) -> list[tuple[Watched, bool]]:
        slot, last = self._slot, self._last
        return [] if slot is None else [(slot, last is not None and not last.done())]


class _Slot:
    """One process with an executor of its own."""

    def __init__(self, context: Any, settle_in: Callable[[], None]) -> None:
        self._executor = ProcessPoolExecutor(1, mp_context=context, initializer=settle_in)
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
        self.jobs += 1
        return self._executor.submit(task, *args)

    def retire(self) -> None:
        self._executor.shutdown(wait=False)

    def kill(self) -> None:
        self._process.add_done_callback(_kill)  # at once, or as soon as it has started
        self.retire()


def _kill(process: Future[int]) -> None:
    if process.exception() is None:
        try:
            os.kill(process.result(), signal.SIGKILL)
        except ProcessLookupError:
            log.debug("the worker process had ended already")


def _prepare_idle_process(memory: int | None) -> None:
    """Runs first in the process of an `IdleWorker`."""
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):  # not Linux, or not allowed
        os.nice(LEAST_PRIORITY)
    _prepare_process(memory)


def _prepare_process(memory: int | None) -> None:
    """Runs first in every worker process."""
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


Workers = LocalWorkers | DaskWorkers


def make_workers(task: Task, settings: AssemblySettings, memory: int | None = None) -> Workers:
    """Make the executor that the settings name.

    Args:
        task: what a worker does with a job; importable by name.
        settings: the settings of `assembly`.
        memory: bytes that a local process may have as data; None: no limit.

    Raises:
        ConfigError: `distributed` is not installed, or certificates cannot be read.
    """
    count = None if settings.workers == "auto" else settings.workers
    if settings.executor == "local":
        return LocalWorkers(task, count, memory=memory)
    address = address_of(settings.executor, settings.tls)
    return DaskWorkers(task, address, count, settings.tls)


def _choose_temporary_folder() -> None:
    """Choose the folder for the fork server's socket.

    Python itself would try folders with a file, which stays if the node is killed in that moment.
    """
    folder = os.environ.get("TMPDIR", "/tmp")  # noqa: S108
    if tempfile.tempdir is None and os.access(folder, os.W_OK | os.X_OK):
        tempfile.tempdir = folder
