"""The completion loop: judges the series that are due, and has settled series assembled.

Every decision is made from the index, so that a restart forgets nothing. One thread does it all, in
`CompletionWatcher.step`, with the time of an injected clock, so that tests need neither threads nor
waiting.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from node.completion.decision import Action, Decision, Situation, Timing, decide
from node.completion.facts import SeriesFacts
from node.completion.states import Event, follow
from node.completion.verdict import Finding, gather
from node.core.errors import Retryable, error_reference, traced
from node.core.fault_points import fault_point
from node.core.records import Arrival, SeriesRecord, SeriesState, Verdict
from node.core.supervision import Loop, background
from node.core.system.wall_clock import ClockWatch
from node.lifecycle.assembly.outcomes import Outcomes
from node.lifecycle.assembly.precompression import Precompression
from node.lifecycle.assembly.scheduler import AssemblyScheduler
from node.lifecycle.evidence_loader import EvidenceLoader
from node.lifecycle.log_fields import series_fields
from node.lifecycle.split_runs import SplitRuns
from node.storage.index.series.series_queries import COMPLETION
from node.storage.index.series.work import Work

log = logging.getLogger(__name__)

ACTOR = COMPLETION
DEBOUNCE_SECONDS = 0.1  # a series is not judged while its instances arrive at shorter intervals
DEBOUNCE_PER_INSTANCE = 50e-6  # seconds; judging a large series again and again stays cheap by it
GROWTH = 1.1  # a series whose associations have ended is judged at once if it grew by this factor
PACE_SECONDS = 0.02  # between two steps, so that several instances of a fast sender share one
POLL_SECONDS = 0.5  # how late changes by other receiver processes may be noticed
_MOST_PER_STEP = 1000  # series
_EVENTS = {
    Action.SETTLE: Event.SETTLE,
    Action.HOLD: Event.HOLD,
    Action.GIVE_UP: Event.GIVE_UP,
}


class CountQuery(Protocol):
    """Asks senders how many instances a series has: `node.lifecycle.sender_count_query`."""

    def consider(
        self, series: SeriesRecord, facts: SeriesFacts, arrivals: Sequence[Arrival], now: float
    ) -> None:
        """Ask a sender of the series, if that can help and was not done yet.

        Args:
            series: the series.
            facts: its instances and what peers said of it.
            arrivals: what each association brought.
            now: seconds since 1970.
        """
        ...


class CompletionWatcher:
    """Decides when series are complete.

    Args:
        work: the series in the index.
        evidence_loader: reads the facts of a series.
        assembly_scheduler: assembles settled series.
        outcomes: records that a series is held or failed.
        precompression: compresses slices of series that are still being received.
        split_runs: joins runs that a scanner split into series.
        timing: returns the settings for the AE titles that sent a series.
        clock: returns seconds since 1970.
        count_query: asks senders for counts; None: no sender is asked.
        woken: is set when something has happened to a series.
        stepped: called after each step.
        judge_studies: judges the studies that are due by the time it is given, and returns when
            the next one is due.
        bring_back: called with the time when the clock may have been set back: see
            `node.storage.index.series.clock_correction`.
        monotonic: returns seconds of a monotonic clock.
    """

    def __init__(
        self,
        work: Work,
        evidence_loader: EvidenceLoader,
        assembly_scheduler: AssemblyScheduler,
        outcomes: Outcomes,
        precompression: Precompression,
        split_runs: SplitRuns,
        *,
        timing: Callable[[Sequence[str]], Timing],
        clock: Callable[[], float],
        count_query: CountQuery | None,
        woken: threading.Event,
        stepped: Callable[[], None] = lambda: None,
        judge_studies: Callable[[float], float | None] = lambda _now: None,
        bring_back: Callable[[float], int] = lambda _now: 0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bring_back = bring_back
        self._clock_watch = ClockWatch(clock, monotonic)
        self._work = work
        self._evidence_loader = evidence_loader
        self._assembly_scheduler = assembly_scheduler
        self._outcomes = outcomes
        self._precompression = precompression
        self._split_runs = split_runs
        self._timing = timing
        self._clock = clock
        self._count_query = count_query
        self._woken = woken
        self._stepped = stepped
        self._judge_studies = judge_studies
        self._loop = Loop("watcher", self.step, pace=PACE_SECONDS, woken=woken)
        self._judged: dict[int, int] = {}  # by series: its instances when it was last judged

    def start(self) -> None:
        """Recover what an earlier run of the node left unfinished, and start the loop."""
        self.prepare()
        self._loop.start()
        # Beside the loop: series are judged while the worker starts.
        background("first assembly worker", self._assembly_scheduler.warm_up)

    def prepare(self) -> None:
        """Queue every series again that an earlier run of the node left in assembly."""
        self._assembly_scheduler.prepare()
        now = self._clock()
        for series in self._work.in_state(SeriesState.ASSEMBLING):
            self._assembly_scheduler.recover(series, now)

    def wake(self) -> None:
        """Look now: something has happened to a series."""
        self._woken.set()

    def stop(self, timeout: float) -> None:
        """Start no assembly, publish those that end within `timeout` seconds, requeue the rest."""
        deadline = time.monotonic() + timeout
        self._loop.stop(timeout)
        while self._assembly_scheduler.running and time.monotonic() < deadline:
            self._woken.wait(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))
            self._woken.clear()
            self._assembly_scheduler.collect(self._clock())
        self._assembly_scheduler.stop(self._clock())
        self._stepped()

    def step(self) -> float:
        """Judge every series that is due, and start and publish assemblies.

        Returns:
            the seconds until the next series is due, if nothing happens.
        """
        now = self._clock()
        if self._clock_watch.set_back() and (count := self._bring_back(now)):
            log.warning("the system's clock was set back; the node judges %d series again", count)
        self._assembly_scheduler.collect(now)
        wait = POLL_SECONDS
        for series in self._work.due(now, _MOST_PER_STEP):
            seconds = self._debounce(series)
            if 0 <= now - series.last_arrival < seconds:
                wait = min(wait, series.last_arrival + seconds - now)
                self._read_ahead(series, now)
                continue
            if series.state is SeriesState.RECEIVING:
                self._judged[series.pk] = series.instances
            self._judge_guarded(series, now)
            self._loop.heartbeat.beat()
        if self._assembly_scheduler.free:
            settled = self._work.settled(now, _MOST_PER_STEP)
            for series in self._split_runs.startable(settled, now, self._loop.heartbeat.beat):
                if self._assembly_scheduler.free:
                    self._assembly_scheduler.start(series, now)
        next_study = self._judge_studies(now)
        if next_study is not None:
            wait = min(wait, max(0.0, next_study - now))
        self._stepped()
        if self._precompression.expects_more(now):
            wait = min(wait, DEBOUNCE_SECONDS)
        due = self._work.next_due()
        return wait if due is None or due <= now else min(wait, due - now)

    def _debounce(self, series: SeriesRecord) -> float:
        """How many seconds after its last instance a series is judged."""
        if series.state is not SeriesState.RECEIVING:
            return 0.0
        ended = series.due is not None and series.due > series.last_arrival
        if ended and series.instances >= GROWTH * self._judged.get(series.pk, 0):
            return 0.0
        return max(DEBOUNCE_SECONDS, DEBOUNCE_PER_INSTANCE * series.instances)

    def _read_ahead(self, series: SeriesRecord, now: float) -> None:
        try:
            self._evidence_loader.catch_up(series.pk)
            self._precompression.compress(series, now)
        except Retryable:
            raise
        except Exception as error:  # noqa: BLE001  it is met again when the series is judged
            log.debug("cannot read series %s ahead: %s", series.address, traced(error))

    def _judge_guarded(self, series: SeriesRecord, now: float) -> None:
        """Judge a series; one that cannot be judged must not stop the others."""
        try:
            self._judge(series, now)
        except Retryable:
            raise
        except Exception as error:  # noqa: BLE001  whatever a header contains, the loop goes on
            reference = error_reference(error)
            log.error(
                "the evidence of series %s could not be judged because of an unexpected error "
                "(reference %s); the node assembles it as it is; please report it: %s",
                series.address,
                reference,
                traced(error),
                extra=series_fields(series),
            )
            kind = type(error).__name__
            why = f"assembled without a verdict: the evidence could not be judged ({kind})"
            verdict = {"verdict": str(Verdict.UNKNOWN), "why": why, "reasons": []}
            self._judged.pop(series.pk, None)
            if series.state is SeriesState.RECEIVING:
                state = follow(series.state, Event.SETTLE)
                self._work.move(series, state, now=now, actor=ACTOR, verdict=verdict)
            else:
                self._work.look_again(series, None)

    def _judge(self, series: SeriesRecord, now: float) -> None:
        if series.state is SeriesState.ASSEMBLING:
            self._assembly_scheduler.recover(series, now)
            return
        if series.state is SeriesState.SETTLED:
            return
        facts = self._evidence_loader.facts(series.pk, series.uid)
        arrivals = self._work.arrivals(series.pk)
        finding = gather(facts, arrivals)
        history = self._work.background(series.pk)
        situation = Situation(
            state=series.state,
            last_arrival=series.last_arrival,
            arrivals=arrivals,
            premature=history.assembled,
            held_by=history.held_by,
            given_up=history.given_up,
            in_progress=any(not statement.final for statement in facts.statements),
        )
        timing = self._timing(sorted({arrival.calling_ae for arrival in arrivals}))
        decision = decide(situation, finding, now, timing)
        given_up = decision.action in (Action.HOLD, Action.GIVE_UP) and not history.held_by
        if given_up and self._assembly_scheduler.is_contradictory(series):
            why = "the missing instances arrived under another study or patient"
            decision = replace(decision, action=Action.SETTLE, why=why)
        self._act(series, decision, bool(history.held_by), now)
        if decision.action is Action.WAIT and self._count_query is not None:
            self._count_query.consider(series, facts, arrivals, now)

    def _act(self, series: SeriesRecord, decision: Decision, held: bool, now: float) -> None:
        verdict = verdict_record(decision.finding, decision.why, now)
        if decision.action is Action.WAIT:
            self._work.look_again(series, decision.until, verdict)
            self._precompression.compress(series, now)
            return
        if decision.action is Action.REST:
            # The evidence is new; why the series is in its state is not.
            self._work.look_again(series, None, {**verdict, **_kept(series.verdict or {})})
            return
        state = follow(series.state, _EVENTS[decision.action])
        if decision.action is Action.SETTLE:
            detail = {"verdict": verdict["verdict"], "why": decision.why}
            self._work.move(series, state, now=now, actor=ACTOR, detail=detail, verdict=verdict)
            log.info(
                "series %s is settled (%s): %s",
                series.address,
                verdict["verdict"],
                decision.why,
                extra=series_fields(series),
            )
        elif held:
            self._outcomes.record(series, state, verdict, now, ACTOR)
        else:
            self._outcomes.withdraw(series, state, verdict, now, ACTOR)
        if decision.action is not Action.SETTLE:
            self._precompression.discard(series.pk)
        fault_point(f"decided-{state}")
        self._evidence_loader.forget(series.pk)
        self._judged.pop(series.pk, None)


def _kept(verdict: dict[str, Any]) -> dict[str, Any]:
    return {key: verdict[key] for key in verdict if key not in {"verdict", "reasons", "at"}}


def verdict_record(finding: Finding, why: str, now: float) -> dict[str, Any]:
    """A verdict as it is stored in the index and in manifests.

    Args:
        finding: the verdict and its evidence.
        why: the reason for the decision, for an administrator.
        now: when it was made, seconds since 1970.

    Returns:
        the record, of values that JSON knows.
    """
    return {
        "verdict": str(finding.verdict),
        "why": why,
        "at": now,
        "reasons": finding.reasons(),
    }
