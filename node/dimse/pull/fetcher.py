"""One row of a job: ask the peer, fetch what is missing, and compare with the archive."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Final, Protocol

from node.completion.facts import Source, Statement
from node.core.pulls import ItemState, PullStudy, worst
from node.core.query_keys import Level
from node.dimse.pull.catalogue import (
    CannotAsk,
    StudyFound,
    TooMany,
    series_of,
    studies_of,
    study_of_series,
)
from node.dimse.pull.comparison import (
    Comparison,
    SeriesExpected,
    compare,
    one_by_one,
    retrieves,
)
from node.dimse.pull.question import Question
from node.dimse.scu.query import QueryFailed, QuerySCU
from node.dimse.scu.retrieve import Ended, Received, Wanted, get, move
from node.dimse.upper_layer.requestor import (
    AssociationRejected,
    Destination,
    PeerSilent,
    PeerUnreachable,
    ServiceNotOffered,
)

_SUCCESS: Final = 0x0000
_UNKNOWN_DESTINATION: Final = 0xA801  # PS3.4 C.4.2.1.5
_NOT_SENT: Final = 0xA702  # it could not send anything: no way to us, or no context for it
_NO_SUCH_LEVEL: Final = range(0xA900, 0xAA00)  # identifier does not match SOP class
_WARNING: Final = 0xB000
_CANCELLED: Final = 0xFE00
_CALM_SECONDS: Final = 2.0  # without anything new after the peer has ended: nothing more comes
_LATE_SECONDS: Final = 15.0  # so long at most what it has sent may take to be found
_LOOK_SECONDS: Final = 0.2
_ONE_BY_ONE: Final = 64  # instances that are asked for by themselves in one try


class Holdings(Protocol):
    """What the archive has, and what is said of series: see `node.storage.index.peers`."""

    def held(self, study_uid: str) -> Mapping[str, frozenset[str]]:
        """Series Instance UID -> SOP Instance UIDs."""
        ...

    def held_size(self, study_uid: str) -> tuple[int, int]:
        """Instances and bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """What a fetcher works with.

    Attributes:
        destination: the peer; a new one for each association, as deadlines are its own.
        own_title: the AE title that the peer sends to (C-MOVE).
        holdings: of the archive.
        settle: waits until what was answered is in the index.
        state: notes what the peer says of a series, as evidence for completion.
        receiving: opens what makes instances of a C-GET durable.
        syntaxes: transfer syntaxes in which they may come.
        usual_classes: SOP classes to offer where the peer does not say which ones it will send.
        clock: seconds since 1970.
    """

    destination: Callable[[], Destination]
    own_title: str
    holdings: Holdings
    settle: Callable[[], bool]
    state: Callable[[str, Statement], None]
    receiving: Callable[[], AbstractContextManager[Callable[[Received], int]]]
    syntaxes: Sequence[str]
    usual_classes: Sequence[str]
    clock: Callable[[], float] = time.time


