"""Worker processes: what they return, how they die, when they are renewed."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType

import pytest

from node.convert import OutputOptions
from node.errors import ConfigError, Reason
from node.production.jobs import Assembled, Job, Refusal, WorkerDied
from node.workers import DaskWorkers, LocalWorkers, make_workers


def report(job: Job) -> Assembled:
    """Tells the process by a refusal; dies, fails or dawdles if the job is named so."""
    if job.stem == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.stem == "fail":
        raise ValueError(job.stem)
    if job.stem == "dawdle":
        time.sleep(60)
    return Assembled((), (Refusal(Reason.NOT_AN_IMAGE, str(os.getpid())),))


def job(stem: str = "work") -> Job:
    return Job(
        series_uid="1.5",
        study_uid="1.4",
        instances=(),
        archive=Path(),
        staging=Path(),
        stem=stem,
        revision=1,
        verdict={},
        options=OutputOptions(),
    )


@pytest.fixture(scope="module")
def workers() -> Iterator[LocalWorkers]:
    made = LocalWorkers(report, 2, jobs_per_process=3)
    made.warm_up()
    yield made
    made.close()


def process(workers: LocalWorkers) -> str:
    return workers.submit(job()).result(60).refusals[0].sentence


def test_jobs_run_in_another_process_and_share_it(workers: LocalWorkers) -> None:
    first = process(workers)
    assert first != str(os.getpid())
    assert process(workers) == first


def test_a_process_is_renewed_after_some_jobs(workers: LocalWorkers) -> None:
    assert len({process(workers) for _ in range(7)}) >= 3


def test_a_death_is_one_jobs_fault_and_the_next_one_goes_on(workers: LocalWorkers) -> None:
    slow = workers.submit(job("dawdle"))
    with pytest.raises(WorkerDied):
        workers.submit(job("die")).result(60)
    assert process(workers)
    assert not slow.done()
    workers.kill(slow)
    with pytest.raises(WorkerDied):
        slow.result(60)


def test_an_error_comes_back_and_the_process_stays(workers: LocalWorkers) -> None:
    with pytest.raises(ValueError, match="fail"):
        workers.submit(job("fail")).result(60)


def test_closing_ends_what_runs() -> None:
    made = LocalWorkers(report, 1)
    running = made.submit(job("dawdle"))
    made.close()
    with pytest.raises(WorkerDied):
        running.result(60)


class KilledWorker(Exception):
    """As distributed's scheduler raises it."""


class Cluster:
    """As much of distributed's client as is used, with jobs that end when a test says."""

    def __init__(self, address: str, **_: object) -> None:
        if address.endswith(":1"):
            raise OSError("timed out")
        self.futures: list[Future[Assembled]] = []

    def nthreads(self) -> dict[str, int]:
        return {"a": 2, "b": 3}

    def get_executor(self, **_: object) -> Cluster:
        return self

    def submit(self, *_: object) -> Future[Assembled]:
        self.futures.append(Future())
        return self.futures[-1]

    def shutdown(self, **_: object) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("distributed")
    module.Client, module.KilledWorker = Cluster, KilledWorker  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "distributed", module)


def test_a_cluster_takes_as_many_jobs_as_it_has_threads(cluster: None) -> None:
    assert make_workers(report, "dask://there:8786", None).capacity == 5
    assert make_workers(report, "dask://there:8786", 2).capacity == 2


def test_what_comes_back_from_a_cluster(cluster: None) -> None:
    workers = make_workers(report, "dask://there:8786", None)
    assert isinstance(workers, DaskWorkers)
    done, failed, died, given_up = (workers.submit(job()) for _ in range(4))
    ends = workers._client.futures
    ends[0].set_result(Assembled())
    ends[1].set_exception(ValueError("fail"))
    ends[2].set_exception(KilledWorker())
    workers.kill(given_up)
    assert done.result() == Assembled()
    with pytest.raises(ValueError, match="fail"):
        failed.result()
    for future in (died, given_up):
        with pytest.raises(WorkerDied):
            future.result()
    workers.close()


def test_a_scheduler_that_does_not_answer_is_a_config_error(cluster: None) -> None:
    with pytest.raises(ConfigError, match="does not answer"):
        make_workers(report, "dask://there:1", None)


def test_a_scheduler_without_the_optional_dependency_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"rasnode\[dask\]"):
        make_workers(report, "dask://127.0.0.1:1", None)
