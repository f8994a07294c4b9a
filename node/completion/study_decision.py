"""Decides whether all series of a study are there and at rest, by evidence and time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from node.completion.facts import Evidence, Source
from node.core.records import AT_REST, SeriesState, StudyState, Verdict

FORGOTTEN_STEP_SECONDS: Final = 6 * 3600.0
"""A procedure step that is in progress is waited for no longer after its last message: scanners
forget to end steps, and no examination pauses for that long."""
_JUDGING_SECONDS: Final = 1.0  # that the watcher may take to judge a series again
_MOST_NAMED: Final = 5
_ORDER: Final = (Verdict.INCOMPLETE, Verdict.UNKNOWN, Verdict.COMPLETE)


@dataclass(frozen=True, slots=True)
class StudySeries:
    """A series of a study.

    Attributes:
        uid: Series Instance UID.
        address: its UID, or its UID with a part if several series have that UID.
        state: of the series.
        verdict: of its completeness.
        revision: that is published; 0: none.
        instances: how many it has.
        last_arrival: when its last instance arrived, seconds since 1970.
        outputs: its files, relative to the output folder.
        judged_again: whether it is at rest, but new evidence on it has not been judged yet.
    """

    uid: str
    address: str
    state: SeriesState
    verdict: Verdict
    revision: int
    instances: int
    last_arrival: float
    outputs: tuple[str, ...] = ()
    judged_again: bool = False

    @property
    def content(self) -> tuple[str, str, int, int]:
        """Equal as long as nothing about the series has changed that a study's event tells."""
        return self.address, str(self.state), self.revision, self.instances


@dataclass(frozen=True, slots=True)
class StudyStatement:
    """What a peer said of which series a study has.

    Attributes:
        source: one of SENDER_COUNT, MPPS, INSTANCE_AVAILABILITY, PULL.
        by: the peer, as it is shown to people.
        at: when the peer said it, seconds since 1970.
        final: False while the procedure step is in progress, so that more series may follow.
        whole: whether the list is of all series that the peer knows; False: of those asked for.
        series: the Series Instance UIDs.
    """

    source: Source
    by: str
    at: float
    final: bool = True
    whole: bool = True
    series: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class StudySituation:
    """What is known of a study.

    Attributes:
        series: its series in the index.
        statements: what peers said of it.
        last_sign: when its last instance arrived or the last association that carried one of its
            series ended, seconds since 1970.
        revision: of the last `study-ready`; 0: there was none.
        told: the `content` of each series in the last `study-ready`.
        told_at: when that was, seconds since 1970.
        elsewhere: Series Instance UIDs that came under the same Study Instance UID, but with
            another patient.
    """

    series: tuple[StudySeries, ...]
    statements: tuple[StudyStatement, ...] = ()
    last_sign: float = 0.0
    revision: int = 0
    told: frozenset[tuple[str, str, int, int]] = frozenset()
    told_at: float = 0.0
    elsewhere: frozenset[str] = frozenset()

    def missing(self, said: StudyStatement) -> set[str]:
        """The series that a statement names and that have not been received.

        A series that was told of and that retention has removed since does not come again, unless
        it is announced anew.
        """
        held = {one.address for one in self.series}
        known = {one.uid for one in self.series} | self.elsewhere
        if said.at <= self.told_at:
            gone = (address for address, *_ in self.told if address not in held)
            known |= {address.partition("~")[0] for address in gone}
        return set(said.series - known)


@dataclass(frozen=True, slots=True)
class StudyDecision:
    """What a study is now, and why.

    Attributes:
        state: the state that follows.
        publish: whether `study-ready` is to be told of.
        verdict: complete, incomplete or unknown.
        evidence: what speaks for it, and against.
        why: the reason, for an administrator.
        until: when time alone may change the decision, seconds since 1970; None: never.
    """

    state: StudyState
    publish: bool
    verdict: Verdict
    evidence: tuple[Evidence, ...]
    why: str
    until: float | None = None


def decide_study(situation: StudySituation, now: float, quiet: float) -> StudyDecision:
    """Decide whether a study is ready now.

    A pure function: the same knowledge gives the same decision.

    Args:
        situation: what is known of the study.
        now: seconds since 1970.
        quiet: `completion.study_quiet_seconds`.
    """
    named = frozenset(uid for one in situation.statements if one.whole for uid in one.series)
    evidence = (*_announcements(situation, named), *_exceptions(situation.series))
    moving = [one for one in situation.series if one.state not in AT_REST or one.judged_again]

    def waiting(why: str, verdict: Verdict, until: float | None = None) -> StudyDecision:
        state = StudyState.RECEIVING if moving else StudyState.WAITING
        return StudyDecision(state, False, verdict, evidence, why, until)

    if not situation.series:
        return waiting("no series of it is in the index", Verdict.UNKNOWN)
    if moving:
        soon = now + _JUDGING_SECONDS if all(one.state in AT_REST for one in moving) else None
        return waiting(f"{len(moving)} series are not at rest yet", Verdict.UNKNOWN, soon)
    missing = {uid for one in situation.statements for uid in situation.missing(one)}
    if missing:
        return waiting(f"waiting for {_listed(missing)}, which was announced", Verdict.INCOMPLETE)
    until, what = _quiet_until(situation, named, quiet)
    if now < until:
        return waiting(f"waiting {what}", Verdict.UNKNOWN, until)
    verdict, why = _verdict(situation.series, proven=until == 0.0), what
    changed = frozenset(one.content for one in situation.series) != situation.told
    if situation.revision and not changed:
        why = "ready, and nothing has changed since it was told of"
    return StudyDecision(
        StudyState.READY, changed or not situation.revision, verdict, evidence, why
    )