class Way:
    """Whether a peer is asked to move or to get.

    Args:
        wanted: auto, move or get.
        known: what was found out before; None: nothing.
        found: told of what is found out.
    """

    def __init__(self, wanted: str, known: str | None, found: Callable[[str], None]) -> None:
        self._wanted = wanted
        self._found = found
        self._known = known
        self._noted = known
        self._changed = self._is_exception = False

    @property
    def by(self) -> str:
        """How to ask now."""
        return self._wanted if self._wanted != "auto" else self._known or "move"

    def works(self) -> None:
        """The peer did as it was asked."""
        if self._wanted == "auto" and self._noted != self.by and not self._is_exception:
            self._noted = self.by
            self._found(self.by)

    def other(self, *, once: bool) -> bool:
        """Ask the other way, if that is left to us and has not been tried.

        Args:
            once: it is these instances that the peer does not send this way, not all.
        """
        if self._wanted != "auto" or self._changed:
            return False
        self._changed, self._is_exception = True, once
        self._known = "get" if self.by == "move" else "move"
        return True


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one try.

    Attributes:
        state: of the row.
        studies: that it asks for.
        reason: why it is not complete.
        again: trying again may help.
        away: the peer could not be reached at all.
        busy: the peer took no further association at the moment.
        stopped: it was ended before it was done.
    """

    state: ItemState
    studies: tuple[PullStudy, ...] = ()
    reason: str = ""
    again: bool = False
    away: bool = False
    busy: bool = False
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class _Asked:
    study: StudyFound
    series: tuple[SeriesExpected, ...]
    whole: bool


class Fetcher:
    """Tries one row once.

    Args:
        means: what it works with.
        way: move or get.
        stop: whether it is to be ended; asked several times a second.
        pace: called with the instances that are expected before each retrieve; returns what is
            to be told of the instances and bytes that came, None if it was stopped meanwhile.
        seen: told of the studies as soon as the peer has named them, and after each retrieve.
        progress: told every few seconds how many instances of a study are here.
    """

    def __init__(
        self,
        means: Means,
        way: Way,
        *,
        stop: Callable[[], bool],
        pace: Callable[[int], Callable[[int, int], None] | None],
        seen: Callable[[Sequence[PullStudy]], None],
        progress: Callable[[str, int], None] = lambda _study, _count: None,
    ) -> None:
        self._means = means
        self._way = way
        self._stop = stop
        self._pace = pace
        self._seen = seen
        self._progress = progress
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

    def _ask(self, question: Question) -> tuple[list[_Asked], int]:
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
    ) -> tuple[list[_Asked], int]:
        self._asking_instances = False
        keys = dict(question.study)
        if not keys:
            uid = study_of_series(query, question.series["SeriesInstanceUID"])
            if not uid:
                return [], 0
            keys["StudyInstanceUID"] = uid
        found = studies_of(query, keys)
        asked = []
        for study in found.studies:
            self._asking_instances = with_instances
            series, whole = series_of(query, study, question.series, with_instances=with_instances)
            asked.append(_Asked(study, tuple(series), whole))
        return asked, found.left_out

    def _fetch(self, asked: Sequence[_Asked]) -> Result:
        studies = {
            one.study.uid: self._study(one, self._compare(one), running=True) for one in asked
        }
        self._seen(list(studies.values()))
        again = stopped = away = busy = False
        for one in asked:
            self._announce(one)
            found = self._fetch_study(one)
            again |= found.again
            stopped |= found.stopped
            away |= found.away
            busy |= found.busy
            studies[one.study.uid] = found.studies[0]
            self._seen(list(studies.values()))
            if stopped or away or busy:
                break
        for one in asked:  # what was not come to
            if studies[one.study.uid].state is ItemState.RUNNING:
                studies[one.study.uid] = self._study(one, self._compare(one))
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

    def _fetch_study(self, one: _Asked) -> Result:
        comparison = self._compare(one)
        problem: _Problem | None = None
        if not comparison.is_complete and one.series:
            problem = self._retrieve(one, comparison)
            comparison = self._calm(one)
        study = self._study(one, comparison, problem=problem)
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

    def _retrieve(self, one: _Asked, comparison: Comparison) -> _Problem | None:
        """Ask for everything that is missing; the last thing that went wrong, if any did."""
        problem: _Problem | None = None
        queue = list(self._wanted(one, comparison))
        while queue:
            if self._stop():
                return _STOPPED
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

    def _wanted(self, one: _Asked, comparison: Comparison) -> list[Wanted]:
        return list(
            retrieves(
                one.study.uid,
                comparison,
                patient_id=one.study.patient_id,
                whole=one.whole,
                takes_lists=self._takes_lists,
            )
        )

    def _attempt(self, one: _Asked, wanted: Wanted) -> _Problem | None:
        before, size = self._means.holdings.held_size(one.study.uid)
        tell = self._pace(_expected(one, wanted))
        if tell is None:
            return _STOPPED
        try:
            return self._outcome(one, wanted)
        finally:
            count, bytes_now = self._means.holdings.held_size(one.study.uid)
            tell(max(0, count - before), max(0, bytes_now - size))

    def _outcome(self, one: _Asked, wanted: Wanted) -> _Problem | None:
        try:
            ended = self._ask_for(one, wanted)
        except ServiceNotOffered as error:
            return _Problem(ItemState.REFUSED, str(error), again=False, over=True, other_way=True)
        except AssociationRejected as error:
            again = not error.permanent
            return _Problem(ItemState.REFUSED, str(error), again=again, over=True, busy=again)
        except PeerSilent as error:
            if self._stop():
                return _STOPPED
            away = isinstance(error, PeerUnreachable)
            return _Problem(ItemState.FAILED, str(error), over=True, away=away)
        if ended.cancelled:
            return _STOPPED
        return self._judged(wanted, ended)

    def _judged(self, wanted: Wanted, ended: Ended) -> _Problem | None:
        by = "C-MOVE" if self._way.by == "move" else "C-GET"
        said = f"the peer ended the {by} {ended}"
        status = ended.status
        if status == _SUCCESS:
            self._way.works()
            return None
        if status == _UNKNOWN_DESTINATION:
            sentence = (
                f"{said}: it does not know {self._means.own_title} as a destination; "
                "enter this node there, or fetch by C-GET"
            )
            return _Problem(ItemState.REFUSED, sentence, again=False, over=True, other_way=True)
        if status is not None and status in _NO_SUCH_LEVEL and wanted.level is Level.IMAGE:
            return _Problem(ItemState.REFUSED, said, no_lists=True)
        if status == _CANCELLED:
            return _Problem(ItemState.INCOMPLETE, said, again=False)
        if status == _WARNING:
            return _Problem(ItemState.INCOMPLETE, said)
        once = status == _NOT_SENT and self._way.by == "move"
        return _Problem(ItemState.REFUSED, said, other_way_once=once)

    def _ask_for(self, one: _Asked, wanted: Wanted) -> Ended:
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
                sop_classes=_classes(one, means.usual_classes),
                syntaxes=means.syntaxes,
                store=store,
                stop=self._stop,
            )

    def _came(self, one: _Asked) -> int:
        """How many instances of a study are here, which is shown to whoever waits."""
        count, _ = self._means.holdings.held_size(one.study.uid)
        self._progress(one.study.uid, count)
        return count

    def _announce(self, one: _Asked) -> None:
        """What the peer lists is evidence: the series is complete once it is all there."""
        for series in one.series:
            if series.expected is None:
                continue
            self._means.state(
                series.uid,
                Statement(
                    Source.PULL,
                    self._means.destination().called_ae,
                    self._means.clock(),
                    count=series.count if series.instances is None else None,
                    uids=series.instances,
                ),
            )

    def _compare(self, one: _Asked) -> Comparison:
        self._means.settle()
        return compare(one.series, self._means.holdings.held(one.study.uid))

    def _calm(self, one: _Asked) -> Comparison:
        """Compare when nothing more comes: peers end before their last instance is here."""
        began = changed = time.monotonic()
        comparison, known = self._compare(one), -1
        while not comparison.is_complete and not self._stop():
            now = time.monotonic()
            if comparison.received != known:
                known, changed = comparison.received, now
            if now - changed > _CALM_SECONDS or now - began > _LATE_SECONDS:
                break
            time.sleep(_LOOK_SECONDS)
            comparison = self._compare(one)
        return comparison

    def _study(
        self,
        one: _Asked,
        comparison: Comparison,
        *,
        problem: _Problem | None = None,
        running: bool = False,
    ) -> PullStudy:
        state = ItemState.RUNNING if running else _state(one, comparison, problem)
        return PullStudy(
            uid=one.study.uid,
            state=state,
            expected=comparison.expected if one.series else 0,
            received=comparison.received,
            missing=comparison.missing,
            missing_count=comparison.missing_count,
            series=tuple(
                {
                    "series_instance_uid": each.expected.uid,
                    "modality": each.expected.modality,
                    "expected": each.expected.expected,
                    "received": each.received,
                }
                for each in comparison.series
            ),
            reason="" if running or state is ItemState.COMPLETE else _why(one, comparison, problem),
        )


@dataclass(frozen=True, slots=True)
class _Problem:
    """Why a retrieve did not do what was wanted.

    Attributes:
        state: of the study, if nothing of it has come.
        sentence: why.
        again: trying again may help.
        over: the next retrieve of this try would meet the same.
        other_way: C-GET may do what C-MOVE does not, or the other way round.
        other_way_once: the same for these instances, if none of them came.
        no_lists: the peer does not take lists of SOP Instance UIDs.
        away: the peer could not be reached.
        busy: the peer took no further association.
        stopped: it was ended on our side.
    """

    state: ItemState
    sentence: str
    again: bool = True
    over: bool = False
    other_way: bool = False
    other_way_once: bool = False
    no_lists: bool = False
    away: bool = False
    busy: bool = False
    stopped: bool = False


_STOPPED: Final = _Problem(ItemState.WAITING, "", over=True, stopped=True)


def _state(one: _Asked, comparison: Comparison, problem: _Problem | None) -> ItemState:
    if not one.series:
        return ItemState.NOT_FOUND
    if comparison.is_complete:
        return ItemState.COMPLETE
    if problem is not None and problem.stopped:
        return ItemState.WAITING
    if problem is not None and not comparison.received:
        return problem.state
    return ItemState.INCOMPLETE


def _why(one: _Asked, comparison: Comparison, problem: _Problem | None) -> str:
    if not one.series:
        return "no series of the study matches"
    parts = []
    if comparison.missing_count:
        parts.append(f"{comparison.missing_count} of {comparison.expected} instances did not come")
    if comparison.silent:
        parts.append(
            f"of {comparison.silent} series the peer says neither instances nor a number, "
            "so that nothing proves them complete"
        )
    if comparison.unlisted:
        parts.append(f"{comparison.unlisted} instances are here that the peer does not list")
    if problem is not None and problem.sentence:
        parts.append(problem.sentence)
    return "; ".join(parts)


def _expected(one: _Asked, wanted: Wanted) -> int:
    """How many instances a retrieve will bring, as far as is known; at least one."""
    listed = wanted.keys.get("SOPInstanceUID")
    if listed:
        return listed.count("\\") + 1
    series = wanted.keys.get("SeriesInstanceUID")
    counts = [each.expected or 0 for each in one.series if series in {None, each.uid}]
    return max(1, sum(counts))


def _classes(one: _Asked, usual: Sequence[str]) -> list[str]:
    known = {uid for series in one.series for uid in series.sop_classes} | set(
        one.study.sop_classes
    )
    listed = all(series.instances is not None and series.sop_classes for series in one.series)
    return sorted(known) if listed and known else list(dict.fromkeys([*sorted(known), *usual]))
