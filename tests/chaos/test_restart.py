"""A node that is killed and started again at once serves its port each time, and soon.

Three times in CI; `RASNODE_RESTARTS=20 pytest tests/chaos/test_restart.py -s` shows the median.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.running import RunningNode, eventually
from tests.small import small_ct

RESTARTS = int(os.environ.get("RASNODE_RESTARTS", "3"))
LONGEST_SECONDS = 60.0


@pytest.mark.timeout(60 + 60 * RESTARTS)
def test_kill_and_immediate_restart(tmp_path: Path) -> None:
    node = RunningNode(tmp_path, {"completion": {"quiet_seconds": 0.5}}).start()
    took = []
    try:
        for number in range(RESTARTS):
            node.send(*small_ct(tmp_path / f"series-{number}", 8, announced=True))
            assert node.process is not None
            os.kill(node.process.pid, signal.SIGKILL)  # it alone: its children are still dying
            killed, said = node.process, node.log.stat().st_size
            began = time.monotonic()
            with node.log.open("ab") as log:
                node.process = subprocess.Popen(
                    [sys.executable, "-m", "node", "serve", "-c", str(node.config)],
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            eventually(
                lambda said=said: answers(node, said),
                LONGEST_SECONDS,
                f"start {number} serves its port",
            )
            took.append(time.monotonic() - began)
            killed.wait(10)
        print(f"median {statistics.median(took):.2f} s, longest {max(took):.2f} s")
        series = node.settle(60, states=["ready"])
        assert len(series) == RESTARTS
        assert len(node.instances()) == 8 * RESTARTS
        assert node.terminate() == 0
    finally:
        node.kill()


def answers(node: RunningNode, said: int) -> bool:
    """Whether this very run of the node serves, and not the one that is dying: by its log, of
    which `said` bytes are older."""
    assert node.process is not None
    log = node.log.read_bytes()[said:]
    assert node.process.poll() is None, log.decode()
    with socket.socket() as probe:
        return b"listening on" in log and probe.connect_ex(("127.0.0.1", node.port)) == 0
