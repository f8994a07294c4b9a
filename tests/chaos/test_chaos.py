"""For each thread and process of a running node: kill it, stop it, or make it raise or hang while
series arrive and deliveries go out. Within ten seconds it works again or `/health` says which does
not; nothing acknowledged is lost, and every series ends right.

Three rounds in CI; `RASNODE_CHAOS_ROUNDS=200 RASNODE_CHAOS_SEED=5 pytest tests/chaos` makes more.
"""

from __future__ import annotations

import gc
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.faults import Fault, any_fault
from tests.chaos.world import World
from tests.hooks import listening
from tests.running import eventually, slowness

ROUNDS = int(os.environ.get("RASNODE_CHAOS_ROUNDS", "3"))
SEED = int(os.environ.get("RASNODE_CHAOS_SEED", "1"))
WITHIN_SECONDS = 10.0

# pynetdicom, as the client of a port that is closed, leaves sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with listening() as hook:
        made = World(tmp_path, hook)
        made.start()
        try:
            yield made
        finally:
            made.close()
            gc.collect()  # here, where the warning is expected


@pytest.mark.timeout(60 + 60 * ROUNDS)
def test_nothing_dies_unseen(world: World) -> None:
    random_ = random.Random(SEED)
    for number in range(ROUNDS):
        fault = any_fault(random_)
        started = time.monotonic()
        outcome = round_of(world, fault)
        print(f"{number}: {fault}: {outcome}, {time.monotonic() - started:.1f} s", flush=True)
    kept = {one["sop_instance_uid"] for one in world.node.instances()}
    assert world.acknowledged <= kept
    states = {one["series_instance_uid"]: one["state"] for one in world.node.series()}
    assert {states[uid] for uid in world.sent} == {"ready"}
    assert "Small^Patient" not in world.node.log.read_text()
    assert world.node.terminate() == 0


def round_of(world: World, fault: Fault) -> str:
    """One fault, from beginning to end; says how it went."""
    world.keep_sending()
    time.sleep(0.5)
    if not fault.cause(world):
        world.stop_sending()
        return "nobody there"
    outcome = seen(world, fault)
    fault.end(world)
    world.stop_sending()
    allowed = 30 * slowness()
    eventually(lambda: well(world), allowed, f"healthy again after {fault}: {world.health()}")
    eventually(world.all_ready, allowed, f"every series ready and told after {fault}")
    return outcome


def seen(world: World, fault: Fault) -> str:
    """Within ten seconds the node works or says what does not."""
    deadline = time.monotonic() + WITHIN_SECONDS * slowness()
    if fault.what in {"kill", "stop"}:
        began = len(world.sent)
        while time.monotonic() < deadline:
            if (said := named(world, fault)) is not None:
                return said
            new = world.sent[began:]
            if len(new) > 1 and world.ready(new[1]):  # begun after the fault did
                return "works again"
            time.sleep(0.1)
    else:
        while time.monotonic() < deadline:
            if (said := named(world, fault)) is not None:
                return said
            time.sleep(0.1)
    pytest.fail(f"{fault}: neither works nor is named within 10 s: {world.health()}")


def named(world: World, fault: Fault) -> str | None:
    """How `/health` says it; None if it does not."""
    said = world.health()
    if said is None:
        return "no answer" if fault.process == "node" else None
    faults = said["faults"]
    found = [name for name in faults if any(one in name for one in fault.names)]
    return f"named {found[0]!r}" if found else None


def well(world: World) -> bool:
    said = world.health()
    return said is not None and said["healthy"]
