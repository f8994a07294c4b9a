"""What became of a study and of a row: states, reasons, and what may be tried next. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.core.pulls import ItemState, PullStudy
from node.core.query_keys import Level
from node.core.statuses import (
    CANCEL,
    IDENTIFIER_MISMATCH,
    MOVE_DESTINATION_UNKNOWN,
    SOME_SUBOPERATIONS_FAILED,
    SUCCESS,
    UNABLE_TO_PERFORM_SUBOPERATIONS,
)
from node.dimse.pull.catalogue import StudyFound
from node.dimse.pull.comparison import Comparison, SeriesExpected
from node.dimse.scu.retrieve import Ended, Wanted

_IDENTIFIER_MISMATCHES: Final = range(IDENTIFIER_MISMATCH, IDENTIFIER_MISMATCH + 0x100)
"""PS3.4 Table C.4-2: every value of the range."""


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
class StudyAsked:
    """A study of a row, and the series of it that are wanted.

    Attributes:
        study: as the peer has it.
        series: what the peer says of them.
        whole: they are all of the study.
    """

    study: StudyFound
    series: tuple[SeriesExpected, ...]
    whole: bool


@dataclass(frozen=True, slots=True)
class Problem:
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


STOPPED: Final = Problem(ItemState.WAITING, "", over=True, stopped=True)


def study_record(
    one: StudyAsked,
    comparison: Comparison,
    *,
    problem: Problem | None = None,
    running: bool = False,
) -> PullStudy:
    """What the index keeps of a study.

    Args:
        one: the study.
        comparison: with the archive.
        problem: what its retrieve met.
        running: it has not been tried to the end.
    """
    state = ItemState.RUNNING if running else state_of(one, comparison, problem)
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
        reason="" if running or state is ItemState.COMPLETE else why(one, comparison, problem),
    )


def judged(wanted: Wanted, ended: Ended, by: str, own_title: str) -> Problem | None:
    """What the peer's last response means; None: success, whatever has come.

    Args:
        wanted: what was asked for.
        ended: the last response.
        by: move or get.
        own_title: the AE title that the peer was to send to.
    """
    said = f"the peer ended the {'C-MOVE' if by == 'move' else 'C-GET'} {ended}"
    status = ended.status
    if status == SUCCESS:
        return None
    if status == MOVE_DESTINATION_UNKNOWN:
        sentence = (
            f"{said}: it does not know {own_title} as a destination; "
            "enter this node there, or fetch by C-GET"
        )
        return Problem(ItemState.REFUSED, sentence, again=False, over=True, other_way=True)
    if status is not None and status in _IDENTIFIER_MISMATCHES and wanted.level is Level.IMAGE:
        return Problem(ItemState.REFUSED, said, no_lists=True)
    if status == CANCEL:
        return Problem(ItemState.INCOMPLETE, said, again=False)
    if status == SOME_SUBOPERATIONS_FAILED:
        return Problem(ItemState.INCOMPLETE, said)
    return Problem(
        ItemState.REFUSED,
        said,
        other_way_once=status == UNABLE_TO_PERFORM_SUBOPERATIONS and by == "move",
    )


def state_of(one: StudyAsked, comparison: Comparison, problem: Problem | None) -> ItemState:
    if not one.series:
        return ItemState.NOT_FOUND
    if comparison.is_complete:
        return ItemState.COMPLETE
    if problem is not None and problem.stopped:
        return ItemState.WAITING
    if problem is not None and not comparison.received:
        return problem.state
    return ItemState.INCOMPLETE


def why(one: StudyAsked, comparison: Comparison, problem: Problem | None) -> str:
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


def expected_of(one: StudyAsked, wanted: Wanted) -> int:
    """How many instances a retrieve will bring, as far as is known; at least one."""
    listed = wanted.keys.get("SOPInstanceUID")
    if listed:
        return listed.count("\\") + 1
    series = wanted.keys.get("SeriesInstanceUID")
    counts = [each.expected or 0 for each in one.series if series in {None, each.uid}]
    return max(1, sum(counts))


def classes_of(one: StudyAsked, usual: Sequence[str]) -> list[str]:
    known = {uid for series in one.series for uid in series.sop_classes} | set(
        one.study.sop_classes
    )
    listed = all(series.instances is not None and series.sop_classes for series in one.series)
    return sorted(known) if listed and known else list(dict.fromkeys([*sorted(known), *usual]))
