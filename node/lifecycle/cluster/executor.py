"""Runs jobs on a dask.distributed cluster that shares the node's file system."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import Any, Final

from node.core.errors import Retryable, traced
from node.lifecycle.assembly.jobs import Assembled, ExecutorAway, Job, WorkerDied
from node.lifecycle.cluster.connection import Certificates, ClusterConnection, ClusterState
from node.lifecycle.cluster.worker_side import Answer, FileNotVisible, TaskError, run_job, usable

log = logging.getLogger(__name__)

_QUERY_SECONDS: Final = 2.0  # between two queries of the scheduler
_FETCH_SECONDS: Final = 30.0  # for a result of a few KiB to be fetched from its worker
_EXCLUDED_SECONDS: Final = 60.0  # for which a worker that does not see the archive gets no job


class ArchiveNotSeen(Retryable):
    """No worker sees the files of a series, although the node does."""


class ClusterTrouble(Retryable):
    """The cluster could not run a job, for a reason that does not lie in the series."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """A job whose result is waited for.

    Attributes:
        job: the job.
        check_files: whether the worker checks first that it sees all files.
        client: to which it was submitted; None: not yet.
        inner: Dask's future.
        only: the workers that may run it; empty: all.
    """

    job: Job
    check_files: bool = True
    client: Any = None
    inner: Any = None
    only: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Excluded:
    """A worker that gets no job for a time, because it does not see a file or folder."""

    path: str
    until: float


class DaskWorkers:
    """Runs jobs on a cluster, as many at once as its live workers have threads.

    No caller waits for the scheduler: a thread of its own queries it.

    Args:
        task: what a worker does with a job; importable by name on the workers, too.
        address: of the scheduler, `tcp://host:port` or `tls://host:port`.
        count: how many jobs may run at once; None: as many as the cluster has threads.
        tls: the node's certificate; None: without TLS.
        clock: returns seconds of a monotonic clock.

    Raises:
        ConfigError: distributed is not installed, or the certificates cannot be used.
    """

    def __init__(
        self,
        task: Callable[[Job], Assembled],
        address: str,
        count: int | None = None,
        tls: Certificates | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._task = task
        self._count = count
        self._clock = clock
        self._connection = ClusterConnection(address, tls)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cluster")
        self._lock = threading.Lock()
        self._state = ClusterState(fault=f"the dask scheduler at {address} has not answered yet")
        self._queried: float | None = None  # None: a query is running, or there was none
        self._pending: dict[Future[Assembled], _Pending] = {}
        self._excluded: dict[str, _Excluded] = {}
        self._closed = False
        self._thread.submit(self._query)

    @property
    def capacity(self) -> int:
        """How many jobs may run at once; 0 while the cluster is unavailable."""
        self._query_if_due()
        if self._connection.client is None:  # lost since the last query
            return 0
        with self._lock:
            threads = sum(self._state.workers[one] for one in self._usable_workers())
        return threads if self._count is None else min(threads, self._count)

    def fault(self) -> str | None:
        """Why no series can be assembled; None if one can."""
        self._query_if_due()
        lost = self._connection.client is None
        with self._lock:
            if self._state.fault is not None:
                return self._state.fault
            if lost:
                return f"the dask scheduler at {self._connection.address} is disconnected"
            if self._usable_workers():
                return None
            return _archive_not_seen(self._excluded, self._connection.address)

    def warm_up(self) -> None:
        """Do nothing: the cluster's workers run already."""

    def submit(self, job: Job) -> Future[Assembled]:
        """Start a job; the caller keeps to `capacity`.

        Returns:
            its future. It fails with `ExecutorAway` if the cluster is lost, `ArchiveNotSeen` if
            no worker sees the files, `WorkerDied` if its workers died, `ClusterTrouble` if the
            cluster could not run it, else with the error of the task.
        """
        outer: Future[Assembled] = Future()
        outer.set_running_or_notify_cancel()
        with self._lock:
            self._pending[outer] = _Pending(job)
        self._submit(outer)
        return outer

    def kill(self, future: Future[Assembled]) -> None:
        """Give a job up; a worker that runs it already cannot be stopped."""
        with self._lock:
            pending = self._pending.get(future)
        if pending is not None and pending.inner is not None:
            self._run_aside(partial(pending.inner.cancel))
        self._fail(future, WorkerDied("the node gave the job up"))

    def close(self) -> None:
        """Give all jobs up and disconnect."""
        self._closed = True
        with self._lock:
            waiting = list(self._pending)
        for outer in waiting:
            self._fail(outer, ExecutorAway("the node stopped"))
        self._run_aside(self._connection.close)
        self._thread.shutdown(wait=False)

    def _submit(self, outer: Future[Assembled]) -> None:
        """Submit a job to the workers that may see its files."""
        with self._lock:
            pending = self._pending.get(outer)
            usable_workers = frozenset(self._usable_workers())
            all_usable = len(usable_workers) == len(self._state.workers)
            excluded = dict(self._excluded)
        client = self._connection.client
        if pending is None:
            return
        if client is None or (not usable_workers and all_usable):
            self._lose(outer, "no connection")
            return
        if not usable_workers:
            self._fail(outer, ArchiveNotSeen(_archive_not_seen(excluded, self._connection.address)))
            return
        only = frozenset() if all_usable else usable_workers
        try:
            inner = client.submit(
                run_job,
                self._task,
                pending.job,
                pending.check_files,
                pure=False,
                workers=sorted(only) or None,
            )
        except Exception as error:  # noqa: BLE001  Dask raises many kinds of error
            log.debug("cannot submit a job: %s", traced(error))
            self._lose(outer, _kind(error))
            return
        with self._lock:
            given_up = outer not in self._pending
            if not given_up:
                self._pending[outer] = replace(pending, client=client, inner=inner, only=only)
        if given_up:
            self._run_aside(inner.cancel)
        else:
            inner.add_done_callback(partial(self._done, outer))

    def _lose(self, outer: Future[Assembled], why: str) -> None:
        """Fail a job that cannot be submitted; no other can be before the next query."""
        with self._lock:
            if self._state.fault is None:
                self._state = ClusterState(
                    fault=f"the dask scheduler at {self._connection.address} is disconnected"
                )
        self._fail(
            outer, ExecutorAway(f"it waits for the dask cluster, which is unavailable ({why})")
        )

    def _done(self, outer: Future[Assembled], inner: Any) -> None:
        """Deal with a job that has ended, in Dask's thread, one after the other."""
        with self._lock:
            pending = self._pending.get(outer)
        if pending is None or pending.inner is not inner:
            return  # given up, or submitted again meanwhile
        try:
            self._ended(outer, pending, inner)
        except Exception as error:  # noqa: BLE001  the job must end whatever happens
            log.debug("cannot fetch a result: %s", traced(error))
            self._fail(
                outer,
                ExecutorAway(
                    f"the result could not be fetched from the dask worker ({_kind(error)})"
                ),
            )

    def _ended(self, outer: Future[Assembled], pending: _Pending, inner: Any) -> None:
        if inner.status == "error":
            error = inner.exception(timeout=_FETCH_SECONDS)
            if isinstance(error, self._connection.worker_died):
                self._fail(outer, WorkerDied("the dask workers that assembled the series died"))
            else:
                log.error(
                    "the dask cluster could not run the job of series %s: %s",
                    pending.job.series_uid,
                    traced(error),
                    extra={"series": pending.job.series_uid, "study": pending.job.study_uid},
                )
                self._fail(outer, ClusterTrouble(_trouble(error)))
        elif inner.status != "finished":
            self._fail(
                outer,
                ExecutorAway("the connection to the dask scheduler was lost during the assembly"),
            )
        else:
            worker, answer = inner.result(timeout=_FETCH_SECONDS)
            self._answered(outer, pending, worker, answer)

    def _answered(
        self, outer: Future[Assembled], pending: _Pending, worker: str, answer: Answer
    ) -> None:
        if isinstance(answer, TaskError):
            self._fail(outer, answer.error)
        elif isinstance(answer, Assembled):
            with self._lock:
                waited_for = self._pending.pop(outer, None) is not None
            if waited_for:
                outer.set_result(answer)
        elif usable(answer.path):
            self._note_without_archive(worker, answer)
            self._submit(outer)
        else:  # the node does not see it either: the assembly names it
            with self._lock:
                self._pending[outer] = replace(pending, check_files=False)
            self._submit(outer)

    def _note_without_archive(self, worker: str, answer: FileNotVisible) -> None:
        until = self._clock() + _EXCLUDED_SECONDS
        with self._lock:
            self._excluded[worker] = _Excluded(answer.path, until)
        log.error(
            "%s", _archive_not_seen({worker: self._excluded[worker]}, self._connection.address)
        )

    def _fail(self, outer: Future[Assembled], error: Exception) -> None:
        with self._lock:
            waited_for = self._pending.pop(outer, None) is not None
        if waited_for:
            outer.set_exception(error)

    def _usable_workers(self) -> list[str]:
        """The live workers that see the archive, as far as is known. The caller holds the lock."""
        now = self._clock()
        self._excluded = {
            worker: excluded
            for worker, excluded in self._excluded.items()
            if excluded.until > now and (worker in self._state.workers or self._state.fault)
        }
        return [worker for worker in self._state.workers if worker not in self._excluded]

    def _query_if_due(self) -> None:
        with self._lock:
            due = self._queried is not None and self._clock() - self._queried > _QUERY_SECONDS
            if not due or self._closed:
                return
            self._queried = None
        self._run_aside(self._query)

    def _query(self) -> None:
        try:
            state = self._connection.query()
            with self._lock:
                before, now = self._state, state or self._state
                self._state = now
                pending = list(self._pending.items())
            _log_change(before, now, self._connection.address)
            self._fail_lost(pending, now)
        except Exception as error:  # noqa: BLE001  the next query may succeed
            log.error(
                "the node met an unexpected error while it queried the dask cluster; "
                "please report it: %s",
                traced(error),
            )
        finally:
            with self._lock:
                self._queried = self._clock()

    def _fail_lost(
        self, pending: list[tuple[Future[Assembled], _Pending]], state: ClusterState
    ) -> None:
        """Fail jobs that cannot end any more: their client or all of their workers are gone."""
        client = self._connection.client
        for outer, one in pending:
            if one.inner is None:
                continue
            if client is None or one.client is not client:
                self._fail(
                    outer,
                    ExecutorAway(
                        "the connection to the dask scheduler was lost during the assembly"
                    ),
                )
            elif one.only and state.fault is None and not one.only & set(state.workers):
                self._fail(
                    outer,
                    ExecutorAway("the dask worker that assembled the series has left the cluster"),
                )
                with suppress(Exception):
                    one.inner.cancel()

    def _run_aside(self, what: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # closed already
            self._thread.submit(what)


def _log_change(before: ClusterState, now: ClusterState, address: str) -> None:
    if now.fault is not None:
        if now.fault != before.fault:
            log.error("%s", now.fault)
    elif before.fault is not None or set(before.workers) != set(now.workers):
        count = len(now.workers)
        log.info(
            "the dask cluster at %s has %d worker%s", address, count, "" if count == 1 else "s"
        )


def _archive_not_seen(excluded: dict[str, _Excluded], address: str) -> str:
    if not excluded:
        return f"the dask cluster at {address} has no workers"
    worker, one = next(iter(excluded.items()))
    others = f" (and {len(excluded) - 1} more)" if len(excluded) > 1 else ""
    return (
        f"archive-not-seen: worker {worker}{others} does not see the archive at {one.path}; mount "
        "storage.root there under the same path"
    )


def _trouble(error: BaseException) -> str:
    return (
        f"the dask cluster could not run the job ({_kind(error)}); check that its workers have the "
        "node's versions of rasnode, Python and distributed"
    )


def _kind(error: BaseException) -> str:
    return type(error).__name__
