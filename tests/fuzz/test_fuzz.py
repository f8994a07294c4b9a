"""Two thousand hostile cases, the same on every run.

`python -m tests.fuzz --cases 100000 --seed N` runs more.
"""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path

import pytest

from tests.fuzz import cases
from tests.fuzz.targets import DECODERS, Target, a_node, run
from tests.running import RunningNode, eventually

SEED = 1
EACH = 600
AGAINST_A_NODE = 200


@pytest.mark.parametrize("target", DECODERS, ids=lambda target: target.__name__)
def test_readers_refuse_by_name(target: Target) -> None:
    for number in range(EACH):
        run(target, SEED, number)


def test_a_node_outlives_it_and_keeps_nothing_wrong(tmp_path: Path) -> None:
    node = RunningNode(tmp_path).start()
    try:
        target = a_node(node.port)
        for number in range(20):
            run(target, SEED, number)
        before = descriptors(node)
        for number in range(20, AGAINST_A_NODE):
            run(target, SEED, number)
        good(node.port)
        eventually(lambda: descriptors(node) <= before + 4, 20, "connections are given back")
        for one in node.instances():
            data = (node.root / one["path"]).read_bytes()
            assert one["sop_instance_uid"].encode() in data
        assert node.terminate() == 0
        assert "Traceback" not in node.log.read_text()
    finally:
        node.kill()


def good(port: int) -> None:
    """A sender in good order is served."""
    rng = random.Random("good")
    instance = cases.uid(rng)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(cases.associate(rng))
        assert connection.recv(65536)[0] == 2
        data = cases.data_set(rng, instance)
        connection.sendall(cases.message(rng, cases.command(rng, instance), data))
        answer = connection.recv(65536)
        assert b"\x00\x00\x00\x09\x02\x00\x00\x00\x00\x00" in answer


def descriptors(node: RunningNode) -> int:
    """What the processes have open that receive for the node: copies of its own."""
    assert node.process is not None
    own = Path(f"/proc/{node.process.pid}/cmdline").read_bytes()
    counts = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != node.process.pid:
            try:
                alike = (entry / "cmdline").read_bytes() == own
                if alike and os.getpgid(int(entry.name)) == node.process.pid:
                    counts.append(len(list((entry / "fd").iterdir())))
            except OSError:
                continue
    assert counts
    return sum(counts)
