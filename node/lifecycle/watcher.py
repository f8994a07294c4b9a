"""Completion's loop: looks at series that are due, decides by the evidence, sees to assembly.

Everything is decided from the index, so that a restart forgets nothing. One thread; `step` is all
that it does, with the time as the clock says, so that tests need no thread and no waiting.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from node.completion.evidence import Finding, gather
from node.completion.facts import SeriesFacts
from node.completion.policy import Action, Decision, Event, Situation, Timing, decide, follow
from node.convert import OutputOptions
from node.core.errors import Retryable, traced
from node.core.fault_points import fault_point
from node.core.records import Arrival, SeriesRecord, SeriesState, Verdict
from node.core.supervision import Loop, background
from node.core.system.disk import free_bytes
from node.core.system.wall_clock import ClockWatch
from node.deliver.publish import Publisher
from node.lifecycle.assembly.label_references import LabelReferences
from node.lifecycle.assembly.names import Names
from node.lifecycle.assembly.outcome import Outcomes
from node.lifecycle.assembly.precompression import Apart, Precompression
from node.lifecycle.assembly.scheduler import AssemblyScheduler, Executor
from node.lifecycle.evidence_loader import EvidenceLoader
from node.lifecycle.publisher import EventPublisher, Rules
from node.storage.index.engine import Index
from node.storage.index.peers.statements import Statements
from node.storage.index.series.clock_correction import correct_future_times
from node.storage.index.series.damages import Damages
from node.storage.index.series.namesakes import Namesakes
from node.storage.index.series.publications import Publications
from node.storage.index.series.references import References
from node.storage.index.series.series_reader import COMPLETION
from node.storage.index.series.work import Work

log = logging.getLogger(__name__)

ACTOR = COMPLETION
BREATH_SECONDS = 0.1  # a series is not looked at while instances follow each other this closely
BREATH_PER_INSTANCE = 50e-6  # seconds: so that judging a large series again and again stays cheap
GROWTH = 1.1  # but at once if its association has ended, once it has grown so much since it was
PACE_SECONDS = 0.02  # between two steps, so that a fast sender's instances share one
POLL_SECONDS = 0.5  # how late news from other receiver processes may be noticed
_LOOK_AT_MOST = 1000  # series in one step
_EVENTS = {
    Action.SETTLE: Event.SETTLE,
    Action.HOLD: Event.HOLD,
    Action.GIVE_UP: Event.GIVE_UP,
}


class CountQuery(Protocol):
    """Asks senders how many instances they have of a series: see `node.lifecycle.sender_counts`."""

    def consider(
        self, series: SeriesRecord, facts: SeriesFacts, arrivals: Sequence[Arrival], now: float
    ) -> None:
        """Ask whoever sent the series, if that can help and has not been done."""
        ...


class Watcher:
    """Decides when series are whole.

    Args:
        timing: for the AE titles that a series came from, how long to wait.
        inquirer: None asks nobody.
        clock: seconds since 1970.
        woken: set by whoever has news for the watcher.
        stepped: called when something may have been done.
        bring_back: called with the time when the clock may have been set back: see
            `node.storage.index.series.clock_correction`.
        steady: seconds, monotonic.
    """

    def __init__(
        self,
        work: Work,
        observer: EvidenceLoader,
        assembly_scheduler: AssemblyScheduler,
        outcomes: Outcomes,
        *,
        timing: Callable[[Sequence[str]], Timing],
        clock: Callable[[], float],
        inquirer: CountQuery | None,
        woken: threading.Event,
        stepped: Callable[[], None] = lambda: None,
        bring_back: Callable[[float], int] = lambda _now: 0,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bring_back = bring_back
        self._clock_watch = ClockWatch(clock, steady)
        self._work = work
        self._observer = observer
        self._assembly_scheduler = assembly_scheduler
        self._outcomes = outcomes
        self._timing = timing
        self._clock = clock
        self._inquirer = inquirer
        self._woken = woken
        self._stepped = stepped
        self._loop = Loop("watcher", self.step, pace=PACE_SECONDS, woken=woken)
        self._judged: dict[int, int] = {}  # instances of each series when it was looked at

    def start(self) -> None:
        """Take back what a dead owner left in the middle, and start to watch."""
        self.prepare()
        self._loop.start()
        # What came meanwhile is judged meanwhile.
        background("first assembly worker", self._assembly_scheduler.warm_up)

    def prepare(self) -> None:
        """Take back every series that another run of the node left in assembly."""
        self._assembly_scheduler.prepare()
        now = self._clock()
        for series in self._work.in_state(SeriesState.ASSEMBLING):
            self._assembly_scheduler.take_back(series, now)

    def wake(self) -> None:
        """Something happened: do not wait for the next time that a series is due."""
        self._woken.set()

    def stop(self, timeout: float) -> None:
        """Start nothing more, publish what is done within `timeout` seconds, requeue the rest."""
        deadline = time.monotonic() + timeout
        self._loop.stop(timeout)
        while self._assembly_scheduler.running and time.monotonic() < deadline:
            self._woken.wait(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))
            self._woken.clear()
            self._assembly_scheduler.collect(self._clock())
        self._assembly_scheduler.stop(self._clock())
        self._stepped()

    def step(self) -> float:
        """Do everything that is to be done now.

        Returns:
            how many seconds nothing will have to be done, unless something happens.
        """
        now = self._clock()
        if self._clock_watch.set_back() and (count := self._bring_back(now)):
            log.warning("the clock was set back: %d series are judged anew", count)
        self._assembly_scheduler.collect(now)
        wait = POLL_SECONDS
        for series in self._work.due(now, _LOOK_AT_MOST):
            breath = self._breath(series)
            if 0 <= now - series.last_arrival < breath:
                wait = min(wait, series.last_arrival + breath - now)
                self._read_ahead(series, now)
                continue
            if series.state is SeriesState.RECEIVING:
                self._judged[series.pk] = series.instances
            self._guarded_look(series, now)
            self._loop.heartbeat.beat()
        if self._assembly_scheduler.free:
            for series in self._work.settled(now, _LOOK_AT_MOST):
                if self._assembly_scheduler.free:
                    self._assembly_scheduler.start(series, now)
        self._stepped()
        if self._assembly_scheduler.expects_more(now):
            wait = min(wait, BREATH_SECONDS)
        due = self._work.next_due()
        return wait if due is None or due <= now else min(wait, due - now)

    def _breath(self, series: SeriesRecord) -> float:
        """How many seconds after its last instance a series is looked at."""
        if series.state is not SeriesState.RECEIVING:
            return 0.0
        ended = series.due is not None and series.due > series.last_arrival
        if ended and series.instances >= GROWTH * self._judged.get(series.pk, 0):
            return 0.0
        return max(BREATH_SECONDS, BREATH_PER_INSTANCE * series.instances)

    def _read_ahead(self, series: SeriesRecord, now: float) -> None:
        try:
            self._observer.catch_up(series.pk)
            self._assembly_scheduler.begin_early(series, now)
        except Retryable:
            raise
        except Exception as error:  # noqa: BLE001  it is met again, and dealt with, at the look
            log.debug("reading series %s ahead: %s", series.uid, traced(error))

    def _guarded_look(self, series: SeriesRecord, now: float) -> None:
        """One series that cannot be judged must not stop the others."""
        try:
            self._look(series, now)
        except Retryable:
            raise
        except Exception as error:  # noqa: BLE001  whatever a header holds, the loop goes on
            log.error("judging series %s: %s", series.uid, traced(error))
            why = f"the evidence could not be judged ({type(error).__name__}); assembled untested"
            verdict = {"verdict": str(Verdict.UNKNOWN), "why": why, "reasons": []}
            self._judged.pop(series.pk, None)
            if series.state is SeriesState.RECEIVING:
                state = follow(series.state, Event.SETTLE)
                self._work.move(series, state, now=now, actor=ACTOR, verdict=verdict)
            else:
                self._work.look_again(series, None)

    def _look(self, series: SeriesRecord, now: float) -> None:
        if series.state is SeriesState.ASSEMBLING:
            self._assembly_scheduler.take_back(series, now)
            return
        if series.state is SeriesState.SETTLED:
            return
        facts = self._observer.facts(series.pk, series.uid)
        arrivals = self._work.arrivals(series.pk)
        finding = gather(facts, arrivals)
        background = self._work.background(series.pk)
        situation = Situation(
            state=series.state,
            last_arrival=series.last_arrival,
            arrivals=arrivals,
            unproven=background.assembled,
            held_by=background.held_by,
            given_up=background.given_up,
            in_progress=any(not statement.final for statement in facts.statements),
        )
        timing = self._timing(sorted({arrival.calling_ae for arrival in arrivals}))
        decision = decide(situation, finding, now, timing)
        given_up = decision.action in (Action.HOLD, Action.GIVE_UP) and not background.held_by
        if given_up and self._assembly_scheduler.is_torn(series):
            why = "what is missing came under another study or patient"
            decision = replace(decision, action=Action.SETTLE, why=why)
        self._act(series, decision, bool(background.held_by), now)
        if decision.action is Action.WAIT and self._inquirer is not None:
            self._inquirer.consider(series, facts, arrivals, now)

    def _act(self, series: SeriesRecord, decision: Decision, held: bool, now: float) -> None:
        verdict = verdict_record(decision.finding, decision.why, now)
        if decision.action is Action.WAIT:
            self._work.look_again(series, decision.until, verdict)
            self._assembly_scheduler.begin_early(series, now)
            return
        if decision.action is Action.REST:
            # The states of the evidence are new; why the series rests is not.
            self._work.look_again(series, None, {**verdict, **_kept(series.verdict or {})})
            return
        state = follow(series.state, _EVENTS[decision.action])
        if decision.action is Action.SETTLE:
            detail = {"verdict": verdict["verdict"], "why": decision.why}
            self._work.move(series, state, now=now, actor=ACTOR, detail=detail, verdict=verdict)
        elif held:
            self._outcomes.rest(series, state, verdict, now, ACTOR)
        else:
            self._outcomes.end_without(series, state, verdict, now, ACTOR)
        if decision.action is not Action.SETTLE:
            self._assembly_scheduler.forget(series.pk)
        fault_point(f"decided-{state}")
        self._observer.forget(series.pk)
        self._judged.pop(series.pk, None)
        log.info("series %s: %s, %s", series.uid, verdict["verdict"], decision.why)


def _kept(verdict: dict[str, Any]) -> dict[str, Any]:
    return {key: verdict[key] for key in verdict if key not in {"verdict", "reasons", "at"}}


def make_watcher(
    index: Index,
    executor: Executor,
    *,
    archive: Path,
    output: Path,
    template: str,
    options: OutputOptions,
    timing: Callable[[Sequence[str]], Timing],
    owner: str,
    clock: Callable[[], float],
    rules: Rules = lambda _news: (),
    inquirer: CountQuery | None = None,
    stepped: Callable[[], None] = lambda: None,
    apart: Apart | None = None,
    minimum_free: int = 0,
    steady: Callable[[], float] = time.monotonic,
) -> Watcher:
    """A watcher with all that it works with.

    Args:
        archive: the folder that the instances' paths are relative to.
        output: the folder that volumes appear in.
        template: `output.name`.
        options: which files are made of a volume.
        owner: this run of the node, unlike any other.
        rules: what is to be delivered of which news.
        apart: does in advance what can be done of a series that is still arriving, as long as the
            output folder's disk has more than `minimum_free` bytes left.
        steady: seconds, monotonic.
    """
    work, publications, publisher = Work(index), Publications(index), Publisher(output)
    names, event_publisher = Names(work, publisher, template), EventPublisher(work, rules)
    namesakes = Namesakes(index)
    grounds = LabelReferences(work, References(index), namesakes)
    outcomes = Outcomes(
        work, publications, publisher, names, event_publisher, grounds, Damages(index)
    )
    woken = threading.Event()
    head_start = Precompression(
        work,
        publisher,
        apart,
        archive=archive,
        options=options,
        room=lambda size: free_bytes(output) > minimum_free + size,
    )
    assembly_scheduler = AssemblyScheduler(
        work,
        publisher,
        names,
        outcomes,
        grounds,
        namesakes,
        executor,
        head_start,
        archive=archive,
        options=options,
        owner=owner,
        wake=woken.set,
        steady=steady,
    )
    return Watcher(
        work,
        EvidenceLoader(work, Statements(index)),
        assembly_scheduler,
        outcomes,
        timing=timing,
        clock=clock,
        inquirer=inquirer,
        woken=woken,
        stepped=stepped,
        bring_back=partial(correct_future_times, index),
        steady=steady,
    )


def verdict_record(finding: Finding, why: str, now: float) -> dict[str, Any]:
    """A verdict as it is kept in the index and in manifests."""
    return {
        "verdict": str(finding.verdict),
        "why": why,
        "at": now,
        "reasons": finding.reasons(),
    }
