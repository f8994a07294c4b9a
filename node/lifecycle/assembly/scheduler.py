"""Takes settled series through assembly, each by one job of one node."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from node.completion.states import Event, follow
from node.convert import OutputOptions
from node.core import metrics
from node.core.errors import Retryable
from node.core.fault_points import fault_point
from node.core.records import SeriesRecord, StoredInstance, Verdict
from node.lifecycle.assembly.contradictory_series import contradiction
from node.lifecycle.assembly.failures import AssemblyFailures
from node.lifecycle.assembly.jobs import Assembled, Job
from node.lifecycle.assembly.label_references import RECHECK_SECONDS, LabelReferences, waits_for
from node.lifecycle.assembly.outcomes import ACTOR
from node.lifecycle.assembly.output_folder import OutputFolder
from node.lifecycle.assembly.output_name_claims import OutputNameClaims
from node.lifecycle.assembly.precompression import Precompression
from node.lifecycle.assembly.revision_publisher import RevisionPublisher
from node.lifecycle.expectations import Expectation
from node.lifecycle.log_fields import series_fields
from node.storage.index.series.namesakes import Namesakes
from node.storage.index.series.work import Work

log = logging.getLogger(__name__)

LEASE_SECONDS = 60.0  # an owner that does not renew its claim for so long counts as dead
ANOTHER_NAME_SECONDS = 0.5  # until a series is made again whose name follows from others
LONGEST_JOB_SECONDS = 3600.0  # then its process hangs, and is ended


class Executor(Protocol):
    """Where jobs run: see `node.lifecycle.workers.local` and `node.lifecycle.cluster`."""

    @property
    def capacity(self) -> int:
        """How many jobs may run at once."""
        ...

    def warm_up(self) -> None:
        """Get ready before the first job; this may take long."""
        ...

    def submit(self, job: Job) -> Future[Assembled]:
        """Start a job."""
        ...

    def kill(self, future: Future[Assembled]) -> None:
        """End a job."""
        ...

    def close(self) -> None:
        """End all jobs and release everything."""
        ...


@dataclass(frozen=True, slots=True)
class _Running:
    series: SeriesRecord
    job: Job
    folder: str
    since: float  # seconds, monotonic
    future: Future[Assembled]


class AssemblyScheduler:
    """Starts the assemblies of this node and collects their results.

    Args:
        work: the series in the index.
        output_folder: where files are staged and published.
        output_names: assigns output names.
        revision_publisher: publishes results.
        failures: deals with failed assemblies.
        label_references: finds the series that labels refer to.
        namesakes: finds the series that have the same UID.
        executor: runs the jobs.
        precompression: has the slices that were compressed in advance.
        archive: the folder that instances' paths are relative to.
        options: which files are made.
        owner: identifies this run of the node.
        wake: called from another thread when a job has ended.
        monotonic: returns seconds of a monotonic clock.
        expected: returns the protocols that the volumes of a series are compared with.
    """

    def __init__(
        self,
        work: Work,
        output_folder: OutputFolder,
        output_names: OutputNameClaims,
        revision_publisher: RevisionPublisher,
        failures: AssemblyFailures,
        label_references: LabelReferences,
        namesakes: Namesakes,
        executor: Executor,
        precompression: Precompression,
        *,
        archive: Path,
        options: OutputOptions,
        owner: str,
        wake: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
        expected: Callable[[SeriesRecord], tuple[Expectation, ...]] = lambda _series: (),
    ) -> None:
        self._expected = expected
        self._work = work
        self._output_folder = output_folder
        self._output_names = output_names
        self._revision_publisher = revision_publisher
        self._failures = failures
        self._label_references = label_references
        self._namesakes = namesakes
        self._executor = executor
        self._precompression = precompression
        self._archive = archive
        self._options = options
        self._owner = owner
        self._wake = wake
        self._monotonic = monotonic
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
        """Prepare the output folder."""
        self._output_folder.prepare()
        self._output_names.prepare()

    def warm_up(self) -> None:
        """Get the executor ready before the first series needs it; this may take long."""
        self._executor.warm_up()

    def is_contradictory(self, series: SeriesRecord) -> bool:
        """Whether a series cannot be a volume because of other series with its UID.

        Then no missing instance is waited for.
        """
        return contradiction(series, self._namesakes.parts(series)) is not None

    def recover(self, series: SeriesRecord, now: float) -> None:
        """Queue a series again that is in assembly but not by this node.

        Args:
            series: the series.
            now: seconds since 1970.
        """
        if series.pk not in self._running:
            self._failures.abandoned(series, now)

    def start(self, series: SeriesRecord, now: float) -> None:
        """Hand a settled series to the executor.

        Args:
            series: the series.
            now: seconds since 1970.

        Raises:
            Retryable: the index cannot be written to now.
        """
        try:
            self._start(series, now)
        except Retryable:
            raise
        except Exception as error:  # noqa: BLE001  it costs this series, not the others
            self._failures.unexpected(series, error, now)

    def _start(self, series: SeriesRecord, now: float) -> None:
        if series.pk in self._running:
            # It settled again while fewer of its instances are assembled: that result is useless.
            self._executor.kill(self._running[series.pk].future)
            return
        instances = self._work.instances(series.pk)
        needed = self._label_references.needed(series, instances)
        unready = self._label_references.unready(needed)
        if unready is not None:
            waiting = {**(series.verdict or {}), "waits": waits_for(unready)}
            self._work.look_again(series, now + RECHECK_SECONDS, waiting)
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
            self._failures.delay(taken, now, str(error))
            return
        except Exception as error:  # noqa: BLE001  it costs this series, not the others
            self._failures.unexpected(taken, error, now)
            return
        self._running[taken.pk] = _Running(taken, job, folder, self._monotonic(), future)
        future.add_done_callback(lambda _: self._wake())

    def collect(self, now: float) -> None:
        """Publish the results of jobs that have ended, and renew the claims on the others.

        Args:
            now: seconds since 1970.

        Raises:
            Retryable: the index cannot be written to now.
        """
        for running in [item for item in self._running.values() if item.future.done()]:
            try:
                self._end(running, now)
            except Retryable:
                raise  # the index is unavailable: the result is published later
            except Exception as error:  # noqa: BLE001  it costs this series, not the others
                del self._running[running.series.pk]  # first, in case that fails, too
                self._failures.unexpected(running.series, error, now)
            else:
                del self._running[running.series.pk]
        for running in self._running.values():
            if self._monotonic() - running.since > LONGEST_JOB_SECONDS:
                log.error(
                    "the assembly of series %s hangs: it has taken more than %g s; the node ends "
                    "its process and tries again",
                    running.series.address,
                    LONGEST_JOB_SECONDS,
                    extra=series_fields(running.series),
                )
                self._executor.kill(running.future)
        if abs(now - self._renewed) > LEASE_SECONDS / 3:
            self._renewed = now
            for running in self._running.values():
                self._work.renew(running.series, now + LEASE_SECONDS)

    def stop(self, now: float) -> None:
        """Queue the series in assembly again, and end the executor."""
        for running in self._running.values():
            self._failures.requeue(running.series, now, None, "the node stopped")
        self._executor.close()
        self._precompression.close()
        for running in self._running.values():
            self._output_folder.discard(running.job.staging)
        self._running.clear()

    def _job(
        self, series: SeriesRecord, instances: Sequence[StoredInstance], needed: Sequence[str]
    ) -> tuple[Job, str]:
        naming = self._output_names.naming(series)
        folder, stem = self._output_names.claim(series) if naming is None else ("", "")
        verdict = series.verdict or {"verdict": str(Verdict.UNKNOWN), "reasons": []}
        job = Job(
            series_uid=series.uid,
            study_uid=series.study_uid,
            instances=tuple(instances),
            archive=self._archive,
            staging=self._output_folder.staging(uuid.uuid4().hex),
            stem=stem,
            revision=self._revision_publisher.next_revision(series),
            verdict={key: verdict[key] for key in verdict if key != "waits"},
            options=self._options,
            references=self._label_references.instances(needed),
            reference_states=self._label_references.states(needed),
            slice_cache=self._precompression.file(series.pk),
            contradiction=contradiction(series, self._namesakes.parts(series)),
            folder=folder,
            published=self._revision_publisher.published(series),
            naming=naming,
            expectations=self._expected(series),
        )
        return job, folder

    def _end(self, running: _Running, now: float) -> None:
        fault_point("assembly-ended")
        series, future = running.series, running.future
        error = None if future.cancelled() else future.exception()
        try:
            if future.cancelled():
                self._failures.requeue(series, now, None, "cancelled")
            elif error is not None:
                self._failures.failed(series, error, now)
            elif self._references_have_changed(running.job):
                self._failures.requeue(series, now, None, "the series that it labels has changed")
            elif self._revision_publisher.conclude(
                series, running.job, running.folder, future.result(), now
            ):
                metrics.assembled(
                    self._revision_publisher.state_of(future.result()),
                    self._monotonic() - running.since,
                )
                for product in future.result().products:
                    metrics.measured(product.quality, [one["parameter"] for one in product.drift])
            else:
                # If instances arrived meanwhile, this does nothing.
                due = None if running.job.naming is None else now + ANOTHER_NAME_SECONDS
                self._failures.requeue(series, now, due, "has to be made again under another name")
        except Retryable as later:
            self._failures.delay(series, now, str(later))
        finally:
            self._output_folder.discard(running.job.staging)
            self._precompression.discard(series.pk)

    def _references_have_changed(self, job: Job) -> bool:
        addresses = [address for address, _ in job.reference_states]
        return self._label_references.states(addresses) != job.reference_states
