"""Records what becomes of a series: a new revision, no volume, or nothing new.

Every outcome is one transaction: the state and verdict of the series, the deliveries, and what
follows for names and for other series.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from node.completion.states import Event, follow
from node.core.events import EventType, NewDelivery
from node.core.fault_points import fault_point
from node.core.output_names import folded
from node.core.records import SeriesRecord, SeriesState
from node.lifecycle.assembly.label_references import LabelReferences
from node.lifecycle.assembly.output_folder import OutputFolder
from node.lifecycle.assembly.ruled_names import RuledNames
from node.lifecycle.event_publisher import EventPublisher
from node.lifecycle.log_fields import series_fields
from node.storage.index.series.consequences import NO_CONSEQUENCES, Consequences
from node.storage.index.series.publications import Publications, Stage
from node.storage.index.series.work import Work

log = logging.getLogger(__name__)

ACTOR = "assembler"
_TOLD = (SeriesState.READY, SeriesState.NOT_A_VOLUME, SeriesState.FAILED, SeriesState.HELD)
"""States that have an event. Of a joined series the one that stands for the run tells."""


class Outcomes:
    """Records what becomes of series.

    Args:
        work: the series in the index.
        publications: the revisions in the index.
        output_folder: where revisions are published.
        ruled: names that rules give.
        event_publisher: makes the deliveries of each event.
        label_references: knows the labels that have to be made again when volumes change.
    """

    def __init__(
        self,
        work: Work,
        publications: Publications,
        output_folder: OutputFolder,
        ruled: RuledNames,
        event_publisher: EventPublisher,
        label_references: LabelReferences,
    ) -> None:
        self._work = work
        self._publications = publications
        self._output_folder = output_folder
        self._ruled = ruled
        self._event_publisher = event_publisher
        self._label_references = label_references

    def next_revision(self, series: SeriesRecord) -> int:
        """The number of the next revision of a series."""
        floor = 0
        if self._publications.latest(series.pk) is None:  # perhaps the index was rebuilt
            stems = self._work.stems(series.pk)
            floor = self._output_folder.revision_on_disk(stems, self.uids(series))
        return self._publications.next_revision(series.pk, floor)

    def uids(self, series: SeriesRecord) -> set[str]:
        """The series that manifests of a series may name: of a run, the one of its first volume."""
        return {series.uid, *(one.uid for one in self._work.members(series.pk))}

    def published(
        self,
        series: SeriesRecord,
        revision: int,
        state: SeriesState,
        verdict: dict[str, Any],
        files: tuple[str, ...],
        now: float,
        actor: str = ACTOR,
        consequences: Consequences = NO_CONSEQUENCES,
    ) -> None:
        """Make a revision visible whose files are in place.

        Args:
            series: as the assembly or decision saw it.
            revision: its number, which was begun.
            state: the next state of the series.
            verdict: of the series.
            files: of the revision, relative to the output folder; none: it has no volume.
            now: seconds since 1970.
            actor: who decided this, for the history.
            consequences: for names, and for series whose names depend on this one.
        """
        fault_point("revision-visible")
        deliveries = self._deliveries(series, revision, state, verdict, files, now)
        new_state = self._publications.finish(
            series,
            revision,
            state,
            now=now,
            actor=actor,
            detail={"files": list(files), "verdict": verdict["verdict"], "why": _why(verdict)},
            deliveries=deliveries,
            consequences=self._with_labels(series, consequences),
        )
        fault_point("revision-finished")
        what = "is visible" if files else "removed the files of the one before"
        log.info(
            "revision %d of series %s %s; the series is %s (%s)",
            revision,
            series.address,
            what,
            new_state,
            _why(verdict),
            extra=series_fields(series),
        )
        self._label_references.hasten(series.uid)

    def unchanged(
        self,
        series: SeriesRecord,
        state: SeriesState,
        verdict: dict[str, Any],
        why: str,
        now: float,
        consequences: Consequences = NO_CONSEQUENCES,
    ) -> None:
        """Record that the visible revision is what an assembly made, too; nobody is told.

        Args:
            series: the series, in assembly.
            state: its next state.
            verdict: of the series.
            why: for its history.
            now: seconds since 1970.
            consequences: for names, and for series whose names depend on this one.
        """
        self._move(series, state, verdict, now, {"why": why}, consequences=consequences)

    def adopted(
        self,
        series: SeriesRecord,
        revision: int,
        consequences: Consequences,
        now: float,
    ) -> None:
        """Record a begun revision that an earlier index had published; nobody is told.

        Args:
            series: the series, in assembly.
            revision: its number.
            consequences: for names, and for series whose names depend on this one.
            now: seconds since 1970.
        """
        self._publications.finish(
            series,
            revision,
            SeriesState.READY,
            now=now,
            actor=ACTOR,
            detail={"why": f"revision {revision} was published before this index was created"},
            consequences=self._with_labels(series, consequences),
        )
        self._label_references.hasten(series.uid)

    def withdraw(
        self,
        series: SeriesRecord,
        state: SeriesState,
        verdict: dict[str, Any],
        now: float,
        actor: str = ACTOR,
    ) -> bool:
        """Record that a series has no volume; the files of its visible revision are removed.

        So the result does not depend on the order in which instances arrived: a series that is held
        for a gap shows nothing, even if fewer of its instances had no gap.

        Args:
            series: the series.
            state: its next state.
            verdict: its verdict, with the reasons why it has no volume.
            now: seconds since 1970.
            actor: who decided this, for the history.

        Returns:
            False if the series has changed, or this has to be done with another revision's number.

        Raises:
            Retryable: the output folder or the index cannot be written to now.
        """
        latest = self._publications.latest(series.pk)
        if latest is None or (latest.stage is Stage.VISIBLE and not latest.files):
            consequences = self._ruled.of_withdrawal(series)
            self.record(series, state, verdict, now, actor, consequences)
            return True
        revision = self._remove_files(series, verdict, now)
        if revision is None:
            return False
        consequences = self._ruled.of_withdrawal(series)
        self.published(series, revision, state, verdict, (), now, actor, consequences)
        return True

    def step_aside(self, series: SeriesRecord, now: float) -> bool:
        """Remove the files of a series whose names another one has to have; it is made again.

        Args:
            series: the series, in assembly or at rest.
            now: seconds since 1970.

        Returns:
            False if the series has changed.

        Raises:
            Retryable: the output folder or the index cannot be written to now.
        """
        assembling = series.state is SeriesState.ASSEMBLING
        state = follow(series.state, Event.REQUEUE if assembling else Event.FORCE)
        verdict = series.verdict or {"verdict": "unknown"}
        revision = self._remove_files(series, verdict, now)
        if revision is None:
            return False
        self.published(
            series, revision, state, verdict, (), now, consequences=Consequences(stems=())
        )
        return True

    def _remove_files(
        self, series: SeriesRecord, verdict: dict[str, Any], now: float
    ) -> int | None:
        """Begin a revision without files and remove those of the one before; returns its number.

        Returns:
            None if the series has changed.
        """
        revision = self.next_revision(series)
        if not self._publications.begin(series, revision, "", (), verdict, now):
            return None
        fault_point("revision-begun")
        spared = self._work.files_beside(series.pk)
        self._output_folder.withdraw(revision, self._work.stems(series.pk), spared)
        return revision

    def record(
        self,
        series: SeriesRecord,
        state: SeriesState,
        verdict: dict[str, Any],
        now: float,
        actor: str = ACTOR,
        consequences: Consequences = NO_CONSEQUENCES,
    ) -> None:
        """Record that a series has no new volume, and why; the visible revision stays.

        Args:
            series: the series.
            state: its next state.
            verdict: its verdict, with the reasons why it has no volume.
            now: seconds since 1970.
            actor: who decided this, for the history.
            consequences: what follows for names and for other series.
        """
        event_type = EventType(str(state))
        deliveries = self._event_publisher.deliveries_for(series, event_type, state, verdict, now)
        why = _why(verdict)
        detail = {"verdict": verdict.get("verdict", ""), "why": why}
        self._move(series, state, verdict, now, detail, actor, deliveries, consequences)
        log.info("series %s is %s: %s", series.address, state, why, extra=series_fields(series))

    def fail(self, series: SeriesRecord, reason: str, sentence: str, now: float) -> None:
        """Record that the assembly of a series failed; the visible revision stays.

        Args:
            series: the series, in assembly.
            reason: the name of the failure.
            sentence: what is wrong, for an administrator.
            now: seconds since 1970.
        """
        refusal = {"reason": reason, "sentence": sentence, "instances": []}
        verdict = {**(series.verdict or {}), "refusals": [refusal]}
        self.record(series, follow(series.state, Event.CRASH), verdict, now)

    def _deliveries(
        self,
        series: SeriesRecord,
        revision: int,
        state: SeriesState,
        verdict: dict[str, Any],
        files: tuple[str, ...],
        now: float,
    ) -> list[NewDelivery]:
        """Of what a revision replaces, of its state, and of what differs from the protocol."""
        previous = self._publications.visible(series.pk)
        replaced: tuple[str, ...] = ()
        if previous is not None:
            spared = {folded(name) for name in self._work.files_beside(series.pk)}
            replaced = tuple(name for name in previous.files if folded(name) not in spared)
        deliveries: list[NewDelivery] = []
        if previous is not None and replaced:
            told = self._event_publisher.deliveries_for(
                series,
                EventType.SUPERSEDED,
                state,
                verdict,
                now,
                revision=revision,
                about=previous.revision,
                files=replaced,
            )
            deliveries += told
        events = [EventType(str(state))] if state in _TOLD else []
        if files and verdict.get("drift"):
            events.append(EventType.PROTOCOL_DRIFT)
        for event in events:
            deliveries += self._event_publisher.deliveries_for(
                series,
                event,
                state,
                verdict,
                now,
                revision=revision,
                about=revision,
                files=files,
                replaced=() if event is EventType.PROTOCOL_DRIFT else replaced,
            )
        return deliveries

    def _with_labels(self, series: SeriesRecord, consequences: Consequences) -> Consequences:
        """What follows when the volumes of a series change, for its labels, too."""
        known = {one.series.pk for one in consequences.followers}
        labels = self._label_references.outdated(series.uid)
        others = tuple(one for one in labels if one.series.pk not in known)
        return replace(consequences, followers=(*consequences.followers, *others))

    def _move(
        self,
        series: SeriesRecord,
        state: SeriesState,
        verdict: dict[str, Any],
        now: float,
        detail: dict[str, Any],
        actor: str = ACTOR,
        deliveries: Sequence[NewDelivery] = (),
        consequences: Consequences = NO_CONSEQUENCES,
    ) -> None:
        self._work.move(
            series,
            state,
            now=now,
            actor=actor,
            detail=detail,
            deliveries=deliveries,
            consequences=consequences,
            verdict=verdict,
            owner="",
        )


def _why(verdict: dict[str, Any]) -> str:
    """Why a series has its new state, in a few words for its history and the log."""
    refused = sorted({refusal["reason"] for refusal in verdict.get("refusals") or ()})
    return ", ".join(refused) or str(verdict.get("why", ""))
