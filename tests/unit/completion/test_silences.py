"""Silences, what they teach, and what other settings would have made of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.completion.decision import Action, Timing
from node.completion.facts import Count, InstanceFacts
from node.completion.replay import Outcome, Recorded, replay
from node.completion.silences import (
    FEWEST_SERIES,
    LONGEST_QUIET,
    SHORTEST_QUIET,
    Moment,
    Percentiles,
    Silences,
    learned_quiet,
    percentiles,
    silences,
)
from node.core.records import Arrival, AssociationEnd
from tests.unit.completion.builders import stack, without


@pytest.mark.parametrize(
    ("moments", "ends", "found"),
    [
        ([(0, 1), (1, 1), (4, 1)], {1: 5}, Silences(0, 3)),
        ([(0, 1), (1, 1), (9, 2)], {1: 2, 2: 10}, Silences(7, 1)),
        ([(0, 1), (1, 1), (9, 1)], {}, Silences(0, 8)),
        ([(0, 1), (1, 2), (9, 3)], {1: 2, 2: 8, 3: 10}, Silences(1, 1)),
        ([(0, 1), (7000, 2)], {1: 1, 2: 8000}, Silences(0, 0)),
        ([(0, 1)], {1: 1}, Silences(0, 0)),
        ([], {}, Silences(0, 0)),
        ([(0, None), (3, None)], {}, Silences(0, 3)),
    ],
    ids=["one", "two", "open", "overlapping", "late", "single", "none", "import"],
)
def test_silences(
    moments: list[tuple[float, int | None]], ends: dict[int, float], found: Silences
) -> None:
    assert silences([Moment(*item) for item in moments], ends) == found


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=300))
def test_percentiles_are_of_what_was_seen_and_ascend(values: list[float]) -> None:
    found = percentiles(values)
    ranks = [found.median, found.p90, found.p99, found.longest]
    assert ranks == sorted(ranks)
    assert set(ranks) <= set(values)
    assert found.longest == max(values)
    assert sum(value > found.p99 for value in values) <= 0.01 * len(values)


def test_nothing_is_learned_from_too_little() -> None:
    known = Percentiles(FEWEST_SERIES - 1, 0, 0, 40, 40)
    assert learned_quiet(known, 5) == 5
    assert learned_quiet(None, 5) == 5
    assert learned_quiet(replace(known, samples=FEWEST_SERIES), 5) == 60


def test_what_is_learned_has_bounds() -> None:
    assert learned_quiet(Percentiles(99, 0, 0, 0, 0), 5) == SHORTEST_QUIET
    assert learned_quiet(Percentiles(99, 0, 0, 500, 500), 5) == LONGEST_QUIET


def recorded(
    instances: list[InstanceFacts], bursts: list[tuple[float, int, float]], pace: float = 0.01
) -> Recorded:
    """A series in bursts of (begin, how many instances, end of the association)."""
    came, arrivals, carriers = [], [], []
    left = iter(instances)
    for number, (begin, count, end) in enumerate(bursts):
        times = [begin + pace * place for place in range(count)]
        came += [(at, next(left)) for at in times]
        carriers += [number] * count
        arrivals.append(
            Arrival("CT1", "", AssociationEnd.RELEASED, end, times[0], times[-1], count)
        )
    return Recorded("1.5", tuple(came), tuple(arrivals), tuple(carriers))


def replayed(series: Recorded, **timing: float) -> Outcome:
    return replay(series, replace(Timing(), **timing))  # type: ignore[arg-type]


TWO_BURSTS = [(0.0, 10, 1.0), (8.0, 10, 9.0)]


def test_a_short_quiet_time_would_have_cut_it_short() -> None:
    outcome = replayed(recorded(stack(20), TWO_BURSTS), quiet=5.0)
    assert outcome.decided == (6.0, 19.0)  # waited twice as long the second time
    assert outcome.cut_short == 1


def test_a_longer_one_would_not_and_would_have_cost_that() -> None:
    outcome = replayed(recorded(stack(20), TWO_BURSTS), quiet=7.5)
    assert outcome.decided == (16.5,)
    assert outcome.cut_short == 0
    assert outcome.delay == pytest.approx(16.5 - 8.09)
    assert outcome.action is Action.SETTLE


def test_proof_costs_nothing() -> None:
    series = recorded(stack(20, announced={Count.IMAGES_IN_ACQUISITION: 20}), TWO_BURSTS)
    outcome = replayed(series, quiet=60.0)
    assert outcome.cut_short == 0
    assert outcome.delay == pytest.approx(0.1)


def test_gaps_would_have_been_held() -> None:
    series = recorded(without(stack(20), 7), [(0.0, 19, 1.0)])
    outcome = replayed(series, quiet=5.0)
    assert (outcome.action, outcome.decided) == (Action.HOLD, (51.0,))


def test_an_association_that_stays_open() -> None:
    series = recorded(stack(20), [(0.0, 20, 7200.0)])
    outcome = replayed(series, quiet=5.0, open_quiet=60.0)
    assert outcome.decided == (pytest.approx(60.19),)
