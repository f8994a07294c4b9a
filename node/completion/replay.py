"""What other settings would have made of arrivals that were recorded. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from node.completion.evidence import gather
from node.completion.facts import InstanceFacts, SeriesFacts, Statement
from node.completion.policy import Action, Situation, Timing, decide
from node.core.records import Arrival, AssociationEnd, SeriesState

BREATH_SECONDS = 0.1  # a series is not judged while its instances follow each other this closely


@dataclass(frozen=True, slots=True)
class Recorded:
    """How one series came.

    Attributes:
        came: each instance with the time when it came, in that order.
        arrivals: each association with its number among `carriers`.
        carriers: for each instance which of `arrivals` brought it; None for an import.
    """

    uid: str
    came: tuple[tuple[float, InstanceFacts], ...]
    arrivals: tuple[Arrival, ...]
    carriers: tuple[int | None, ...]
    statements: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a setting would have made of a series.

    Attributes:
        decided: when it would have been assembled, held or given up, seconds since its first
            instance came.
        cut_short: at how many of these times there was more to come.
        delay: seconds from its last instance to the last decision.
        action: the last decision.
    """

    uid: str
    decided: tuple[float, ...]
    cut_short: int
    delay: float
    action: Action


def replay(series: Recorded, timing: Timing) -> Outcome:
    """Go through a series' arrivals again, with another timing."""
    times = [at for at, _ in series.came]
    ends = [arrival.ended_at for arrival in series.arrivals if arrival.ended_at is not None]
    said = [statement.at for statement in series.statements]
    events = sorted({*times, *ends, *(at for at in said if at >= times[0])})
    decided: list[float] = []
    early, action, given_up = 0, Action.WAIT, False
    for place, event in enumerate(events):
        upcoming = events[place + 1] if place + 1 < len(events) else float("inf")
        here = sum(at <= event for at in times)
        fresh = event in times
        if not fresh and action is not Action.WAIT:
            continue
        moment = event + (BREATH_SECONDS if fresh else 0.0)
        if moment > upcoming:
            action = Action.WAIT
            continue
        before = (len(decided), given_up)
        at, action = _decision(series, here, moment, upcoming, timing, before)
        if action is not Action.WAIT:
            given_up = action is not Action.SETTLE
            decided.append(at - times[0])
            early += here < len(times)
    last = decided[-1] + times[0] if decided else times[-1]
    return Outcome(series.uid, tuple(decided), early, last - times[-1], action)


def _decision(
    series: Recorded,
    here: int,
    moment: float,
    upcoming: float,
    timing: Timing,
    before: tuple[int, bool],
) -> tuple[float, Action]:
    """What is decided between a moment and the next event, and when.

    Args:
        before: how many decisions there were, and whether the last gave up for gaps.
    """
    facts = SeriesFacts(
        tuple(item for _, item in series.came[:here]),
        tuple(statement for statement in series.statements if statement.at <= moment),
    )
    arrivals = _known(series, here, moment)
    finding = gather(facts, arrivals)
    situation = Situation(
        state=SeriesState.RECEIVING,
        last_arrival=series.came[here - 1][0],
        arrivals=arrivals,
        unproven=before[0],
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


def _known(series: Recorded, here: int, moment: float) -> list[Arrival]:
    """The associations as they looked at a moment."""
    counts: dict[int, list[float]] = {}
    for (at, _), carrier in zip(series.came[:here], series.carriers, strict=False):
        if carrier is not None:
            counts.setdefault(carrier, []).append(at)
    return [
        _as_of(moment, series.arrivals[carrier], times) for carrier, times in sorted(counts.items())
    ]


def _as_of(moment: float, arrival: Arrival, times: list[float]) -> Arrival:
    known = replace(arrival, last_at=times[-1], instances=len(times))
    if arrival.ended_at is None or arrival.ended_at > moment:
        return replace(known, end=AssociationEnd.OPEN, ended_at=None)
    return known
