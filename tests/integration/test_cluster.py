"""A node whose volumes are made on a dask cluster, of which everything dies once."""

from __future__ import annotations

import json
from pathlib import Path

from tests.clusters import Cluster
from tests.integration.test_silent_database import health
from tests.running import RunningNode, eventually, free_port, manifests
from tests.small import small_ct


def test_series_are_made_once_the_scheduler_is_back(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    page = free_port()
    node = RunningNode(
        tmp_path,
        {
            "assembly": {"executor": cluster.executor},
            "completion": {"quiet_seconds": 0.4},
            "http": {"port": page},
        },
    )
    try:
        node.start()  # without its cluster: it receives nevertheless
        node.send(*small_ct(tmp_path / "first", 4, announced=True))
        eventually(lambda: "does not answer" in health(page)[1].get("assembly", ""), 15, "said")
        eventually(lambda: node._states() == {"settled"}, 15, "the series waits")

        cluster.start_scheduler()
        (worker,) = cluster.start_workers(hidden=node.root / "archive")
        eventually(lambda: f"worker {worker} does not see" in str(health(page)), 30, "it is named")
        (waiting,) = node.series()
        assert waiting["state"] == "settled"
        assert "archive-not-seen" in waiting["why"]
        found = json.loads(node.rasnode("doctor", "--only", "executor", "--json").stdout)
        assert found[0]["found"] == "1 Dask workers with 1 threads"

        cluster.start_workers(2)
        node.settle(60, states=["ready"])
        assert health(page) == (200, {})

        cluster.kill_scheduler()
        cluster.kill_workers()
        node.send(*small_ct(tmp_path / "second", 4, announced=True))
        eventually(lambda: node._states() == {"ready", "settled"}, 15, "the series waits")
        cluster.start_scheduler()
        cluster.start_workers()
        node.settle(60, states=["ready"])
        assert len(manifests(node)) == 2
        assert node.log.read_text().count("waits for the dask cluster") < 5  # no busy loop
        assert node.terminate() == 0
    finally:
        node.kill()
        cluster.close()
