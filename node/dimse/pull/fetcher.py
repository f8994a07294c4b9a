"""One row of a job: ask the peer, fetch what is missing, and compare with the archive."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from node.completion.facts import Source, Statement
from node.completion.study_decision import StudyStatement
from node.core.pulls import ItemState, PullStudy, worst
from node.dimse.pull.catalogue import CannotAsk, TooMany, series_of, studies_of, study_of_series
from node.dimse.pull.comparison import Comparison, compare, one_by_one, retrieves
from node.dimse.pull.limits import Turn
from node.dimse.pull.means import Means
from node.dimse.pull.outcome import (
    STOPPED,
    Problem,
    Result,
    StudyAsked,
    classes_of,
    expected_of,
    judged,
    study_record,
)
from node.dimse.pull.question import Question
from node.dimse.pull.way import Way
from node.dimse.scu.query import QueryFailed, QuerySCU
from node.dimse.scu.retrieve import Ended, Wanted, get, move
from node.dimse.upper_layer.requestor import (
    AssociationRejected,
    PeerSilent,
    PeerUnreachable,
    ServiceNotOffered,
)

_CALM_SECONDS: Final = 2.0  # without anything new after the peer has ended: nothing more comes
_LATE_SECONDS: Final = 15.0  # so long at most what it has sent may take to be found
_LOOK_SECONDS: Final = 0.2
_ONE_BY_ONE: Final = 64  # instances that are asked for by themselves in one try


class Fetcher:
    """Tries one row once.

    Args:
        means: what it works with.
        way: move or get.
        stop: whether it is to be ended; asked several times a second.
        pace: called with the instances that are expected before each retrieve; returns its turn,
            None if it was stopped meanwhile.
        seen: told of the studies as soon as the peer has named them, and after each retrieve.
        progress: told every few seconds how many instances of a study are here.
        left: called when the peer is not asked for anything more in this try.
    """

    def __init__(
        self,
        means: Means,
        way: Way,
        *,
        stop: Callable[[], bool],
        pace: Callable[[int], Turn | None],
        seen: Callable[[Sequence[PullStudy]], None],
        progress: Callable[[str, int], None] = lambda _study, _count: None,
        left: Callable[[], None] = lambda: None,
    ) -> None:
        self._means = means
        self._way = way
        self._stop = stop
        self._pace = pace
        self._seen = seen
        self._progress = progress
        self._left = left
        self._takes_lists = True
        self._asking_instances = False

    def run(self, question: Question) -> Result:
        """Try a row; whatever goes wrong is in the result."""
        try:
            asked, left_out = self._ask(question)
        except AssociationRejected as error:
            again = not error.permanent
            return Result(ItemState.REFUSED, reason=str(error), again=again, busy=again)
        except (CannotAsk, TooMany, ServiceNotOffered) as error:
            return Result(ItemState.REFUSED, reason=str(error))
        except PeerSilent as error:
            away = isinstance(error, PeerUnreachable)
            return Result(ItemState.FAILED, reason=str(error), again=True, away=away)
        note = f"{left_out} answers of the peer are none to the question and were left out"
        if not asked:
            reason = note if left_out else "the peer has no study that matches"
            return Result(ItemState.NOT_FOUND, reason=reason)
        result = self._fetch(asked)
        if left_out and result.state is not ItemState.COMPLETE:
            result = replace(result, reason=f"{result.reason}; {note}")
        return result

    def _ask(self, question: Question) -> tuple[list[StudyAsked], int]:
        with_instances = True
        while True:
            try:
                with QuerySCU(self._means.destination()) as query:
                    return self._catalogue(query, question, with_instances=with_instances)
            except (QueryFailed, AssociationRejected, ServiceNotOffered, PeerUnreachable):
                raise
            except PeerSilent:
                # Some archives end the association when they are asked at image level.
                if not with_instances or not self._asking_instances:
                    raise
                with_instances = False

    def _catalogue(
        self, query: QuerySCU, question: Question, *, with_instances: bool
    ) -> tuple[list[StudyAsked], int]:
        self._asking_instances = False
        keys = dict(question.study)
        if not keys:
            uid = study_of_series(query, question.series["SeriesInstanceUID"])
            if not uid:
                return [], 0
            keys["StudyInstanceUID"] = uid
        classes = self._way.by == "get"
        found = studies_of(query, keys, with_classes=classes)
        asked = []
        for study in found.studies:
            self._asking_instances = with_instances
            series, whole = series_of(
                query,
                study,
                question.series,
                with_instances=with_instances,
                with_classes=classes,
            )
            asked.append(StudyAsked(study, tuple(series), whole))
        return asked, found.left_out

    def _fetch(self, asked: Sequence[StudyAsked]) -> Result:
        studies = {one.study.uid: study_record(one, self._held(one), running=True) for one in asked}
        self._seen(list(studies.values()))
        again = stopped = away = busy = False
        for one in asked:
            self._announce(one)
            found = self._fetch_study(one, is_last=one is asked[-1])
            again |= found.again
            stopped |= found.stopped
            away |= found.away
            busy |= found.busy
            studies[one.study.uid] = found.studies[0]
            if stopped or away or busy:
                break
            if one is not asked[-1]:
                self._seen(list(studies.values()))
        for one in asked:  # what was not come to
            if studies[one.study.uid].state is ItemState.RUNNING:
                studies[one.study.uid] = study_record(one, self._compare(one))
        state = (
            worst([study.state for study in studies.values()]) if not stopped else ItemState.WAITING
        )
        reasons = dict.fromkeys(study.reason for study in studies.values() if study.reason)
        return Result(
            state,
            tuple(studies.values()),
            reason="; ".join(list(reasons)[:3]),
            again=again,
            away=away,
            busy=busy,
            stopped=stopped,
        )

    def _fetch_study(self, one: StudyAsked, *, is_last: bool) -> Result:
        comparison = self._held(one)
        problem: Problem | None = None
        if not comparison.is_complete and one.series:
            problem = self._retrieve(one, comparison)
            if is_last:
                self._left()
            comparison = self._calm(one)
        study = study_record(one, comparison, problem=problem)
        if study.state is ItemState.COMPLETE or not one.series:
            return Result(study.state, (study,))
        return Result(
            study.state,
            (study,),
            # A peer that ended with success and kept instances back would do so again at once.
            again=problem is not None and problem.again,
            away=problem is not None and problem.away,
            busy=problem is not None and problem.busy,
            stopped=problem is not None and problem.stopped,
        )

    def _retrieve(self, one: StudyAsked, comparison: Comparison) -> Problem | None:
        """Ask for everything that is missing; the last thing that went wrong, if any did."""
        problem: Problem | None = None
        queue = list(self._wanted(one, comparison))
        while queue:
            if self._stop():
                return STOPPED
            wanted = queue.pop(0)
            met = self._attempt(one, wanted)
            problem = met or problem
            if met is None or problem is None:
                continue
            if problem.stopped:
                return problem
            if problem.other_way or problem.other_way_once:
                now = self._compare(one)
                unmoved = now.received == comparison.received
                if unmoved and self._way.other(once=not problem.other_way):
                    return self._retrieve(one, now)
            if problem.no_lists and self._takes_lists:
                self._takes_lists = False
                return self._retrieve(one, self._compare(one))
            if problem.over:
                return problem
            # One instance that a peer cannot send must not keep back those behind it.
            queue += one_by_one(wanted, self._compare(one), most=_ONE_BY_ONE - len(queue))
        return problem

    def _wanted(self, one: StudyAsked, comparison: Comparison) -> list[Wanted]:
        return list(
            retrieves(
                one.study.uid,
                comparison,
                patient_id=one.study.patient_id,
                whole=one.whole,
                takes_lists=self._takes_lists,
            )
        )

    def _attempt(self, one: StudyAsked, wanted: Wanted) -> Problem | None:
        expected = expected_of(one, wanted)
        turn = self._pace(expected)
        if turn is None:
            return STOPPED
        came = (0, 0)
        try:
            comparison = self._held(one)
            if comparison.is_complete:  # another row has fetched it while this one waited
                return None
            if not turn.is_paced:
                return self._outcome(one, wanted)
            before = self._means.holdings.held_size(one.study.uid)
            problem = self._outcome(one, wanted)
            # What was answered and is not in the archive yet, or comes late, counts, too.
            self._calm(one, comparison.received + expected)
            count, size = self._means.holdings.held_size(one.study.uid)
            came = (max(0, count - before[0]), max(0, size - before[1]))
            return problem
        finally:
            turn.end(*came)

    def _outcome(self, one: StudyAsked, wanted: Wanted) -> Problem | None:
        try:
            ended = self._ask_for(one, wanted)
        except ServiceNotOffered as error:
            return Problem(ItemState.REFUSED, str(error), again=False, over=True, other_way=True)
        except AssociationRejected as error:
            again = not error.permanent
            return Problem(ItemState.REFUSED, str(error), again=again, over=True, busy=again)
        except PeerSilent as error:
            if self._stop():
                return STOPPED
            away = isinstance(error, PeerUnreachable)
            return Problem(ItemState.FAILED, str(error), over=True, away=away)
        if ended.cancelled:
            return STOPPED
        problem = judged(wanted, ended, self._way.by, self._means.own_title)
        if problem is None:
            self._way.works()
        return problem

    def _ask_for(self, one: StudyAsked, wanted: Wanted) -> Ended:
        means = self._means
        if self._way.by == "move":
            return move(
                means.destination(),
                wanted,
                to=means.own_title,
                stop=self._stop,
                held=lambda: self._came(one),
            )
        with means.receiving() as store:
            return get(
                means.destination(),
                wanted,
                sop_classes=classes_of(self._with_classes(one), means.usual_classes),
                syntaxes=means.syntaxes,
                store=store,
                stop=self._stop,
            )

    def _with_classes(self, one: StudyAsked) -> StudyAsked:
        """Ask for the SOP classes of a study that was to be moved and now has to be got."""
        if one.study.sop_classes or any(series.sop_classes for series in one.series):
            return one
        keys = {"StudyInstanceUID": one.study.uid}
        try:
            with QuerySCU(self._means.destination()) as query:
                if query.is_patient_root:
                    keys["PatientID"] = one.study.patient_id
                studies = studies_of(query, keys, with_classes=True).studies
                found = [series_of(query, study, {}, with_classes=True)[0] for study in studies]
        except (PeerSilent, CannotAsk, TooMany):  # the usual classes are offered then
            return one
        known = {series.uid: series.sop_classes for part in found for series in part}
        series = [
            replace(series, sop_classes=known.get(series.uid, frozenset())) for series in one.series
        ]
        classes = {uid for study in studies for uid in study.sop_classes}
        return replace(
            one,
            study=replace(one.study, sop_classes=tuple(sorted(classes))),
            series=tuple(series),
        )

    def _came(self, one: StudyAsked) -> int:
        """How many instances of a study are here, which is shown to whoever waits."""
        count, _ = self._means.holdings.held_size(one.study.uid)
        self._progress(one.study.uid, count)
        return count

    def _announce(self, one: StudyAsked) -> None:
        """What the peer lists is evidence: study and series are complete once all is there."""
        by, at = self._means.destination().called_ae, self._means.clock()
        named = frozenset(series.uid for series in one.series if series.expected != 0)
        of_study = StudyStatement(Source.PULL, by, at, whole=one.whole, series=named)
        self._means.state_study(one.study.uid, of_study)
        self._means.state(
            {
                series.uid: Statement(
                    Source.PULL,
                    by,
                    at,
                    count=series.count if series.instances is None else None,
                    uids=series.instances,
                )
                for series in one.series
                if series.expected is not None
            }
        )

    def _held(self, one: StudyAsked) -> Comparison:
        """Compare before a retrieve. Only a study that is here in part is worth waiting for what
        was answered and is not in the index yet."""
        found = compare(one.series, self._means.holdings.held(one.study.uid))
        return self._compare(one) if found.received and not found.is_complete else found

    def _compare(self, one: StudyAsked) -> Comparison:
        self._means.settle()
        return compare(one.series, self._means.holdings.held(one.study.uid))

    def _calm(self, one: StudyAsked, enough: int | None = None) -> Comparison:
        """Compare when nothing more comes: peers end before their last instance is here.

        Args:
            one: the study.
            enough: so many instances are all that come; None: all that the peer lists.
        """
        began = changed = time.monotonic()
        comparison, known = self._compare(one), -1
        while not comparison.is_complete and not self._stop():
            if enough is not None and comparison.received >= enough:
                break
            now = time.monotonic()
            if comparison.received != known:
                known, changed = comparison.received, now
            if now - changed > _CALM_SECONDS or now - began > _LATE_SECONDS:
                break
            time.sleep(_LOOK_SECONDS)
            comparison = self._compare(one)
        return comparison
