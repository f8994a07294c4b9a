"""Takes settled series through assembly, one owner and one job a series."""

from __future__ import annotations

import errno
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from node.completion.policy import Event, follow
from node.convert import OutputOptions
from node.core import metrics
from node.core.errors import NodeError, Retryable, error_reference, traced
from node.core.fault_points import fault_point
from node.core.records import SeriesRecord, SeriesState, StoredInstance, Verdict
from node.deliver.publish import Publisher
from node.lifecycle.assembly.contradictory_series import contradiction
from node.lifecycle.assembly.jobs import Assembled, ExecutorAway, Job, WorkerDied
from node.lifecycle.assembly.label_references import LOOK_AGAIN_SECONDS, LabelReferences, waits_for
from node.lifecycle.assembly.names import Names
from node.lifecycle.assembly.outcome import ACTOR, Outcomes
from node.lifecycle.assembly.precompression import Precompression
from node.storage.index.series.namesakes import Namesakes
from node.storage.index.series.work import Work

log = logging.getLogger(__name__)

LEASE_SECONDS = 60.0  # an owner that does not renew its claim for so long is taken for dead
LONGEST_JOB_SECONDS = 3600.0  # then its process is ended: it hangs
MOST_WORKER_DEATHS = 2  # of one series in a row; then the series is to blame
MOST_SURPRISES = 3  # errors that nobody foresaw, of one series in a row; then it is failed
MOST_OWNER_DEATHS = 10  # likewise, for the whole node
FIRST_DELAY_SECONDS = 15.0  # before what may succeed later is tried again; doubled each time,
LONGEST_DELAY_SECONDS = 600.0  # up to this
_LATER = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE)


class Executor(Protocol):
    """Where jobs run: see `node.lifecycle.workers.local`."""

    @property
    def capacity(self) -> int:
        """How many jobs may run at once."""
        ...

    def warm_up(self) -> None:
        """Get ready before the first job comes."""
        ...

    def submit(self, job: Job) -> Future[Assembled]:
        """Start a job."""
        ...

    def kill(self, future: Future[Assembled]) -> None:
        """End a job."""
        ...

    def close(self) -> None:
        """End all jobs and let go of everything."""
        ...


@dataclass(frozen=True, slots=True)
class _Running:
    series: SeriesRecord
    job: Job
    folder: str
    since: float  # seconds, monotonic: the system's clock may be set meanwhile
    future: Future[Assembled]


