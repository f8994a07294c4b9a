"""Jobs on a dask.distributed cluster that shares the node's file system."""

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
from node.lifecycle.cluster.link import Certificates, Link, Seen
from node.lifecycle.cluster.sight import Answer, Raised, Unseen, usable, work

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 2.0
_FETCH_SECONDS: Final = 30.0  # for a result, a few KiB, to come from the worker that has it
_BLIND_SECONDS: Final = 60.0  # so long a worker that does not see the archive gets no job


class ArchiveNotSeen(Retryable):
    """No worker sees the files of a series; the node does."""


class ClusterTrouble(Retryable):
    """The cluster could not do a job, for a reason that is not the series'."""


@dataclass(frozen=True, slots=True)
class _Handed:
    """A job that somebody waits for.

    Attributes:
        client: through which it was handed over; None: not yet.
        inner: the cluster's own future.
        only: the workers that may do it; empty: all.
    """

    job: Job
    wanted: bool = True
    client: Any = None
    inner: Any = None
    only: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Blind:
    path: str
    until: float


class DaskWorkers:
    """Hands jobs to a cluster, as many as its live workers have threads.

    Nothing here waits for the scheduler: what is asked of it is asked in a thread of its own.

    Args:
        task: what a worker does with a job; importable by name there too.
        address: of the scheduler, `tcp://host:port` or `tls://host:port`.
        count: how many jobs run at most; None: as many as the cluster has threads.
        tls: the node's certificate.
        clock: seconds, monotonic.

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
        self._link = Link(address, tls)
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="cluster")
        self._lock = threading.Lock()
        self._seen = Seen(fault=f"the dask scheduler at {address} has not answered yet")
        self._looked: float | None = None  # None: a look is under way, or has not been
        self._handed: dict[Future[Assembled], _Handed] = {}
        self._blind: dict[str, _Blind] = {}
        self._closed = False
        self._aside.submit(self._look)

    @property
    def capacity(self) -> int:
        """How many jobs may run at once, as things are; 0 while there is no cluster."""
        self._look_soon()
        if self._link.client is None:  # lost since the last look: nothing is to be handed over
            return 0
        with self._lock:
            threads = sum(self._seen.workers[one] for one in self._sighted())
        return threads if self._count is None else min(threads, self._count)

    def fault(self) -> str | None:
        """Why nothing can be assembled; None if it can."""
        self._look_soon()
        lost = self._link.client is None
        with self._lock:
            if self._seen.fault is not None:
                return self._seen.fault
            if lost:
                return f"the dask scheduler at {self._link.address} was lost"
            if self._sighted():
                return None
            return _unseen(self._blind, self._link.address)

    def warm_up(self) -> None:
        """The cluster's workers are up already."""

    def submit(self, job: Job) -> Future[Assembled]:
        """Start a job; the caller keeps to `capacity`.

        Returns:
            its future. It fails with `ExecutorAway` if the cluster is lost, `ArchiveNotSeen` if
            no worker sees the files, `WorkerDied` if its workers do, `ClusterTrouble` else.
        """
        outer: Future[Assembled] = Future()
        outer.set_running_or_notify_cancel()
        with self._lock:
            self._handed[outer] = _Handed(job)
        self._hand(outer)
        return outer

    def kill(self, future: Future[Assembled]) -> None:
        """Give a job up; what the cluster already does of it cannot be stopped."""
        with self._lock:
            handed = self._handed.get(future)
        if handed is not None and handed.inner is not None:
            self._apart(partial(handed.inner.cancel))
        self._fail(future, WorkerDied("given up"))

    def close(self) -> None:
        """Leave the cluster."""
        self._closed = True
        with self._lock:
            waiting = list(self._handed)
        for outer in waiting:
            self._fail(outer, ExecutorAway("the node stopped"))
        self._apart(self._link.close)
        self._aside.shutdown(wait=False)

    def _hand(self, outer: Future[Assembled]) -> None:
        """Give a job to the workers that may see its files."""
        with self._lock:
            handed = self._handed.get(outer)
            may = frozenset(self._sighted())
            everybody = len(may) == len(self._seen.workers)
            blind = dict(self._blind)
        client = self._link.client
        if handed is None:
            return
        if client is None or (not may and everybody):
            self._lose(outer, "no connection")
            return
        if not may:
            self._fail(outer, ArchiveNotSeen(_unseen(blind, self._link.address)))
            return
        only = frozenset() if everybody else may
        try:
            inner = client.submit(
                work,
                self._task,
                handed.job,
                handed.wanted,
                pure=False,
                workers=sorted(only) or None,
            )
        except Exception as error:  # noqa: BLE001  a client that is being lost raises many things
            log.debug("handing over: %s", traced(error))
            self._lose(outer, _kind(error))
            return
        with self._lock:
            given_up = outer not in self._handed
            if not given_up:
                self._handed[outer] = replace(handed, client=client, inner=inner, only=only)
        if given_up:
            self._apart(inner.cancel)
        else:
            inner.add_done_callback(partial(self._done, outer))

    def _lose(self, outer: Future[Assembled], why: str) -> None:
        """A job cannot be handed over: nor can any other, before the next look."""
        with self._lock:
            if self._seen.fault is None:
                self._seen = Seen(fault=f"the dask scheduler at {self._link.address} was lost")
        self._fail(outer, ExecutorAway(f"it waits for the dask cluster ({why})"))

    def _done(self, outer: Future[Assembled], inner: Any) -> None:
        """In a thread of Dask's, for one job after the other."""
        with self._lock:
            handed = self._handed.get(outer)
        if handed is None or handed.inner is not inner:
            return  # given up, or handed to others meanwhile
        try:
            self._ended(outer, handed, inner)
        except Exception as error:  # noqa: BLE001  whatever happens, somebody waits for the job
            log.debug("fetching a result: %s", traced(error))
            self._fail(outer, ExecutorAway(f"the result could not be fetched ({_kind(error)})"))

    def _ended(self, outer: Future[Assembled], handed: _Handed, inner: Any) -> None:
        if inner.status == "error":
            error = inner.exception(timeout=_FETCH_SECONDS)
            if isinstance(error, self._link.worker_died):
                self._fail(outer, WorkerDied("the workers that assembled the series died"))
            else:
                log.error("the dask cluster could not do a job: %s", traced(error))
                self._fail(outer, ClusterTrouble(_trouble(error)))
        elif inner.status != "finished":
            self._fail(outer, ExecutorAway("the dask scheduler was lost during the assembly"))
        else:
            worker, answer = inner.result(timeout=_FETCH_SECONDS)
            self._answered(outer, handed, worker, answer)

    def _answered(
        self, outer: Future[Assembled], handed: _Handed, worker: str, answer: Answer
    ) -> None:
        if isinstance(answer, Raised):
            self._fail(outer, answer.error)
        elif isinstance(answer, Assembled):
            with self._lock:
                waited_for = self._handed.pop(outer, None) is not None
            if waited_for:
                outer.set_result(answer)
        elif usable(answer.path):
            self._note_blind(worker, answer)
            self._hand(outer)
        else:  # it is gone for everybody: the assembly says so of the series
            with self._lock:
                self._handed[outer] = replace(handed, wanted=False)
            self._hand(outer)

    def _note_blind(self, worker: str, unseen: Unseen) -> None:
        until = self._clock() + _BLIND_SECONDS
        with self._lock:
            self._blind[worker] = _Blind(unseen.path, until)
        log.error("%s", _unseen({worker: self._blind[worker]}, self._link.address))

    def _fail(self, outer: Future[Assembled], error: Exception) -> None:
        with self._lock:
            waited_for = self._handed.pop(outer, None) is not None
        if waited_for:
            outer.set_exception(error)

    def _sighted(self) -> list[str]:
        """The live workers that are not known to be blind. The caller holds the lock."""
        now = self._clock()
        self._blind = {
            worker: blind
            for worker, blind in self._blind.items()
            if blind.until > now and (worker in self._seen.workers or self._seen.fault)
        }
        return [worker for worker in self._seen.workers if worker not in self._blind]

    def _look_soon(self) -> None:
        with self._lock:
            due = self._looked is not None and self._clock() - self._looked > _LOOK_SECONDS
            if not due or self._closed:
                return
            self._looked = None
        self._apart(self._look)

    def _look(self) -> None:
        try:
            looked = self._link.look()
            with self._lock:
                before, seen = self._seen, looked or self._seen
                self._seen = seen
                handed = list(self._handed.items())
            _tell(before, seen, self._link.address)
            self._rescue(handed, seen)
        except Exception as error:  # noqa: BLE001  the next look is another one
            log.error("looking at the dask cluster: %s", traced(error))
        finally:
            with self._lock:
                self._looked = self._clock()

    def _rescue(self, handed: list[tuple[Future[Assembled], _Handed]], seen: Seen) -> None:
        """Jobs that will never end as they are: their client, or all of their workers, are gone."""
        client = self._link.client
        for outer, one in handed:
            if one.inner is None:
                continue
            if client is None or one.client is not client:
                self._fail(outer, ExecutorAway("the dask scheduler was lost during the assembly"))
            elif one.only and seen.fault is None and not one.only & set(seen.workers):
                self._fail(outer, ExecutorAway("the worker that assembled the series has left"))
                with suppress(Exception):
                    one.inner.cancel()

    def _apart(self, what: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # closed
            self._aside.submit(what)


def _tell(before: Seen, now: Seen, address: str) -> None:
    if now.fault is not None:
        if now.fault != before.fault:
            log.error("%s", now.fault)
    elif before.fault is not None or set(before.workers) != set(now.workers):
        count = len(now.workers)
        log.info(
            "the dask cluster at %s has %d worker%s", address, count, "" if count == 1 else "s"
        )


def _unseen(blind: dict[str, _Blind], address: str) -> str:
    if not blind:
        return f"the dask cluster at {address} has no workers"
    worker, one = next(iter(blind.items()))
    others = f" (and {len(blind) - 1} more)" if len(blind) > 1 else ""
    return (
        f"archive-not-seen: worker {worker}{others} does not see the archive at {one.path}; mount "
        "storage.root there under the same path"
    )


def _trouble(error: BaseException) -> str:
    return (
        f"the dask cluster could not do the job ({_kind(error)}): have its workers the same "
        "versions of rasnode, Python and distributed as the node?"
    )


def _kind(error: BaseException) -> str:
    return type(error).__name__
