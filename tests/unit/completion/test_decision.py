"""Decisions: arithmetic on time, no waiting; and the one table of transitions."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.completion.decision import (
    GAPS_FACTOR,
    LONGEST_WAIT_SECONDS,
    Action,
    Situation,
    Timing,
    decide,
)
from node.completion.facts import Evidence, Source
from node.completion.states import TRANSITIONS, Event, NotNow, follow
from node.completion.verdict import Finding
from node.core.records import Arrival, AssociationEnd, SeriesState, Verdict
from tests.unit.completion.builders import arrival

TIMING = Timing(quiet=5.0, open_quiet=60.0, incomplete="hold")
RELEASED = arrival(last=10.0, ended=11.0)
OPEN = arrival(AssociationEnd.OPEN, last=10.0)
ABORTED = arrival(AssociationEnd.ABORTED, last=10.0, ended=11.0)
REPEATED = replace(ABORTED, repeated=True)
AGAIN = replace(arrival(first=12.0, last=13.0, ended=14.0), instances=0)
COMPLETE, INCOMPLETE, UNKNOWN = map(Finding, Verdict)


def situation(*arrivals: Arrival, **values: object) -> Situation:
    state = values.pop("state", SeriesState.RECEIVING)
    return Situation(state=state, last_arrival=10.0, arrivals=arrivals, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arrivals", "quiet_until"),
    [
        ([RELEASED], 16.0),
        ([RELEASED, replace(RELEASED, ended_at=14.0)], 19.0),
        ([OPEN], 70.0),
        ([RELEASED, OPEN], 70.0),
        ([ABORTED], 71.0),
        ([replace(ABORTED, end=AssociationEnd.LOST)], 71.0),
        ([ABORTED, arrival(first=12.0, last=13.0, ended=14.0)], 19.0),
        ([], 15.0),
        ([REPEATED, AGAIN], 19.0),
        ([ABORTED, AGAIN], 74.0),
        ([REPEATED], 71.0),
        ([REPEATED, replace(AGAIN, ended_at=10.5)], 71.0),
        ([REPEATED, replace(AGAIN, end=AssociationEnd.ABORTED)], 74.0),
        ([REPEATED, replace(AGAIN, end=AssociationEnd.OPEN, ended_at=None)], 70.0),
    ],
    ids=[
        "released",
        "two released",
        "open",
        "one open",
        "aborted",
        "lost",
        "repaired",
        "imported",
        "all came again",
        "some came again",
        "all came again with nobody",
        "before the abort",
        "with one that was aborted too",
        "with one that is open still",
    ],
)
def test_without_proof_it_is_quiet_time_that_decides(
    arrivals: list[Arrival], quiet_until: float
) -> None:
    here = situation(*arrivals)
    before = decide(here, UNKNOWN, quiet_until - 0.001, TIMING)
    assert (before.action, before.until) == (Action.WAIT, quiet_until)
    assert decide(here, UNKNOWN, quiet_until, TIMING).action is Action.SETTLE


@pytest.mark.parametrize("arrivals", [[RELEASED], [OPEN], [ABORTED]])
def test_with_proof_no_timer_is_waited_for(arrivals: list[Arrival]) -> None:
    assert decide(situation(*arrivals), COMPLETE, 10.0, TIMING).action is Action.SETTLE


@pytest.mark.parametrize(
    ("setting", "action"),
    [("hold", Action.HOLD), ("convert", Action.SETTLE), ("fail", Action.GIVE_UP)],
)
def test_proven_gaps_are_given_ten_times_the_quiet_time(setting: str, action: Action) -> None:
    timing = replace(TIMING, incomplete=setting)  # type: ignore[arg-type]
    here = situation(RELEASED)
    before = decide(here, INCOMPLETE, 60.9, timing)
    assert (before.action, before.until) == (Action.WAIT, 11.0 + 5.0 * GAPS_FACTOR)
    assert decide(here, INCOMPLETE, 61.0, timing).action is action


def test_gaps_while_an_association_is_open_wait_at_least_as_long_as_silence() -> None:
    assert decide(situation(OPEN), INCOMPLETE, 65.0, TIMING).until == 70.0


def test_a_stopped_scan_is_assembled_although_gaps_are_held() -> None:
    stopped = Finding(Verdict.INCOMPLETE, stopped=True)
    assert decide(situation(RELEASED), stopped, 60.0, TIMING).action is Action.WAIT
    assert decide(situation(RELEASED), stopped, 61.0, TIMING).action is Action.SETTLE
    failing = replace(TIMING, incomplete="fail")
    assert decide(situation(RELEASED), stopped, 61.0, failing).action is Action.GIVE_UP


def test_what_fills_the_gaps_that_it_was_held_for_is_the_end_of_it() -> None:
    late = arrival(first=90.0, last=90.0, ended=90.1)

    def action(*arrivals: Arrival, finding: Finding = UNKNOWN, **values: object) -> Action:
        here = situation(*arrivals, **{"given_up": True, **values})
        return decide(replace(here, last_arrival=90.0), finding, 90.2, TIMING).action

    assert action(RELEASED, late) is Action.SETTLE
    assert action(RELEASED, late, given_up=False) is Action.WAIT
    assert action(RELEASED, late, in_progress=True) is Action.WAIT
    assert action(RELEASED, replace(late, end=AssociationEnd.OPEN, ended_at=None)) is Action.WAIT
    assert action(RELEASED, replace(late, end=AssociationEnd.ABORTED)) is Action.WAIT
    assert action(RELEASED, late, finding=INCOMPLETE) is Action.WAIT
    hole = Evidence(Source.NUMBERS, Verdict.UNKNOWN, "7 is missing", doubt=True)
    assert action(RELEASED, late, finding=Finding(Verdict.UNKNOWN, (hole,))) is Action.WAIT


def test_what_a_person_holds_stays_held() -> None:
    here = situation(RELEASED, held_by="ann")
    for finding in (COMPLETE, INCOMPLETE, UNKNOWN):
        assert decide(here, finding, 1e9, TIMING).action is Action.HOLD


def test_a_step_in_progress_waits_as_an_open_association_does() -> None:
    assert decide(situation(RELEASED, in_progress=True), UNKNOWN, 20.0, TIMING).until == 71.0


def test_a_trickle_is_waited_for_twice_as_long_each_time() -> None:
    waits = [
        (decide(situation(RELEASED, premature=n), UNKNOWN, 11.0, TIMING).until or 0.0) - 11.0
        for n in range(14)
    ]
    assert waits[:4] == [5.0, 10.0, 20.0, 40.0]
    assert waits[-1] == LONGEST_WAIT_SECONDS


@pytest.mark.parametrize("state", [s for s in SeriesState if s is not SeriesState.RECEIVING])
def test_only_what_is_receiving_is_decided(state: SeriesState) -> None:
    assert decide(situation(RELEASED, state=state), COMPLETE, 1e9, TIMING).action is Action.REST


@given(
    st.sampled_from([COMPLETE, INCOMPLETE, UNKNOWN]),
    st.lists(st.sampled_from([RELEASED, OPEN, ABORTED]), max_size=3),
    st.floats(0, 1e4),
    st.integers(0, 5),
)
def test_a_wait_always_ends_and_ends_it(
    finding: Finding, arrivals: list[Arrival], now: float, premature: int
) -> None:
    here = situation(*arrivals, premature=premature)
    decision = decide(here, finding, now, TIMING)
    if decision.action is Action.WAIT:
        assert decision.until is not None
        assert decision.until > now
        assert decide(here, finding, decision.until, TIMING).action is not Action.WAIT
    else:
        assert decide(here, finding, now + 1e6, TIMING).action is decision.action


def test_every_state_can_be_reached_and_left() -> None:
    assert {to for _, to in itertools.chain(TRANSITIONS.items())} == set(SeriesState)
    assert {state for state, _ in TRANSITIONS} == set(SeriesState)


def test_an_instance_takes_any_state_back_to_receiving() -> None:
    for state in SeriesState:
        assert follow(state, Event.INSTANCE) is SeriesState.RECEIVING


def test_what_the_table_does_not_have_is_refused() -> None:
    with pytest.raises(NotNow, match="the series is ready"):
        follow(SeriesState.READY, Event.START)
