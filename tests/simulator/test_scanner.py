"""Thousands of random scanners: a series is made into its true volumes, or refused by name."""

from __future__ import annotations

import os
from functools import cache, reduce

import pytest

from tests.simulator.scanner.explaining import explain
from tests.simulator.scanner.running import Tally, planned, run
from tests.simulator.scanner.worlds import make_world

WORLDS = int(os.environ.get("RASNODE_TEST_WORLDS", "2000"))
BATCH = 100
BOUND = 0.02
"""The part of defined series that may be refused."""
ENOUGH = 2000
"""Worlds over which that is measured."""
REGRESSIONS: tuple[int, ...] = ()
"""Seeds of worlds that were silently wrong once."""


@cache
def tally(first: int) -> Tally:
    return run(range(first, min(first + BATCH, WORLDS)))


@pytest.mark.parametrize("first", range(0, WORLDS, BATCH))
def test_no_world_is_silently_wrong(first: int) -> None:
    wrong = tally(first).wrong
    assert not wrong, "\n".join(f"{seed}: {', '.join(said)}" for seed, said in wrong.items())


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_no_world_is_silently_wrong_again(seed: int) -> None:
    assert not planned(make_world(seed))[1], explain(seed)


def test_few_defined_worlds_are_refused() -> None:
    batches = range(0, min(WORLDS, ENOUGH), BATCH)
    whole = reduce(Tally.__add__, map(tally, batches), Tally())
    assert whole.caution <= BOUND, whole.overcautious
