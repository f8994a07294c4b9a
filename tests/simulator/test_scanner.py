"""Thousands of random scanners: a series is made into its true volumes, or refused by name."""

from __future__ import annotations

import os
from functools import cache, reduce

import pytest

from tests.simulator.scanner.explaining import explain
from tests.simulator.scanner.running import Tally, planned, run
from tests.simulator.scanner.worlds import make_world

WORLDS = int(os.environ.get("RASNODE_TEST_WORLDS", "250"))
BATCH = 100
BOUND = 0.02
"""The part of defined series that may be refused."""
ENOUGH = 2000
"""Worlds over which that is measured."""
# fmt: off
REGRESSIONS = (
    13, 153, 168, 236, 286, 576, 681, 931, 1048, 1407, 1502, 1571, 1583, 1645, 1827, 1903, 2062,
    2120, 2133, 2311, 2326, 2360, 2399, 2400, 2499, 2560, 2600, 2734, 2737, 2854, 2888, 2942,
    2981, 3045, 3103, 3108, 3139, 3295, 3315, 3346, 3388, 3472, 3507, 3554, 3624, 3645, 3707,
    3725, 3800, 3854, 3873, 3947, 3996, 4038, 4112, 4132, 4144, 4224, 4238, 4306, 4364, 4400,
    4402, 4454, 4549, 4655, 5000, 5020, 5214, 5353, 5741, 5775, 5795, 5796, 5800, 5809, 5818,
    5823, 5880, 6199, 6902, 9364, 10500, 11757, 11786, 11966, 13570, 14345, 14518, 15235, 16709,
    17766, 28174, 32400, 35393, 37905, 40798, 51521, 91162, 92205,
    203909, 206023, 207928, 221866, 225137, 235841, 252511, 255428, 260018, 261679, 264234, 265480,
    273806, 279634, 280379, 289533, 298326,
)
# fmt: on
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
