"""What follows from the evidence: the states' one table, and the decision at a moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from node.completion.evidence import Finding
from node.completion.peers import unrepaired
from node.core.errors import Permanent
from node.core.records import Arrival, AssociationEnd, SeriesState, Verdict

GAPS_FACTOR = 10
"""Proven gaps are given this many times the quiet time before they are taken for lost."""

LONGEST_PATIENCE = 3600.0
"""Seconds. A series that keeps growing after it was assembled without proof waits twice as long
each time, so that a trickle is not assembled at every drop; never longer than this."""


class Event(StrEnum):
    """What can happen to a series."""

    INSTANCE = "instance"  # a new or conflicting instance was stored
    SETTLE = "settle"  # nothing more is waited for
    HOLD = "hold"  # proven gaps, and the setting says hold; or a person says so
    GIVE_UP = "give-up"  # proven gaps, and the setting says fail
    START = "start"  # an executor took it
    PUBLISH = "publish"  # its volumes are visible, or were already
    REFUSE = "refuse"  # it is no volume, and assembly said why
    CRASH = "crash"  # assembly failed in a way that trying again does not help
    REQUEUE = "requeue"  # the executor died or was stopped, or the disk was full
    REFERENCE = "reference"  # the series whose voxels it labels became another volume
    FORCE = "force"  # a person: assemble as it stands
    RETRY = "retry"  # a person: assemble again
    RELEASE = "release"  # a person: decide again by the evidence


_S = SeriesState
_AT_REST = (_S.READY, _S.NOT_A_VOLUME, _S.FAILED, _S.HELD)

TRANSITIONS: Mapping[tuple[SeriesState, Event], SeriesState] = MappingProxyType(
    {
        **{(state, Event.INSTANCE): _S.RECEIVING for state in _S},
        (_S.RECEIVING, Event.SETTLE): _S.SETTLED,
        (_S.RECEIVING, Event.GIVE_UP): _S.FAILED,
        **{(state, Event.HOLD): _S.HELD for state in _S},
        (_S.SETTLED, Event.START): _S.ASSEMBLING,
        (_S.ASSEMBLING, Event.PUBLISH): _S.READY,
        (_S.ASSEMBLING, Event.REFUSE): _S.NOT_A_VOLUME,
        (_S.ASSEMBLING, Event.CRASH): _S.FAILED,
        (_S.ASSEMBLING, Event.REQUEUE): _S.SETTLED,
        (_S.READY, Event.REFERENCE): _S.SETTLED,
        (_S.NOT_A_VOLUME, Event.REFERENCE): _S.SETTLED,
        (_S.RECEIVING, Event.FORCE): _S.SETTLED,
        **{(state, Event.FORCE): _S.SETTLED for state in _AT_REST},
        **{(state, Event.RETRY): _S.SETTLED for state in _AT_REST if state is not _S.HELD},
        (_S.HELD, Event.RETRY): _S.RECEIVING,
        (_S.HELD, Event.RELEASE): _S.RECEIVING,
    }
)
"""Every transition there is; (state, event) -> state. SPEC 7 is the picture of it."""


class NotNow(Permanent):
    """The series is in a state in which this cannot be done to it."""


def follow(state: SeriesState, event: Event) -> SeriesState:
    """The state that `event` leads to.

    Raises:
        NotNow: the table has no such transition.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise NotNow(f"a series that is {state} cannot be taken through {event}") from None


@dataclass(frozen=True, slots=True)
class Timing:
    """How long to wait, in seconds, and what to do with proven gaps after the wait."""

    quiet: float = 5.0
    open_quiet: float = 60.0
    incomplete: Literal["hold", "convert", "fail"] = "hold"


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision is made from, apart from the evidence.

    Attributes:
        unproven: how many times it was assembled already although it turned out to grow.
        held_by: the person who holds it, or nobody.
        given_up: gaps were waited for in vain since it was last assembled, if it ever was.
        in_progress: a peer says that more is being made (MPPS).
    """

    state: SeriesState
    last_arrival: float
    arrivals: Sequence[Arrival]
    unproven: int = 0
    held_by: str = ""
    given_up: bool = False
    in_progress: bool = False


class Action(StrEnum):
    """What to do with a series now."""

    WAIT = "wait"
    SETTLE = "settle"
    HOLD = "hold"
    GIVE_UP = "give-up"
    REST = "rest"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, when to look again, and why.

    Attributes:
        until: for WAIT, when the decision may become another one without any news.
    """

    action: Action
    finding: Finding
    why: str
    until: float | None = None


