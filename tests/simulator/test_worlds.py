"""Hundreds of random worlds: whatever goes wrong, the end is as if nothing had.

`RASNODE_TEST_WORLDS=20000 pytest tests/simulator` lives through more, those of here among them.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from node.core.records import SeriesState
from tests.simulator.life import Account, Life, in_order
from tests.simulator.real import RealLife, ends_in_memory
from tests.simulator.worlds import World, make_world

WORLDS = int(os.environ.get("RASNODE_TEST_WORLDS", "125"))
BATCH = 50
UNDER_WAY = {SeriesState.RECEIVING, SeriesState.SETTLED, SeriesState.ASSEMBLING}


def lived(seed: int) -> tuple[World, Account, Account]:
    """A world's end, and the end of the world in which everything came in order."""
    account = Life(make_world(seed)).live()
    return make_world(seed), account, Life(in_order(make_world(seed), account.decided)).live()


def check(seed: int) -> list[str]:
    """What is wrong with a world's end."""
    world, account, reference = lived(seed)
    wrong = [*account.violations, *reference.violations]
    for uid, state in account.states.items():
        if state in UNDER_WAY:
            wrong.append(f"{uid} is {state} for ever")
        if state != reference.states[uid]:
            wrong.append(f"{uid} is {state}; in order it would be {reference.states[uid]}")
        if account.images.get(uid) != reference.images.get(uid):
            wrong.append(f"{uid} shows another image than if it had come in order")
        if (account.verdicts[uid] == "incomplete") != (reference.verdicts[uid] == "incomplete"):
            wrong.append(f"{uid} is {account.verdicts[uid]}, not {reference.verdicts[uid]}")
        expected, found = world.series[uid].verdict, account.verdicts[uid]
        if expected == "incomplete" and found != "incomplete":
            wrong.append(f"{uid} is {found} although a gap is plain to see")
        incomplete = state == "ready" and account.made_as[uid] == "incomplete"
        if incomplete and not world.series[uid].stopped:
            wrong.append(f"{uid} was made although something is missing in its midst")
        if expected == "not incomplete" and (found == "incomplete" or state != "ready"):
            wrong.append(f"{uid} is {found} and {state} although everything came")
        wrong += told_wrongly(uid, account)
        bound = (
            account.bursts.get(uid, 0)
            + account.holds[uid]  # what fills gaps is not waited for
            # One cut off, one overtaken by what is sent again, one under a number that was taken.
            + 3 * account.cuts
            + world.conflicts
            + sum(of == uid for of, _ in world.statements)
        )
        if account.assemblies.get(uid, 0) > bound:
            wrong.append(f"{uid} was assembled {account.assemblies[uid]} times, not {bound}")
    return wrong


def told_wrongly(uid: str, account: Account) -> list[str]:
    """Each visible revision is told of once, in order."""
    told = [item.revision for item in account.deliveries if item.payload["series"] == uid]
    if told != sorted(told):
        return [f"{uid}: revisions were told of out of order: {told}"]
    ready = [
        int(item.payload["occasion"].split()[1])
        for item in account.deliveries
        if item.payload["series"] == uid
        and item.payload["occasion"].startswith("revision")
        and item.event != "superseded"
    ]
    if ready != account.revisions[uid]:
        return [f"{uid}: told of {ready}, visible were {account.revisions[uid]}"]
    return []


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)  # thousands of worlds have much to tell


@pytest.mark.parametrize("first", range(0, WORLDS, BATCH))
def test_worlds(first: int) -> None:
    seeds = range(first, min(first + BATCH, WORLDS))
    failures = {seed: wrong for seed in seeds if (wrong := check(seed))}
    assert not failures, failures


@pytest.mark.parametrize("seed", range(0, 60, 4))
def test_what_is_in_memory_does_as_the_index_and_the_disk_do(seed: int, tmp_path: Path) -> None:
    def calm() -> World:
        return replace(make_world(seed), cut=0.0)  # it would fall on other acts

    life = Life(calm())
    life.live()
    real = RealLife(calm(), tmp_path)
    real.run()
    assert real.ends() == ends_in_memory(life)
    assert real.violations == []
    real.index.close()
