"""When a study is ready: by what peers announce, and by silence."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.completion.facts import Source
from node.completion.study_decision import (
    FORGOTTEN_STEP_SECONDS,
    StudyDecision,
    StudySeries,
    StudySituation,
    StudyStatement,
    decide_study,
)
from node.core.records import AT_REST, SeriesState, StudyState, Verdict

QUIET = 60.0


def series(
    uid: str,
    state: SeriesState = SeriesState.READY,
    verdict: Verdict = Verdict.COMPLETE,
    *,
    last: float = 0.0,
    instances: int = 3,
) -> StudySeries:
    return StudySeries(uid, uid, state, verdict, 1, instances, last)


def said(
    source: Source, *uids: str, at: float = 0.0, final: bool = True, whole: bool = True
) -> StudyStatement:
    return StudyStatement(source, "PACS", at, final, whole, frozenset(uids))


def decide(
    held: list[StudySeries],
    *statements: StudyStatement,
    now: float = 10.0,
    told: list[StudySeries] | None = None,
) -> StudyDecision:
    situation = StudySituation(
        tuple(held),
        statements,
        last_sign=max([0.0, *(one.last_arrival for one in held)]),
        revision=0 if told is None else 1,
        told=frozenset(one.content for one in told or ()),
    )
    return decide_study(situation, now, QUIET)


def test_without_announcement_silence_in_the_whole_study_decides() -> None:
    held = [series("1"), series("2", last=5.0)]
    waits = decide(held, now=64.0)
    assert (waits.state, waits.publish, waits.until) == (StudyState.WAITING, False, 65.0)
    ready = decide(held, now=65.0)
    assert (ready.state, ready.publish, ready.verdict) == (StudyState.READY, True, Verdict.UNKNOWN)
    assert [str(one.source) for one in ready.evidence] == ["quiet-time"]
    assert "nothing announced" in ready.why


@pytest.mark.parametrize(
    "source", [Source.MPPS, Source.INSTANCE_AVAILABILITY, Source.PULL, Source.SENDER_COUNT]
)
def test_a_list_of_all_series_needs_no_timer(source: Source) -> None:
    found = decide([series("1"), series("2")], said(source, "1", "2"), now=0.1)
    assert (found.publish, found.verdict) == (True, Verdict.COMPLETE)


@pytest.mark.parametrize("source", [Source.MPPS, Source.PULL, Source.SENDER_COUNT])
@pytest.mark.parametrize("whole", [True, False])
def test_an_announced_series_is_waited_for_without_limit(source: Source, whole: bool) -> None:
    found = decide([series("1")], said(source, "1", "2", whole=whole), now=1e9)
    assert (found.state, found.publish) == (StudyState.WAITING, False)
    assert (found.verdict, found.until) == (Verdict.INCOMPLETE, None)
    assert "2" in found.why
    assert found.evidence[0].detail == {"missing_series": ["2"]}


@pytest.mark.parametrize("state", sorted(set(SeriesState) - set(AT_REST)))
def test_a_series_that_moves_is_waited_for(state: SeriesState) -> None:
    found = decide([series("1"), series("2", state)], said(Source.MPPS, "1", "2"), now=1e9)
    assert (found.state, found.publish) == (StudyState.RECEIVING, False)


def test_evidence_on_a_series_is_judged_before_its_study_is_told_of() -> None:
    held = [replace(series("1"), judged_again=True)]
    found = decide(held, said(Source.MPPS, "1"))
    assert not found.publish
    assert found.until is not None


@pytest.mark.parametrize("state", [SeriesState.FAILED, SeriesState.HELD])
def test_series_at_rest_without_volumes_are_named(state: SeriesState) -> None:
    held = [series("1"), series("2", state, Verdict.INCOMPLETE)]
    found = decide(held, said(Source.MPPS, "1", "2"))
    assert (found.publish, found.verdict) == (True, Verdict.INCOMPLETE)
    assert f"series 2 is {state}" in [one.sentence for one in found.evidence]


def test_what_is_no_volume_is_at_rest() -> None:
    held = [series("1", SeriesState.NOT_A_VOLUME)]
    assert decide(held, said(Source.MPPS, "1")).verdict is Verdict.COMPLETE


def test_a_series_that_no_list_has_is_no_proof() -> None:
    held = [series("1"), series("2")]
    assert not decide(held, said(Source.MPPS, "1")).publish
    after = decide(held, said(Source.MPPS, "1"), now=QUIET)
    assert (after.publish, after.verdict) == (True, Verdict.UNKNOWN)


def test_a_list_of_what_was_asked_for_is_no_proof() -> None:
    assert not decide([series("1")], said(Source.PULL, "1", whole=False)).publish


def test_a_sender_that_was_asked_too_early_is_no_proof() -> None:
    held = [series("1", last=5.0)]
    assert not decide(held, said(Source.SENDER_COUNT, "1", at=4.0)).publish
    assert decide(held, said(Source.SENDER_COUNT, "1", at=5.0)).publish


def test_a_procedure_step_in_progress_is_waited_for_but_not_for_ever() -> None:
    step = said(Source.MPPS, at=100.0, final=False)
    waits = decide([series("1")], step, now=4000.0)
    assert (waits.publish, waits.until) == (False, 100.0 + FORGOTTEN_STEP_SECONDS)
    late = decide([series("1")], step, now=100.0 + FORGOTTEN_STEP_SECONDS)
    assert (late.publish, late.verdict) == (True, Verdict.UNKNOWN)


def test_a_series_that_is_not_proven_complete_makes_no_study_complete() -> None:
    held = [series("1", verdict=Verdict.UNKNOWN)]
    assert decide(held, said(Source.MPPS, "1")).verdict is Verdict.UNKNOWN


def test_nothing_is_told_of_twice() -> None:
    held = [series("1")]
    same = decide(held, now=1e6, told=held)
    assert (same.state, same.publish) == (StudyState.READY, False)
    assert decide([*held, series("2")], now=1e6, told=held).publish
    assert decide([series("1", instances=4)], now=1e6, told=held).publish


def test_what_retention_removed_is_not_waited_for_unless_it_is_announced_anew() -> None:
    gone = series("2")
    situation = StudySituation(
        (series("1"),),
        (said(Source.PULL, "1", "2", at=50.0),),
        revision=1,
        told=frozenset({series("1").content, gone.content}),
        told_at=60.0,
    )
    assert decide_study(situation, 1e6, QUIET).publish
    assert not decide_study(replace(situation, told_at=40.0), 1e6, QUIET).publish


def test_a_series_of_the_same_study_of_another_patient_is_not_missing() -> None:
    situation = StudySituation(
        (series("1"),), (said(Source.MPPS, "1", "2"),), elsewhere=frozenset({"2"})
    )
    assert decide_study(situation, 10.0, QUIET).publish


_UIDS = st.sampled_from("12345")
_STATEMENTS = st.builds(
    StudyStatement,
    st.sampled_from([Source.MPPS, Source.PULL, Source.SENDER_COUNT]),
    st.just("PACS"),
    st.floats(0, 100),
    st.booleans(),
    st.booleans(),
    st.frozensets(_UIDS),
)


@given(
    held=st.dictionaries(_UIDS, st.sampled_from(list(SeriesState)), max_size=5),
    statements=st.lists(_STATEMENTS, max_size=4),
    now=st.floats(0, 1e9),
)
def test_a_study_is_never_told_of_before_what_is_known_is_at_rest(
    held: dict[str, SeriesState], statements: list[StudyStatement], now: float
) -> None:
    found = decide([series(uid, state) for uid, state in held.items()], *statements, now=now)
    known = set(held).union(*(one.series for one in statements))
    if found.publish:
        assert known <= {uid for uid, state in held.items() if state in AT_REST}
        assert known
    elif found.until is not None:
        later = decide(
            [series(uid, state) for uid, state in held.items()], *statements, now=found.until
        )
        assert later.publish
