"""Worker processes: what they return, how they die, when they are renewed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path

import pytest

from node.convert import OutputOptions
from node.core.errors import Reason
from node.core.system.machine import activity
from node.lifecycle.assembly.jobs import Assembled, Job, Refusal, WorkerDied
from node.lifecycle.workers import watch
from node.lifecycle.workers.local import LocalWorkers
from tests.running import eventually


def report(job: Job) -> Assembled:
    """Tells the process by a refusal; dies, fails or dawdles if the job is named so."""
    if job.stem == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.stem == "fail":
        raise ValueError(job.stem)
    if job.stem == "dawdle":
        time.sleep(60)
    if job.stem == "greedy":
        bytearray(1 << 30)
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


@pytest.mark.parametrize("number", [None, signal.SIGKILL])
def test_a_process_has_a_decoder_ready_which_ends_with_it(number: int | None) -> None:
    made = LocalWorkers(report, 1, jobs_per_process=2)
    worker = process(made)
    (decoder,) = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    comm = Path(f"/proc/{decoder}/comm")
    eventually(lambda: comm.read_text().strip() == "rasnode-decode", 10, "it is a decoder")
    if number is None:
        process(made)  # its last one
    else:
        os.kill(int(worker), number)
    eventually(lambda: _is_gone(decoder), 10, "the decoder ended")
    made.close()


def _is_gone(pid: str) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def test_a_death_is_one_jobs_fault_and_the_next_one_goes_on(workers: LocalWorkers) -> None:
    slow = workers.submit(job("dawdle"))
    with pytest.raises(WorkerDied):
        workers.submit(job("die")).result(60)
    assert process(workers)
    assert not slow.done()
    workers.kill(slow)
    with pytest.raises(WorkerDied):
        slow.result(60)


def test_a_process_that_died_while_it_was_idle_costs_no_job(workers: LocalWorkers) -> None:
    for _ in range(3):
        idle = int(process(workers))
        os.kill(idle, signal.SIGKILL)
        eventually(lambda pid=idle: (seen := activity(pid)) is None or seen.ended, 5, "it is gone")


def test_a_process_that_is_stopped_is_ended(workers: LocalWorkers) -> None:
    idle = int(process(workers))
    running = workers.submit(job("dawdle"))
    os.kill(idle, signal.SIGSTOP)  # the same process has the job now
    with pytest.raises(WorkerDied):
        running.result(20)


def test_a_process_that_has_a_job_and_does_nothing_is_ended(
    workers: LocalWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_MOST_IDLE", 3)
    with pytest.raises(WorkerDied):
        workers.submit(job("dawdle")).result(20)


def test_a_fork_server_that_died_or_is_stopped_is_replaced() -> None:
    made = LocalWorkers(report, 1, jobs_per_process=1)
    made.warm_up()
    assert process(made)
    server = forkserver._forkserver._forkserver_pid
    for number in (signal.SIGKILL, signal.SIGSTOP):
        os.kill(server, number)
        with suppress(WorkerDied, EOFError, OSError):  # once; the series is tried again
            process(made)
        assert process(made)
        server = forkserver._forkserver._forkserver_pid
    made.close()


def test_what_needs_more_memory_than_a_process_may_have_fails_by_name() -> None:
    made = LocalWorkers(report, 1, memory=600 << 20)
    with pytest.raises(MemoryError):
        made.submit(job("greedy")).result(60)
    assert process(made)
    made.close()


def test_an_error_comes_back_and_the_process_stays(workers: LocalWorkers) -> None:
    with pytest.raises(ValueError, match="fail"):
        workers.submit(job("fail")).result(60)


def test_closing_ends_what_runs() -> None:
    made = LocalWorkers(report, 1)
    running = made.submit(job("dawdle"))
    made.close()
    with pytest.raises(WorkerDied):
        running.result(60)
