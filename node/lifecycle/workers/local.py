"""Executors of assemblies: local processes, or the cluster that `node.lifecycle.cluster` speaks to.

Each local slot is a pool of one process, so that a process that dies is one series' fault, and is
renewed after some jobs so that no leak in an image library grows for ever. Processes come from a
fork server: the daemon has threads, and forking it could deadlock the child.
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

JOBS_PER_PROCESS = 100  # then a local process is renewed
LEAST_PRIORITY = 19
Task = Callable[[Job], Assembled]


class LocalWorkers:
    """Slots, each with a process of its own.

    Args:
        task: what a process does with a job; importable by name.
        count: how many jobs run at once; None: as many as there are processors.
        jobs_per_process: after how many jobs a process is renewed.
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
        self._settle_in = partial(_settle_in, memory)
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
        """Processes are started when they are needed: nothing can be missing."""
        return None

    def warm_up(self) -> None:
        """Start a process before the first series needs it."""
        self._watch.start()
        with self._lock:
            wanted = not self._idle and not self._busy and not self._stopped
        if not wanted:
            return
        slot = _Slot(self._context, self._settle_in)  # not under the lock: it may take long
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
        slot, inner = self._begun(job)
        with self._lock:
            self._busy[outer] = slot
        inner.add_done_callback(lambda done: self._done(outer, done))
        return outer

    def _begun(self, job: Job) -> tuple[_Slot, Future[Assembled]]:
        """A process that has taken the job; that one died while it was idle is not the job's fault.

        Raises:
            WorkerDied: not even a new process takes it.
        """
        while True:
            with self._lock:
                idle = self._idle.pop() if self._idle else None
            slot = idle or _Slot(self._context, self._settle_in)
            try:
                if idle is None or idle.alive:
                    return slot, slot.submit(self._task, job)
            except BrokenExecutor as error:
                if idle is None:
                    raise WorkerDied("a new process for assemblies died at once") from error
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
        error = WorkerDied("stopped") if inner.cancelled() else inner.exception()
        died = isinstance(error, BrokenProcessPool | WorkerDied)
        with self._lock:
            slot = self._busy.pop(outer)
            keep = not died and not self._stopped and slot.jobs < self._jobs_per_process
            if keep:
                self._idle.append(slot)
        if not keep:
            slot.retire()
        if died:
            outer.set_exception(WorkerDied("the process that assembled the series died"))
        elif error is not None:
            outer.set_exception(error)
        else:
            outer.set_result(inner.result())


class IdleWorker:
    """A process that works while nothing else wants the processors, started when it has to.

    Args:
        memory: bytes that it may have as data (RLIMIT_DATA); None: no limit.
    """

    def __init__(self, memory: int | None = None) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._settle_in = partial(_rest, memory)
        self._slot: _Slot | None = None
        self._last: Future[int] | None = None
        self._watch: WorkerWatch | None = None

    def submit(self, function: Callable[..., int], *args: object) -> Future[int]:
        """Start something; its future fails with `BrokenExecutor` if the process dies."""
        slot = self._slot
        if slot is None or slot.jobs >= JOBS_PER_PROCESS:
            slot = self._renewed()
        try:
            self._last = slot.submit(function, *args)
        except BrokenExecutor:  # it died earlier
            self._last = self._renewed().submit(function, *args)
        return self._last

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._watch is not None:
            self._watch.stop()
        if self._slot is not None:
            self._slot.kill()
            self._slot = None

    def _renewed(self) -> _Slot:
        if self._watch is None:
            self._watch = WorkerWatch("idle worker", self._slots)
            self._watch.start()
        if self._slot is not None:
            self._slot.retire()
        self._slot = _Slot(self._context, self._settle_in)
        return self._slot

    def _slots(self) -> list[tuple[Watched, bool]]:
        slot, last = self._slot, self._last
        return [] if slot is None else [(slot, last is not None and not last.done())]


class _Slot:
    """One process behind an executor of its own."""

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
        """Whether its process has not ended, as far as is known."""
        done = activity(self.pid) if self.pid is not None else None
        return self.pid is None or (done is not None and not done.ended)

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
            log.debug("the worker process was gone already")


def _rest(memory: int | None) -> None:
    """Runs first in the process of an `IdleWorker`."""
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):  # not Linux, or not allowed
        os.nice(LEAST_PRIORITY)
    _settle_in(memory)


def _settle_in(memory: int | None) -> None:
    """Runs first in every worker process."""
    if memory is not None:
        # What one series needs too much fails by name, before the system ends some other process.
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    install_hooks()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C and service managers mean the daemon,
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # which ends its workers itself
    os.nice(5)  # receiving comes first
    gc.freeze()  # what is loaded stays: never looked through again
    prepare_copy()  # before there is another thread
    Finalize(None, close_decoders, exitpriority=0)  # a worker that is renewed leaves no orphan
    background("die with the parent", _die_with_parent)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


Workers = LocalWorkers | DaskWorkers


def make_workers(task: Task, settings: AssemblySettings, memory: int | None = None) -> Workers:
    """The executor that `assembly` names.

    Args:
        memory: bytes that a local process may have as data; None: no limit.

    Raises:
        ConfigError: a cluster is named, and what is needed for one is not installed or readable.
    """
    count = None if settings.workers == "auto" else settings.workers
    if settings.executor == "local":
        return LocalWorkers(task, count, memory=memory)
    address = address_of(settings.executor, settings.tls)
    return DaskWorkers(task, address, count, settings.tls)


def _choose_temporary_folder() -> None:
    """For the fork server's socket. Left alone, Python tries folders out with a file, which would
    stay for ever if the node were killed in that moment."""
    folder = os.environ.get("TMPDIR", "/tmp")  # noqa: S108
    if tempfile.tempdir is None and os.access(folder, os.W_OK | os.X_OK):
        tempfile.tempdir = folder
