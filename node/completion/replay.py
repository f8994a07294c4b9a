"""Replays recorded arrivals of a series with other settings of `completion`. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from node.completion.decision import Action, Situation, Timing, decide
from node.completion.facts import InstanceFacts, SeriesFacts, Statement
from node.completion.verdict import gather
from node.core.records import Arrival, AssociationEnd, SeriesState

DEBOUNCE_SECONDS = 0.1  # a series is not judged while its instances arrive at shorter intervals


@dataclass(frozen=True, slots=True)
class Recorded:
    """How the instances of one series arrived.

    Attributes:
        uid: Series Instance UID.
        received: the time of each instance, seconds since 1970, ascending, with its facts.
        arrivals: what each association brought.
        brought_by: for each instance its index in `arrivals`; None for an import.
        statements: what peers said of the series.
    """

    uid: str
    received: tuple[tuple[float, InstanceFacts], ...]
    arrivals: tuple[Arrival, ...]
    brought_by: tuple[int | None, ...]
    statements: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What would have been decided with other settings.

    Attributes:
        uid: Series Instance UID.
        decided: when it would have been assembled, held or given up, seconds since its first
            instance.
        cut_short: how many of these decisions came before the last instance.
        delay: seconds from its last instance to the last decision.
        action: the last decision.
    """

    uid: str
    decided: tuple[float, ...]
    cut_short: int
    delay: float
    action: Action


def replay(series: Recorded, timing: Timing) -> Outcome:
    """Decide again, with other settings, at each moment at which something happened.

    Args:
        series: how its instances arrived.
        timing: the settings to try.

    Returns:
        what would have been decided.
    """
    times = [at for at, _ in series.received]
    ends = [arrival.ended_at for arrival in series.arrivals if arrival.ended_at is not None]
    stated = [statement.at for statement in series.statements]
    events = sorted({*times, *ends, *(at for at in stated if at >= times[0])})
    decided: list[float] = []
    early, action, given_up = 0, Action.WAIT, False
    for place, event in enumerate(events):
        upcoming = events[place + 1] if place + 1 < len(events) else float("inf")
        received = sum(at <= event for at in times)
        fresh = event in times
        if not fresh and action is not Action.WAIT:
            continue
        moment = event + (DEBOUNCE_SECONDS if fresh else 0.0)
        if moment > upcoming:
            action = Action.WAIT
            continue
        before = (len(decided), given_up)
        at, action = _decision(series, received, moment, upcoming, timing, before)
        if action is not Action.WAIT:
            given_up = action is not Action.SETTLE
            decided.append(at - times[0])
            early += received < len(times)
    last = decided[-1] + times[0] if decided else times[-1]
    return Outcome(series.uid, tuple(decided), early, last - times[-1], action)


def _decision(
    series: Recorded,
    received: int,
    moment: float,
    upcoming: float,
    timing: Timing,
    before: tuple[int, bool],
) -> tuple[float, Action]:
    """What is decided between a moment and the next event, and when.

    Args:
        received: how many instances had arrived.
        moment, upcoming: from when to when, seconds since 1970.
        before: how many decisions there were, and whether the last one gave up because of gaps.
    """
    facts = SeriesFacts(
        tuple(item for _, item in series.received[:received]),
        tuple(statement for statement in series.statements if statement.at <= moment),
    )
    arrivals = _known(series, received, moment)
    finding = gather(facts, arrivals)
    situation = Situation(
        state=SeriesState.RECEIVING,
        last_arrival=series.received[received - 1][0],
        arrivals=arrivals,
        premature=before[0],
        given_up=before[1],
        in_progress=any(not statement.final for statement in facts.statements),
    )
    decision = decide(situation, finding, moment, timing)
    while decision.action is Action.WAIT and decision.until is not None:
        moment = decision.until
        if moment >= upcoming:
            return moment, Action.WAIT
        decision = decide(situation, finding, moment, timing)
    return moment, decision.action


def _known(series: Recorded, received: int, moment: float) -> list[Arrival]:
    """The associations as they were known at a moment."""
    counts: dict[int, list[float]] = {}
    for (at, _), association in zip(series.received[:received], series.brought_by, strict=False):
        if association is not None:
            counts.setdefault(association, []).append(at)
    return [
        _as_of(moment, series.arrivals[association], times)
        for association, times in sorted(counts.items())
    ]


def _as_of(moment: float, arrival: Arrival, times: list[float]) -> Arrival:
    known = replace(arrival, last_at=times[-1], instances=len(times))
    if arrival.ended_at is None or arrival.ended_at > moment:
        return replace(known, end=AssociationEnd.OPEN, ended_at=None)
    return known
