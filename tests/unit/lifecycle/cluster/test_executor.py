"""Jobs on a real dask cluster whose scheduler and workers come and go."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from node.core.errors import ConfigError
from node.core.settings.model import AssemblySettings, ClusterTLS
from node.lifecycle.assembly.jobs import Assembled, ExecutorAway, WorkerDied
from node.lifecycle.cluster import DaskWorkers, inspect_cluster
from node.lifecycle.cluster.executor import ArchiveNotSeen
from node.lifecycle.workers.local import make_workers
from tests.certificates import self_signed
from tests.clusters import Cluster
from tests.running import eventually
from tests.unit.lifecycle.cluster.jobs import job, report


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler without workers."""
    made = Cluster(tmp_path)
    made.start_scheduler()
    yield made
    made.close()


@pytest.fixture
def workers(cluster: Cluster) -> Iterator[DaskWorkers]:
    """What the node has of it."""
    made = DaskWorkers(report, cluster.address)
    yield made
    made.close()


def threads(workers: DaskWorkers, count: int) -> None:
    eventually(lambda: workers.capacity == count, 60, f"{count} jobs may run")


def told(future: Future[Assembled]) -> str:
    """The address of the worker that did a job."""
    return future.result(60).refusals[0].sentence


def test_jobs_and_how_they_end(cluster: Cluster, workers: DaskWorkers, tmp_path: Path) -> None:
    eventually(lambda: "has no workers" in (workers.fault() or ""), 60, "it is said")
    (one,) = cluster.start_workers()
    threads(workers, 1)
    assert workers.fault() is None
    assert told(workers.submit(job(tmp_path))) == one
    with pytest.raises(ValueError, match="fail"):
        workers.submit(job(tmp_path, "fail")).result(60)
    # What the node does not see either is for the assembly to say.
    assert told(workers.submit(job(tmp_path, "work", "gone"))) == one
    given_up = workers.submit(job(tmp_path, "dawdle"))
    workers.kill(given_up)
    with pytest.raises(WorkerDied):
        given_up.result(60)

    cluster.start_workers()
    threads(workers, 2)
    with pytest.raises(WorkerDied):
        workers.submit(job(tmp_path, "die")).result(60)
    threads(workers, 1)
    cluster.kill_workers()
    threads(workers, 0)
    with pytest.raises(ExecutorAway):
        workers.submit(job(tmp_path)).result(60)


def test_a_scheduler_that_dies_and_comes_back(
    cluster: Cluster, workers: DaskWorkers, tmp_path: Path
) -> None:
    cluster.start_workers()
    threads(workers, 1)
    under_way = workers.submit(job(tmp_path, "dawdle"))
    cluster.kill_scheduler()
    with pytest.raises(ExecutorAway):
        under_way.result(60)
    threads(workers, 0)
    eventually(lambda: "does not answer" in (workers.fault() or ""), 60, "it is said")
    cluster.kill_workers()
    cluster.start_scheduler()
    cluster.start_workers()
    threads(workers, 1)
    assert told(workers.submit(job(tmp_path)))
    assert workers.fault() is None


def test_a_worker_that_does_not_see_the_archive_is_named_and_others_do_its_work(
    cluster: Cluster, workers: DaskWorkers, tmp_path: Path
) -> None:
    cluster.start_workers(hidden=tmp_path / "archive")
    (other,) = cluster.start_workers()
    threads(workers, 2)
    done = [workers.submit(job(tmp_path)) for _ in range(2)]  # dask gives each of them one
    assert {told(one) for one in done} == {other}
    threads(workers, 1)  # the blind one gets nothing more for a while
    assert workers.fault() is None

    cluster.kill_workers()
    threads(workers, 0)
    (blind,) = cluster.start_workers(hidden=tmp_path / "archive")
    threads(workers, 1)
    with pytest.raises(ArchiveNotSeen, match=f"archive-not-seen: worker {blind} .*archive"):
        workers.submit(job(tmp_path)).result(60)
    assert workers.capacity == 0
    assert f"worker {blind} does not see the archive" in (workers.fault() or "")


def test_tls_both_ways(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    for source, name in ((certificate, "ca.pem"), (certificate, "node.pem"), (key, "node.key")):
        shutil.copy(source, tmp_path / name)
    cluster = Cluster(tmp_path, certificates=tmp_path)
    tls = ClusterTLS(certificate=certificate, key=key, ca=certificate)
    try:
        cluster.start_scheduler()
        cluster.start_workers()
        settings = AssemblySettings(executor=cluster.executor, tls=tls, workers=1)
        workers = make_workers(report, settings)
        assert isinstance(workers, DaskWorkers)
        threads(workers, 1)
        assert told(workers.submit(job(tmp_path)))
        workers.close()
    finally:
        cluster.close()


def test_a_certificate_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    missing = ClusterTLS(certificate=tmp_path / "a", key=tmp_path / "b", ca=tmp_path / "c")
    settings = AssemblySettings(executor="dask://127.0.0.1:1", tls=missing)
    with pytest.raises(ConfigError, match=r"assembly\.tls: the node cannot read"):
        make_workers(report, settings)


def test_a_look_at_a_cluster_before_it_is_used(cluster: Cluster, tmp_path: Path) -> None:
    def look() -> object:
        return inspect_cluster(cluster.address, None, tmp_path, "identity", "a" * 32)

    assert "has no workers" in str(look())
    cluster.start_workers()
    (tmp_path / "identity").write_text("a" * 32)
    found = inspect_cluster(cluster.address, None, tmp_path, "identity", "a" * 32)
    assert (len(found.workers), found.fault, found.blind) == (1, None, ())
    (tmp_path / "identity").write_text("b" * 32)  # it sees another folder there
    found = inspect_cluster(cluster.address, None, tmp_path, "identity", "a" * 32)
    assert found.blind == tuple(found.workers)
    cluster.kill_scheduler()
    assert "does not answer" in str(look())
