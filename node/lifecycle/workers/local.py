"""Executors of assemblies: local worker processes, or a cluster (`node.lifecycle.cluster`).

Each job has a process of its own, so that the death of a process costs one series.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from concurrent.futures.process import BrokenProcessPool
from functools import partial

from node.core.settings.model import AssemblySettings
from node.core.system.machine import available_processors
from node.lifecycle.assembly.jobs import Assembled, Job, WorkerDied
from node.lifecycle.cluster import DaskWorkers, address_of
from node.lifecycle.workers.process_slot import JOBS_PER_PROCESS, ProcessSlot, prepare_process
from node.lifecycle.workers.watch import Watched, WorkerWatch

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
        self._prepare = partial(prepare_process, memory)
        self._lock = threading.Lock()
        self._watch = WorkerWatch("assembly workers", self._slots)
        self._idle: list[ProcessSlot] = []
        self._busy: dict[Future[Assembled], ProcessSlot] = {}
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
        slot = ProcessSlot(self._context, self._prepare)  # not under the lock: it may take long
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

    def _start(self, job: Job) -> tuple[ProcessSlot, Future[Assembled]]:
        """Start a job in an idle or a new process; an idle process that has died is replaced.

        Raises:
            WorkerDied: a new process died at once.
        """
        while True:
            with self._lock:
                idle = self._idle.pop() if self._idle else None
            slot = idle or ProcessSlot(self._context, self._prepare)
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
