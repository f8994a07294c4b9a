"""Joins runs that a scanner split into series: which series is a volume of which run.

The volumes of such a run have a Series Instance UID each. One of them stands for the run: its
outputs have the images of all. The others are `joined` and have no outputs of their own. Everything
is decided from the index, and written in one transaction, so that a restart forgets nothing.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from node.assemble.frames.model import decode_header
from node.completion.decision import Situation, Timing, quiet_until
from node.completion.facts import Count, Evidence, Source
from node.completion.states import Event, follow
from node.convert.split_runs import SplitVolume, may_be_split, split_volume
from node.core.errors import Retryable, traced
from node.core.records import SeriesRecord, SeriesState, Verdict
from node.lifecycle.assembly.contradictory_series import contradiction
from node.lifecycle.assembly.outcomes import Outcomes
from node.lifecycle.log_fields import series_fields
from node.storage.index.series.namesakes import Namesakes
from node.storage.index.series.runs import Regrouped, Runs
from node.storage.index.series.work import Work

log = logging.getLogger(__name__)

ACTOR: Final = "runs"
_RECHECK_SECONDS: Final = 2.0
_REMEMBERED: Final = 4000
"""Series whose headers are not read again."""
_GIVEN_UP = (SeriesState.HELD, SeriesState.FAILED)
_GOING_ON = (SeriesState.RECEIVING, SeriesState.ASSEMBLING)
_MADE = (SeriesState.READY, SeriesState.NOT_A_VOLUME, SeriesState.FAILED)


class _Known(NamedTuple):
    change: int
    candidate: bool  # of a scanner that splits runs
    volume: SplitVolume | None
    announced: int | None  # volumes of the whole run


class _Wait(NamedTuple):
    until: float
    sentence: str


class SplitRuns:
    """Decides which series stand for a run, and when a run is assembled.

    Args:
        work: the series in the index.
        runs: their places in runs.
        namesakes: finds the series that have the same UID.
        outcomes: removes the outputs of series that are joined.
        timing: returns the settings of `completion` for the AE titles that sent a series.
    """

    def __init__(
        self,
        work: Work,
        runs: Runs,
        namesakes: Namesakes,
        outcomes: Outcomes,
        timing: Callable[[Sequence[str]], Timing],
    ) -> None:
        self._work = work
        self._runs = runs
        self._namesakes = namesakes
        self._outcomes = outcomes
        self._timing = timing
        self._seen: OrderedDict[int, _Known] = OrderedDict()

    def startable(
        self, settled: Sequence[SeriesRecord], now: float, beat: Callable[[], None] = lambda: None
    ) -> Iterable[SeriesRecord]:
        """The series that may be assembled now; the others wait for a run, or have joined one.

        Args:
            settled: series that wait to be assembled.
            now: seconds since 1970.
            beat: called before each series, as many headers may have to be read.
        """
        looked_at: set[int] = set()
        for series in settled:
            beat()
            if series.pk in looked_at:
                continue
            if not self._may_be_in_a_run(series):
                yield series
                continue
            beside = [one for one in self._work.of_number(series) if self._is_candidate(one)]
            looked_at |= {one.pk for one in beside}
            yield from self._settle_guarded(beside, now)

    def _may_be_in_a_run(self, series: SeriesRecord) -> bool:
        if series.modality != "MR" or series.number is None:
            return False
        return series.run is not None or self._is_candidate(series)

    def _settle_guarded(self, beside: Sequence[SeriesRecord], now: float) -> Sequence[SeriesRecord]:
        """Group series; those that cannot be grouped are assembled one by one."""
        try:
            return list(self._settle(beside, now))
        except Retryable:
            raise
        except Exception as error:  # noqa: BLE001  whatever a header contains, the loop goes on
            log.error(
                "the node could not tell whether the series of number %s of study %s are one run, "
                "because of an unexpected error; it assembles each of them; please report it: %s",
                beside[0].number,
                beside[0].study_uid,
                traced(error),
            )
            return [one for one in beside if one.state is SeriesState.SETTLED]

    def _settle(self, beside: Sequence[SeriesRecord], now: float) -> Iterable[SeriesRecord]:
        """Group the series of one number, and return those that may be assembled.

        Args:
            beside: the series of one study and number.
            now: seconds since 1970.
        """
        groups = self._groups(beside)
        for group in groups:
            if not any(one.state is SeriesState.SETTLED or _is_lost(one, group) for one in group):
                continue
            wait = self._wait(group, beside, now)
            if wait is not None:
                self._look_later(group, wait)
                continue
            changes = self._changes(group, beside, now)
            if changes:
                if self._runs.regroup(changes, now, ACTOR):
                    self._report(group)
                continue  # what is settled by it is seen in the next step
            if self._remove_outputs(group, now):
                yield from (one for one in group if one.state is SeriesState.SETTLED)

    def _groups(self, beside: Sequence[SeriesRecord]) -> list[list[SeriesRecord]]:
        """The series of each run, the one that stands for it first; others are alone.

        The series of a run are otherwise in order of time.
        """
        runs: dict[object, dict[int, SeriesRecord]] = {}
        groups: list[list[SeriesRecord]] = []
        for series in beside:
            volume = self._known(series).volume
            if series.state is SeriesState.RECEIVING:
                volume = None
            # Of two volumes of one time the order is not known: as in `rasnode convert`.
            if volume is None or volume.begin in runs.setdefault(volume.key, {}):
                groups.append([series])
            else:
                runs[volume.key][volume.begin] = series
        stand = {one.run for one in beside}
        for run in runs.values():
            ordered = [run[time] for time in sorted(run)]
            if ordered:
                first = min(
                    ordered, key=lambda one: (one.pk not in stand, not one.outputs, one.run or 0)
                )
                groups.append([first, *(one for one in ordered if one is not first)])
        return groups

    def _wait(
        self, group: Sequence[SeriesRecord], beside: Sequence[SeriesRecord], now: float
    ) -> _Wait | None:
        """Until when a group is not assembled, and what it waits for; None: it may be now."""
        volume = self._known(group[0]).volume
        for other in beside:
            if other.state in _GOING_ON and (other in group or volume is not None):
                what = "is still being received or assembled"
                return _Wait(now + _RECHECK_SECONDS, f"series {other.address} of its run {what}")
            if volume is None or other.state not in _GIVEN_UP:
                continue
            its = self._known(other).volume
            same_run = its is not None and its.key.run == volume.key.run
            if same_run and (other.state is SeriesState.HELD or (its and its.key != volume.key)):
                return _Wait(
                    now + _RECHECK_SECONDS,
                    f"series {other.address}, a volume of the same run, is {other.state}: send "
                    "what is missing, or `rasnode force` that series",
                )
        if volume is None or self._all_announced(group):
            return None
        return self._wait_for_quiet(group, now)

    def _wait_for_quiet(self, group: Sequence[SeriesRecord], now: float) -> _Wait | None:
        """Wait for further volumes, as long as for further instances of one series."""
        arrivals = self._runs.arrivals([one.pk for one in group])
        last = max(one.last_arrival for one in group)
        timing = self._timing(sorted({arrival.calling_ae for arrival in arrivals}))
        until, why = quiet_until(Situation(SeriesState.RECEIVING, last, arrivals), timing)
        return _Wait(until, f"for further volumes of the same run: {why}") if now < until else None

    def _all_announced(self, group: Sequence[SeriesRecord]) -> bool:
        """Whether all volumes agree on the number of volumes, and so many were received."""
        announced = {self._known(one).announced for one in group}
        return announced == {len(group)}

    def _look_later(self, group: Sequence[SeriesRecord], wait: _Wait) -> None:
        for one in group:
            if one.state is SeriesState.SETTLED:
                verdict = {**(one.verdict or {}), "waits": wait.sentence}
                self._work.look_again(one, wait.until, verdict)

    def _changes(
        self, group: Sequence[SeriesRecord], beside: Sequence[SeriesRecord], now: float
    ) -> list[Regrouped]:
        """What has to be written so that the first series of a group stands for all of them."""
        first = group[0]
        changes = [
            _joined(one, first)
            for one in group[1:]
            if one.state is not SeriesState.JOINED or one.run != first.pk
        ]
        run = self._run_record(group)
        stale = (first.verdict or {}).get("run") != run
        if changes or stale or first.run is not None:
            verdict = self._verdict(group, run, now)
            why = verdict["why"] if run else "it is not a volume of a run any more"
            changes.append(_again(first, verdict, why))
        left = {one.run for one in group} - {one.pk for one in group}
        return changes + [
            _again(one, None, "a volume has left its run")
            for one in beside
            if one.pk in left and one.state in _MADE
        ]

    def _run_record(self, group: Sequence[SeriesRecord]) -> dict[str, Any] | None:
        if len(group) == 1:
            return None
        ordered = sorted(group, key=self._begin)
        return {"volumes": len(group), "members": [one.address for one in ordered]}

    def _begin(self, series: SeriesRecord) -> int:
        volume = self._known(series).volume
        return 0 if volume is None else volume.begin

    def _verdict(
        self, group: Sequence[SeriesRecord], run: dict[str, Any] | None, now: float
    ) -> dict[str, Any]:
        old = {key: value for key, value in (group[0].verdict or {}).items() if key != "run"}
        if run is None:
            return {"verdict": str(Verdict.UNKNOWN), "reasons": [], **old}
        found = {(one.verdict or {}).get("verdict") for one in group}
        announced = self._all_announced(group)
        says = Verdict.COMPLETE if announced and found == {Verdict.COMPLETE} else Verdict.UNKNOWN
        if Verdict.INCOMPLETE in found:
            says = Verdict.INCOMPLETE
        why = f"joined: {len(group)} series are the volumes of one run"
        sentence = f"{why}, of one Series Number, with the same slices at different times"
        also = "; as many as the headers announce" if announced else ""
        evidence = Evidence(Source.RUN, says, sentence + also, detail=run)
        return {
            "verdict": str(says),
            "why": why,
            "at": now,
            "reasons": [*old.get("reasons", ()), evidence.as_dict()],
            "run": run,
        }

    def _remove_outputs(self, group: Sequence[SeriesRecord], now: float) -> bool:
        """Remove what joined series had published before the run was known.

        Returns:
            False if one of them has changed.
        """
        return all(
            self._outcomes.withdraw(one, SeriesState.JOINED, one.verdict or {}, now, ACTOR)
            for one in group[1:]
            if one.outputs
        )

    def _report(self, group: Sequence[SeriesRecord]) -> None:
        if len(group) > 1:
            log.info(
                "series %s stands for a run of %d series",
                group[0].address,
                len(group),
                extra=series_fields(group[0]),
            )

    def _is_candidate(self, series: SeriesRecord) -> bool:
        return self._known(series).candidate

    def _known(self, series: SeriesRecord) -> _Known:
        """What the headers of a series say, read once for each of its changes."""
        known = self._seen.pop(series.pk, None)
        receiving = series.state is SeriesState.RECEIVING
        if known is None or (known.change != series.change and not receiving):
            known = self._read(series)
        self._seen[series.pk] = known
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return known

    def _read(self, series: SeriesRecord) -> _Known:
        _, begin = self._work.arrived(series.pk, after=0, limit=1)
        if not begin or not may_be_split(decode_header(begin[0].header)):
            return _Known(series.change, False, None, None)
        stored = self._work.instances(series.pk, whole_run=False)
        headers = [decode_header(one.header) for one in stored]
        volume = split_volume(headers)
        if contradiction(series, self._namesakes.parts(series)) is not None:
            volume = None
        announced = {header.announced.get(str(Count.TEMPORAL_POSITIONS)) for header in headers}
        agreed = announced.pop() if len(announced) == 1 else None
        return _Known(series.change, True, volume, agreed)


def _is_lost(series: SeriesRecord, group: Sequence[SeriesRecord]) -> bool:
    """Whether a series is joined to a run that it is not a volume of any more."""
    return series.state is SeriesState.JOINED and series.run not in {one.pk for one in group}


def _joined(series: SeriesRecord, first: SeriesRecord) -> Regrouped:
    why = f"its images are a volume of the run of series {first.address}"
    verdict = {key: value for key, value in (series.verdict or {}).items() if key != "waits"}
    state = follow(series.state, Event.JOIN)
    return Regrouped(series, state, first.pk, {**verdict, "why": why, "joined": first.address}, why)


def _again(series: SeriesRecord, verdict: dict[str, Any] | None, why: str) -> Regrouped:
    kept = verdict if verdict is not None else dict(series.verdict or {})
    kept = {key: value for key, value in kept.items() if key not in {"waits", "joined"}}
    return Regrouped(series, follow(series.state, Event.REGROUP), None, kept, why)