class AssemblyScheduler:
    """Owner of the assemblies that this process runs.

    Args:
        archive: the folder that instances' paths are relative to.
        options: which files are made.
        owner: this run of the node, unlike any other.
        wake: called from another thread when a job has ended.
        steady: seconds, monotonic.
    """

    def __init__(
        self,
        work: Work,
        publisher: Publisher,
        names: Names,
        outcomes: Outcomes,
        grounds: LabelReferences,
        namesakes: Namesakes,
        executor: Executor,
        head_start: Precompression,
        *,
        archive: Path,
        options: OutputOptions,
        owner: str,
        wake: Callable[[], None],
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._publisher = publisher
        self._names = names
        self._outcomes = outcomes
        self._grounds = grounds
        self._namesakes = namesakes
        self._executor = executor
        self._head_start = head_start
        self._archive = archive
        self._options = options
        self._owner = owner
        self._wake = wake
        self._steady = steady
        self._running: dict[int, _Running] = {}
        self._renewed = 0.0

    @property
    def free(self) -> int:
        """How many more jobs can be started."""
        return max(0, self._executor.capacity - len(self._running))

    @property
    def running(self) -> int:
        """How many jobs run."""
        return len(self._running)

    def prepare(self) -> None:
        """Make the output folder ready."""
        self._publisher.prepare()
        self._names.prepare()

    def warm_up(self) -> None:
        """Get the executor ready before the first series needs it; this takes a while."""
        self._executor.warm_up()

    def begin_early(self, series: SeriesRecord, now: float) -> None:
        """Do of a series that is still arriving what can be done already."""
        self._head_start.give(series, now)

    def expects_more(self, now: float) -> bool:
        """Tell whether more of that can be done soon."""
        return self._head_start.look_round(now)

    def forget(self, series_pk: int) -> None:
        """Throw away what was done early of a series that is not assembled."""
        self._head_start.take_back(series_pk)

    def is_torn(self, series: SeriesRecord) -> bool:
        """Whether it cannot be a volume, as more came under its UID for another study or patient:
        then nothing is missing that will come."""
        return contradiction(series, self._namesakes.parts(series)) is not None

    def take_back(self, series: SeriesRecord, now: float) -> None:
        """Put a series whose owner is dead back into the queue."""
        if series.pk in self._running:
            return
        deaths = 1 + self._count(series.pk, "owner died")
        if deaths > MOST_OWNER_DEATHS:
            sentence = f"the node died {deaths} times in a row while it assembled the series"
            self._outcomes.fail(series, "node-died", sentence, now)
        else:
            log.warning("series %s was left unassembled by a dead owner", series.uid)
            self._requeue(series, now, None, "owner died")

    def start(self, series: SeriesRecord, now: float) -> None:
        """Hand a settled series to the executor."""
        try:
            self._start(series, now)
        except Retryable:
            raise
        except Exception as error:  # noqa: BLE001  it costs this series, not the others
            self._surprised(series, error, now)

    def _start(self, series: SeriesRecord, now: float) -> None:
        if series.pk in self._running:
            # It settled again while an assembly of less of it runs: that one is of no use.
            self._executor.kill(self._running[series.pk].future)
            return
        instances = self._work.instances(series.pk)
        needed = self._grounds.needed(series, instances)
        unready = self._grounds.unready(needed)
        if unready is not None:
            waiting = {**(series.verdict or {}), "waits": waits_for(unready)}
            self._work.look_again(series, now + LOOK_AGAIN_SECONDS, waiting)
            return
        taken = self._work.move(
            series,
            follow(series.state, Event.START),
            now=now,
            actor=ACTOR,
            owner=self._owner,
            due=now + LEASE_SECONDS,
        )
        if taken is None:
            return
        fault_point("assembly-started")
        try:
            job, folder = self._job(taken, instances, needed)
            future = self._executor.submit(job)
        except Retryable as error:
            self._delay(taken, now, str(error))
            return
        except Exception as error:  # noqa: BLE001  it costs this series, not the others
            self._surprised(taken, error, now)
            return
        self._running[taken.pk] = _Running(taken, job, folder, self._steady(), future)
        future.add_done_callback(lambda _: self._wake())

    def collect(self, now: float) -> None:
        """Publish what is done, and keep the claims on what is not."""
        for running in [item for item in self._running.values() if item.future.done()]:
            try:
                self._end(running, now)
            except Retryable:
                raise  # the index is away: it is tried again
            except Exception as error:  # noqa: BLE001  it costs this series, not the others
                del self._running[running.series.pk]  # first, should even that go wrong
                self._surprised(running.series, error, now)
            else:
                del self._running[running.series.pk]
        for running in self._running.values():
            if self._steady() - running.since > LONGEST_JOB_SECONDS:
                log.error(
                    "the assembly of series %s hangs; its process is ended", running.series.uid
                )
                self._executor.kill(running.future)
        if abs(now - self._renewed) > LEASE_SECONDS / 3:
            self._renewed = now
            for running in self._running.values():
                self._work.renew(running.series, now + LEASE_SECONDS)

    def stop(self, now: float) -> None:
        """Put what still runs back into the queue, and end the executor."""
        for running in self._running.values():
            self._requeue(running.series, now, None, "the node stopped")
        self._executor.close()
        self._head_start.close()
        for running in self._running.values():
            self._publisher.discard(running.job.staging)
        self._running.clear()

    def _job(
        self, series: SeriesRecord, instances: Sequence[StoredInstance], needed: Sequence[str]
    ) -> tuple[Job, str]:
        folder, stem = self._names.claim(series)
        verdict = series.verdict or {"verdict": str(Verdict.UNKNOWN), "reasons": []}
        job = Job(
            series_uid=series.uid,
            study_uid=series.study_uid,
            instances=tuple(instances),
            archive=self._archive,
            staging=self._publisher.staging(uuid.uuid4().hex),
            stem=stem,
            revision=self._outcomes.next_revision(series),
            verdict={key: verdict[key] for key in verdict if key != "waits"},
            options=self._options,
            references=self._grounds.instances(needed),
            grounds=self._grounds.snapshot(needed),
            stock=self._head_start.of(series.pk),
            contradiction=contradiction(series, self._namesakes.parts(series)),
            folder=folder,
            before=self._outcomes.before(series),
        )
        return job, folder

    def _end(self, running: _Running, now: float) -> None:
        fault_point("assembly-ended")
        series, future = running.series, running.future
        error = None if future.cancelled() else future.exception()
        try:
            if future.cancelled():
                self._requeue(series, now, None, "cancelled")
            elif error is not None:
                self._failed(series, error, now)
            elif self._grounds.snapshot([uid for uid, _ in running.job.grounds]) != (
                running.job.grounds
            ):
                self._requeue(series, now, None, "the series that it labels has changed")
            elif self._outcomes.end(series, running.job, running.folder, future.result(), now):
                metrics.assembled(
                    self._outcomes.state_of(future.result()), self._steady() - running.since
                )
            else:
                # Nothing happens to it if instances came meanwhile.
                self._requeue(series, now, None, "has to be made again under another name")
        except Retryable as later:
            self._delay(series, now, str(later))
        finally:
            self._publisher.discard(running.job.staging)
            self._head_start.take_back(series.pk)

    def _failed(self, series: SeriesRecord, error: BaseException, now: float) -> None:
        if isinstance(error, WorkerDied):
            deaths = 1 + self._count(series.pk, "worker died")
            if deaths < MOST_WORKER_DEATHS:
                self._requeue(series, now, now + deaths, "worker died")
            else:
                sentence = f"its process died {deaths} times in a row: out of memory, or a crash"
                self._outcomes.fail(series, "worker-died", sentence, now)
        elif isinstance(error, ExecutorAway):
            log.warning("series %s: %s", series.uid, error)
            self._requeue(series, now, None, "executor away", str(error))
        elif isinstance(error, Retryable) or (isinstance(error, OSError) and error.errno in _LATER):
            self._delay(series, now, str(error))
        elif isinstance(error, NodeError):
            self._outcomes.fail(series, type(error).__name__, str(error), now)
        elif isinstance(error, MemoryError):
            sentence = (
                "its volumes need more memory than one worker may have; give workers more "
                "(assembly.worker_memory) and retry the series"
            )
            self._outcomes.fail(series, "out-of-memory", sentence, now)
        else:
            log.error("assembly of %s: %s", series.uid, traced(error))
            sentence = "an error that nobody foresaw; its place is in the log: please report it"
            self._outcomes.fail(series, type(error).__name__, sentence, now)

    def _surprised(self, series: SeriesRecord, error: Exception, now: float) -> None:
        """An error that nobody foresaw, of the node rather than of the assembly, costs the series
        an attempt, and after some in a row the series."""
        place = error_reference(error)
        log.error(
            "the assembly of series %s met an error that nobody foresaw (reference %s): %s",
            series.uid,
            place,
            traced(error),
        )
        current = next(iter(self._work.of([series.pk])), None)
        if current is None or current.change != series.change:
            return  # something else has happened to it, or it was not taken
        if current.state is not SeriesState.ASSEMBLING:
            self._work.look_again(current, now + FIRST_DELAY_SECONDS)
        elif self._count(series.pk, "error") + 1 < MOST_SURPRISES:
            self._requeue(current, now, now + 1.0, "error", f"reference {place} in the log")
        else:
            sentence = (
                f"an error that nobody foresaw, reference {place} in the log: please report it"
            )
            self._outcomes.fail(current, type(error).__name__, sentence, now)

    def _delay(self, series: SeriesRecord, now: float, why: str) -> None:
        """Try again later, however often: the disk, say, is full."""
        times = self._count(series.pk, "delayed")
        delay = min(FIRST_DELAY_SECONDS * 2.0 ** min(times, 16), LONGEST_DELAY_SECONDS)
        log.warning("series %s: %s; trying again in %g s", series.uid, why, delay)
        self._requeue(series, now, now + delay, "delayed", why)

    def _requeue(
        self, series: SeriesRecord, now: float, due: float | None, cause: str, why: str = ""
    ) -> None:
        detail = {"cause": cause, "why": why} if why else {"cause": cause}
        state = follow(series.state, Event.REQUEUE)
        values: dict[str, Any] = {}
        if why:  # people see it as long as the series waits
            values["verdict"] = {**(series.verdict or {}), "waits": why}
        self._work.move(
            series, state, now=now, actor=ACTOR, detail=detail, due=due, owner="", **values
        )

    def _count(self, series_pk: int, cause: str) -> int:
        """How many times in a row the series went back to the queue for a cause."""
        count = 0
        for event in reversed(self._work.history(series_pk)):
            if event["to_state"] == SeriesState.ASSEMBLING:
                continue
            if event["detail"].get("cause") != cause:
                break
            count += 1
        return count
