"""Assemblies that fail, die or hang: tried again, or failed."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from node.core.errors import Permanent, StorageFull
from node.lifecycle.assembly.failures import MOST_UNEXPECTED_ERRORS, MOST_WORKER_DEATHS
from node.lifecycle.assembly.jobs import Assembled, Job, WorkerDied
from node.lifecycle.assembly.revision_publisher import RevisionPublisher
from tests.simulator.bench import Bench, stage
from tests.unit.completion.builders import stack


@pytest.mark.parametrize(
    "error", [StorageFull("no space"), OSError(errno.ENOSPC, "No space left on device")]
)
def test_a_full_disk_is_waited_for_however_long(tmp_path: Path, error: Exception) -> None:
    troubles = [error] * 12

    def task(job: Job) -> Assembled:
        if troubles:
            raise troubles.pop()
        return stage(job)

    bench = Bench(tmp_path, task=task)
    bench.deliver(stack(3))
    bench.run(10.0)
    assert bench.state() == "settled"
    bench.run(7200.0)
    assert bench.state() == "ready"
    assert len(bench.executor.jobs) == 13
    bench.index.close()


def test_a_worker_that_dies_again_and_again_is_the_series_fault(tmp_path: Path) -> None:
    def task(job: Job) -> Assembled:
        raise WorkerDied("killed")

    bench = Bench(tmp_path, task=task)
    bench.deliver(stack(3))
    bench.run(60.0)
    assert (bench.state(), len(bench.executor.jobs)) == ("failed", MOST_WORKER_DEATHS)
    assert (bench.series().verdict or {})["refusals"][0]["reason"] == "worker-died"
    bench.index.close()


@pytest.mark.parametrize("where", ["submit", "conclude"])
def test_an_unexpected_error_of_the_node_costs_the_series_and_not_the_watcher(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    errors = []

    def failing(*_: object) -> None:
        errors.append(None)
        raise UnicodeError("Doe^John")

    if where == "submit":
        monkeypatch.setattr(bench.executor, "submit", failing)
    else:
        monkeypatch.setattr(RevisionPublisher, "conclude", failing)
    bench.deliver(stack(3))
    bench.run(60.0)
    assert (bench.state(), len(errors)) == ("failed", MOST_UNEXPECTED_ERRORS)
    refusal = (bench.series().verdict or {})["refusals"][0]
    assert refusal["reason"] == "UnicodeError"
    assert "reference" in refusal["sentence"]
    assert "Doe" not in str(refusal)
    bench.index.close()


@pytest.mark.parametrize("error", [Permanent("it cannot be"), ZeroDivisionError("Doe^John")])
def test_an_error_fails_the_series_and_not_the_watcher(
    tmp_path: Path, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def task(job: Job) -> Assembled:
        if job.series_uid == "1.5":
            raise error
        return stage(job)

    bench = Bench(tmp_path, task=task)
    bench.deliver(stack(3))
    bench.deliver([item._replace(uid=f"9.{item.number}") for item in stack(3)], "1.6")
    bench.run(10.0)
    assert (bench.state(), bench.state("1.6")) == ("failed", "ready")
    assert "Doe" not in caplog.text
    bench.index.close()


def test_what_a_dead_run_left_in_assembly_is_taken_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path, at_once=False)
    bench.deliver(stack(30))
    bench.run(6.0)
    assert bench.state() == "assembling"
    bench.restart()
    bench.executor.at_once = True
    bench.run(0.1)
    assert (bench.state(), bench.series().revision) == ("ready", 1)
    bench.index.close()


def test_a_claim_is_renewed_while_the_job_runs(tmp_path: Path) -> None:
    bench = Bench(tmp_path, at_once=False)
    bench.deliver(stack(30))
    bench.run(600.0)
    assert bench.state() == "assembling"
    assert len(bench.executor.jobs) == 1
    assert (bench.series().due or 0.0) > bench.now
    bench.index.close()


def test_a_job_that_hangs_is_ended(tmp_path: Path) -> None:
    bench = Bench(tmp_path, at_once=False)
    bench.deliver(stack(30))
    bench.run(3700.0)
    assert bench.executor.killed
    bench.index.close()
