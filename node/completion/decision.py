"""Decides whether a series is complete, held or still to be waited for, by evidence and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from node.completion.peer_evidence import unrecovered
from node.completion.verdict import Finding
from node.core.records import Arrival, AssociationEnd, SeriesState, Verdict

GAPS_FACTOR = 10
"""Missing instances are waited for this many times the quiet time, then they count as lost."""

LONGEST_WAIT_SECONDS = 3600.0
"""A series that grows again after it was assembled without proof waits twice as long each time, up
to this many seconds, so that a slow trickle of instances is not assembled again and again."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The settings of `completion`.

    Attributes:
        quiet: seconds of silence after the last association was released.
        open_quiet: seconds of silence while an association is open, or after an abort.
        incomplete: what to do with proven gaps after the wait.
    """

    quiet: float = 5.0
    open_quiet: float = 60.0
    incomplete: Literal["hold", "convert", "fail"] = "hold"


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision is made from, apart from the evidence.

    Attributes:
        state: of the series.
        last_arrival: when its last instance arrived, seconds since 1970.
        arrivals: what each association brought.
        premature: how many times it was assembled before its last instance arrived.
        held_by: the operator who holds it; empty if none does.
        given_up: whether missing instances were waited for in vain since its last assembly.
        in_progress: whether a peer says that the procedure step still makes images (MPPS).
    """

    state: SeriesState
    last_arrival: float
    arrivals: Sequence[Arrival]
    premature: int = 0
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
    """What to do with a series, and why.

    Attributes:
        action: what to do.
        finding: the verdict and its evidence.
        why: the reason, for an administrator.
        until: for WAIT, when time alone may change the decision, seconds since 1970.
    """

    action: Action
    finding: Finding
    why: str
    until: float | None = None


def decide(situation: Situation, finding: Finding, now: float, timing: Timing) -> Decision:
    """Decide what to do with a series now.

    A pure function: the same knowledge gives the same decision.

    Args:
        situation: the series and how its instances arrived.
        finding: the verdict and its evidence.
        now: seconds since 1970.
        timing: the settings.

    Returns:
        the action with its reason.
    """
    if situation.state is not SeriesState.RECEIVING:
        return Decision(Action.REST, finding, f"the series is {situation.state}")
    if situation.held_by:
        return Decision(Action.HOLD, finding, f"held by {situation.held_by}")
    if finding.verdict is Verdict.COMPLETE:
        return Decision(Action.SETTLE, finding, "proven complete: no timer is waited for")
    if _gaps_are_filled(situation, finding):
        return Decision(Action.SETTLE, finding, "the missing instances have arrived")
    return _decide_by_time(situation, finding, now, timing)


def _decide_by_time(situation: Situation, finding: Finding, now: float, timing: Timing) -> Decision:
    """Decide by the time since the last sign of the series, where nothing proves it complete."""
    until, why = quiet_until(situation, timing)
    if finding.verdict is Verdict.INCOMPLETE:
        patience = timing.quiet * GAPS_FACTOR
        until, why = max(until, _last_sign(situation) + patience), "for the missing instances"
    if now < until:
        return Decision(Action.WAIT, finding, f"waiting {why}", until)
    if finding.verdict is Verdict.UNKNOWN:
        return Decision(Action.SETTLE, finding, f"waited {why}")
    return _with_gaps(finding, timing)


def _gaps_are_filled(situation: Situation, finding: Finding) -> bool:
    """Whether a series that was given up for its gaps has none any more.

    All other instances had ten quiet times to arrive before that, so nothing else is waited for.
    """
    return (
        situation.given_up
        and finding.verdict is Verdict.UNKNOWN
        and not situation.in_progress
        and not any(item.doubt for item in finding.evidence)
        and bool(situation.arrivals)
        and not any(arrival.end is AssociationEnd.OPEN for arrival in situation.arrivals)
        and not unrecovered(situation.arrivals)
    )


def _with_gaps(finding: Finding, timing: Timing) -> Decision:
    """Decide what to do with gaps that were not filled in time."""
    if timing.incomplete == "fail":
        return Decision(Action.GIVE_UP, finding, "instances are missing and did not arrive in time")
    if finding.stopped:
        return Decision(
            Action.SETTLE, finding, "the scan was stopped: its complete volumes are assembled"
        )
    if timing.incomplete == "convert":
        return Decision(
            Action.SETTLE,
            finding,
            "assembled although instances are missing (completion.incomplete: convert)",
        )
    return Decision(Action.HOLD, finding, "held: instances are missing and did not arrive in time")


def quiet_until(situation: Situation, timing: Timing) -> tuple[float, str]:
    """Until when to wait where the verdict is unknown.

    Args:
        situation: the series and how its instances arrived.
        timing: the settings.

    Returns:
        the time, seconds since 1970, and what is waited for, as the end of a sentence.
    """
    arrivals = situation.arrivals
    if any(arrival.end is AssociationEnd.OPEN for arrival in arrivals):
        return (
            situation.last_arrival + timing.open_quiet,
            f"{timing.open_quiet:g} s of silence, because an association is still open",
        )
    base = _last_sign(situation)
    if unrecovered(arrivals):
        return base + timing.open_quiet, f"{timing.open_quiet:g} s after an aborted association"
    if situation.in_progress:
        return (
            base + timing.open_quiet,
            f"{timing.open_quiet:g} s, because the procedure step is in progress",
        )
    quiet = min(timing.quiet * 2**situation.premature, max(timing.quiet, LONGEST_WAIT_SECONDS))
    again = (
        f", because it grew {situation.premature} times after assembly"
        if situation.premature
        else ""
    )
    return base + quiet, f"{quiet:g} s of silence after release{again}"


def _last_sign(situation: Situation) -> float:
    """When the last instance arrived or the last association ended, seconds since 1970."""
    ends = [arrival.ended_at for arrival in situation.arrivals if arrival.ended_at is not None]
    return max([situation.last_arrival, *ends])