def _quiet_until(
    situation: StudySituation, named: frozenset[str], quiet: float
) -> tuple[float, str]:
    """Until when to wait, seconds since 1970 or 0 for not at all, and what for."""
    steps = [one for one in situation.statements if not one.final]
    if steps:
        until = max(one.at for one in steps) + FORGOTTEN_STEP_SECONDS
        return (
            max(until, situation.last_sign + quiet),
            f"for the end of a procedure step of {steps[0].by}, at most "
            f"{FORGOTTEN_STEP_SECONDS / 3600:g} hours after its last message",
        )
    others = [one.uid for one in situation.series if one.uid not in named]
    if not others and _is_current(situation):
        return 0.0, "all announced series are at rest, and there is no other: no timer"
    why = "nothing announced its series" if not named else f"{_listed(others)} was not announced"
    if named and not others:
        why = "the sender was asked before the last instance arrived"
    return situation.last_sign + quiet, f"{quiet:g} s of silence in the whole study: {why}"


def _is_current(situation: StudySituation) -> bool:
    """Whether the list can be of all: a sender lists only what it had when it was asked."""
    asked = [one.at for one in situation.statements if one.source is Source.SENDER_COUNT]
    others = any(one.source is not Source.SENDER_COUNT for one in situation.statements)
    last = max(one.last_arrival for one in situation.series)
    return others or (bool(asked) and max(asked) >= last)


def _verdict(series: Iterable[StudySeries], *, proven: bool) -> Verdict:
    """The weakest of what is known of the list of series, and of each series."""
    whole = Verdict.COMPLETE if proven else Verdict.UNKNOWN
    return min([whole, *(one.verdict for one in series)], key=_ORDER.index)


def _announcements(situation: StudySituation, named: frozenset[str]) -> Iterator[Evidence]:
    held = {one.uid: one for one in situation.series}
    for said in sorted(situation.statements, key=lambda one: one.at):
        if not said.final:
            sentence = f"{said.by} says that a procedure step of the study is in progress"
            yield Evidence(said.source, Verdict.UNKNOWN, sentence)
        missing = situation.missing(said)
        moving = [uid for uid in said.series if uid in held and held[uid].state not in AT_REST]
        count = len(said.series)
        if missing:
            sentence = f"{said.by} names {count} series; not received: {_listed(missing)}"
            detail: dict[str, Any] = {"missing_series": sorted(missing)}
            yield Evidence(said.source, Verdict.INCOMPLETE, sentence, detail=detail)
        elif moving:
            sentence = f"{said.by} names {count} series; not at rest: {_listed(moving)}"
            yield Evidence(said.source, Verdict.UNKNOWN, sentence)
        elif said.series and said.final:
            says = Verdict.COMPLETE if set(held) <= named else Verdict.UNKNOWN
            yield Evidence(said.source, says, f"{said.by} names {count} series; all are at rest")
    if not situation.statements:
        sentence = "nobody said which series the study has; only silence shows its end"
        yield Evidence(Source.QUIET, Verdict.UNKNOWN, sentence)


def _exceptions(series: Sequence[StudySeries]) -> Iterator[Evidence]:
    """The series at rest that have no volumes because something is wrong, or lack instances."""
    for one in series:
        if one.state in (SeriesState.FAILED, SeriesState.HELD):
            detail = {"series": one.address, "state": str(one.state)}
            sentence = f"series {one.address} is {one.state}"
            yield Evidence(Source.SERIES, Verdict.INCOMPLETE, sentence, detail=detail)
        elif one.state in AT_REST and one.verdict is Verdict.INCOMPLETE:
            sentence = f"series {one.address} lacks instances"
            detail = {"series": one.address, "state": str(one.state)}
            yield Evidence(Source.SERIES, Verdict.INCOMPLETE, sentence, detail=detail)


def _listed(uids: Iterable[str]) -> str:
    ordered = sorted(uids)
    more = f" and {len(ordered) - _MOST_NAMED} more" if len(ordered) > _MOST_NAMED else ""
    return f"series {', '.join(ordered[:_MOST_NAMED])}{more}"