def decide(situation: Situation, finding: Finding, now: float, timing: Timing) -> Decision:
    """What to do with a series. A pure function: the same knowledge gives the same decision."""
    if situation.state is not SeriesState.RECEIVING:
        return Decision(Action.REST, finding, f"the series is {situation.state}")
    if situation.held_by:
        return Decision(Action.HOLD, finding, f"held by {situation.held_by}")
    if finding.verdict is Verdict.COMPLETE:
        return Decision(Action.SETTLE, finding, "proven to be complete: no timer is waited for")
    if _filled(situation, finding):
        return Decision(Action.SETTLE, finding, "what was missing has come")
    return _decide_by_time(situation, finding, now, timing)


def _decide_by_time(situation: Situation, finding: Finding, now: float, timing: Timing) -> Decision:
    """What follows from silence where nothing proves the whole."""
    until, why = quiet_until(situation, timing)
    if finding.verdict is Verdict.INCOMPLETE:
        patience = timing.quiet * GAPS_FACTOR
        until, why = max(until, _last_sign(situation) + patience), "for what is missing"
    if now < until:
        return Decision(Action.WAIT, finding, f"waiting {why}", until)
    if finding.verdict is Verdict.UNKNOWN:
        return Decision(Action.SETTLE, finding, f"waited {why}")
    return _give_in(finding, timing)


def _filled(situation: Situation, finding: Finding) -> bool:
    """Whether a series that was given up for its gaps has none any more.

    Everything else had ten quiet times to come before that: what fills the gaps is the end of it.
    """
    return (
        situation.given_up
        and finding.verdict is Verdict.UNKNOWN
        and not situation.in_progress
        and not any(item.doubt for item in finding.evidence)
        and bool(situation.arrivals)
        and not any(arrival.end is AssociationEnd.OPEN for arrival in situation.arrivals)
        and not unrepaired(situation.arrivals)
    )


def _give_in(finding: Finding, timing: Timing) -> Decision:
    """What to do with proven gaps that nothing has filled in time."""
    if timing.incomplete == "fail":
        return Decision(Action.GIVE_UP, finding, "something is missing and did not come in time")
    if finding.stopped:
        return Decision(Action.SETTLE, finding, "a stopped scan: its whole volumes are made")
    if timing.incomplete == "convert":
        return Decision(Action.SETTLE, finding, "converted although something is missing")
    return Decision(Action.HOLD, finding, "held, as something is missing and did not come in time")


def quiet_until(situation: Situation, timing: Timing) -> tuple[float, str]:
    """Until when silence proves nothing yet, and why so long."""
    arrivals = situation.arrivals
    if any(arrival.end is AssociationEnd.OPEN for arrival in arrivals):
        return (
            situation.last_arrival + timing.open_quiet,
            f"{timing.open_quiet:g} s of silence, as an association is still open",
        )
    base = _last_sign(situation)
    if unrepaired(arrivals):
        return base + timing.open_quiet, f"{timing.open_quiet:g} s after an aborted association"
    if situation.in_progress:
        return base + timing.open_quiet, f"{timing.open_quiet:g} s, as the scan is in progress"
    quiet = min(timing.quiet * 2**situation.unproven, max(timing.quiet, LONGEST_PATIENCE))
    again = f", as it grew {situation.unproven} times before" if situation.unproven else ""
    return base + quiet, f"{quiet:g} s of silence after release{again}"


def _last_sign(situation: Situation) -> float:
    """The last time that anything was heard of the series."""
    ends = [arrival.ended_at for arrival in situation.arrivals if arrival.ended_at is not None]
    return max([situation.last_arrival, *ends])
