"""Publishes what an assembly made as a revision, or records why it made nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from node.completion.states import Event, follow
from node.core.errors import DAMAGE, Reason, Retryable
from node.core.events import EventType, NewDelivery
from node.core.fault_points import fault_point
from node.core.output_names import folded
from node.core.records import SeriesRecord, SeriesState
from node.lifecycle.assembly.fingerprint import (
    digests,
    digests_of_images,
    fingerprint,
    fingerprint_of_all,
    joined,
)
from node.lifecycle.assembly.jobs import Assembled, Job, Product, PublishedRevision, Refusal
from node.lifecycle.assembly.label_references import LabelReferences
from node.lifecycle.assembly.output_folder import OutputFolder
from node.lifecycle.assembly.output_name_claims import OutputNameClaims
from node.lifecycle.assembly.ruled_names import RuledNames
from node.lifecycle.event_publisher import EventPublisher
from node.lifecycle.log_fields import series_fields
from node.storage.index.search.search import Sendable
from node.storage.index.series.consequences import NO_CONSEQUENCES, Consequences
from node.storage.index.series.damages import Damages
from node.storage.index.series.publications import Publications, Stage
from node.storage.index.series.work import Work

log = logging.getLogger(__name__)

ACTOR = "assembler"
VISIBLE = Stage.VISIBLE
DAMAGED = "found when its series was to be assembled"
_UNDECODABLE = (Reason.PIXELS_UNREADABLE, Reason.PIXELS_TRUNCATED, Reason.UNSUPPORTED_PIXELS)
"""Refusals that a codec or an undamaged copy can cure: the series has failed. With any other
refusal it is not a volume, and only other instances can make it one."""


_AT_REST = (SeriesState.READY, SeriesState.NOT_A_VOLUME, SeriesState.FAILED, SeriesState.HELD)


class RevisionPublisher:
    """Ends assemblies: publishes what they made, or records why they made nothing.

    Args:
        work: the series in the index.
        publications: the revisions in the index.
        output_folder: where revisions are published.
        output_names: assigns output names.
        ruled: names that rules give.
        event_publisher: makes the deliveries of each event.
        label_references: has labels of a series made again when its volumes change.
        damages: the damaged files in the index.
    """

    def __init__(
        self,
        work: Work,
        publications: Publications,
        output_folder: OutputFolder,
        output_names: OutputNameClaims,
        ruled: RuledNames,
        event_publisher: EventPublisher,
        label_references: LabelReferences,
        damages: Damages,
    ) -> None:
        self._work = work
        self._publications = publications
        self._output_folder = output_folder
        self._output_names = output_names
        self._ruled = ruled
        self._event_publisher = event_publisher
        self._label_references = label_references
        self._damages = damages

    def next_revision(self, series: SeriesRecord) -> int:
        """The number of the next revision of a series."""
        floor = 0
        if self._publications.latest(series.pk) is None:  # perhaps the index was rebuilt
            stems = self._work.stems(series.pk)
            floor = self._output_folder.revision_on_disk(stems, self._uids(series))
        return self._publications.next_revision(series.pk, floor)

    def _uids(self, series: SeriesRecord) -> set[str]:
        """The series that manifests of a series may name: of a run, the one of its first volume."""
        return {series.uid, *(one.uid for one in self._work.members(series.pk))}

    def published(self, series: SeriesRecord) -> PublishedRevision | None:
        """The visible revision of a series; None if there is none."""
        latest = self._publications.latest(series.pk)
        if latest is None or latest.stage is not VISIBLE or not latest.files:
            return None
        digests = latest.digests or dict.fromkeys(latest.files, "")
        return PublishedRevision(latest.fingerprint, self._output_folder.folder(""), digests)

    def conclude(
        self, series: SeriesRecord, job: Job, folder: str, result: Assembled, now: float
    ) -> bool:
        """Publish an assembly's result, or record why nothing was made.

        Args:
            series: as it was when the job was started.
            job: the job.
            folder: where its files go, relative to the output folder.
            result: the job's result.
            now: seconds since 1970.

        Returns:
            False if the result cannot be used: the series has changed; or it has to be assembled
            under another name, because another series has one of its names; or with another
            revision's number, because the result differs from that before a crash.

        Raises:
            Retryable: the output folder or the index cannot be written to now.
        """
        products = result.products
        verdict = {
            **job.verdict,
            "refusals": [refusal.as_dict() for refusal in result.refusals],
            "quality": {one.stem: one.quality for one in products if one.quality is not None},
            "drift": [each for one in products for each in one.drift],
            "known_as": [list(one.known_as) for one in products if one.known_as is not None],
        }
        if not self._may_have_names(series, folder, result, now):
            return False
        state = self.state_of(result)
        if not products:
            return self._conclude_without_volume(series, result, state, verdict, now)
        print_of_all = _fingerprint(folder, products)
        latest = self._publications.latest(series.pk)
        same = (
            latest is not None
            and not result.republish
            and (latest.stage, latest.fingerprint) == (VISIBLE, print_of_all)
        )
        if latest is not None and same:
            why = f"nothing differs from revision {latest.revision}"
            consequences = self._ruled.of_publication(series, products)
            self._move(series, state, verdict, now, {"why": why}, consequences=consequences)
            return True
        names = [name for product in products for name in product.files]
        files = tuple(joined(folder, name) for name in names)
        if latest is None and self._is_on_disk(folder, products):
            return self._adopt(series, products, print_of_all, files, verdict, now)
        kept = {
            joined(folder, name): one for each in products for name, one in each.digests.items()
        }
        begun = self._publications.begin(
            series, job.revision, print_of_all, files, verdict, now, kept
        )
        if not begun:
            return False
        fault_point("revision-begun")
        stems = self._work.stems(series.pk)
        spared = self._work.files_beside(series.pk)
        self._output_folder.publish(job.staging, folder, names, job.revision, stems, spared)
        self._ruled.tabulate(products)
        consequences = self._ruled.of_publication(series, products)
        self._finish(series, job.revision, state, verdict, files, now, ACTOR, consequences)
        return True

    def _may_have_names(
        self, series: SeriesRecord, folder: str, result: Assembled, now: float
    ) -> bool:
        """Claim the names of a result; series that have to have other names step aside.

        Raises:
            Retryable: another series has a name and is in progress itself.
        """
        products = result.products
        if not self._ruled.agree(series, result):
            return False
        if self._output_names.claim_products(series, folder, products):
            return True
        if not any(product.sibling for product in products):
            return False
        blocking = self._ruled.holders(series, products)
        for other in blocking:
            visible = self._publications.visible(other.pk)
            if other.state in _AT_REST and (visible is None or not visible.files):
                self._ruled.release(other)
            elif other.state in _AT_REST and other.state is not SeriesState.HELD:
                self.step_aside(other, now)
        if self._output_names.claim_products(series, folder, products):
            return True
        if self._ruled.has_other_names(series) and self.step_aside(series, now):
            return False
        names = ", ".join(other.address for other in blocking) or "an unknown series"
        raise Retryable(f"its name is still that of {names}, which has to have another")

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
        revision, verdict = self.next_revision(series), series.verdict or {"verdict": "unknown"}
        if not self._publications.begin(series, revision, "", (), verdict, now):
            return False
        spared = self._work.files_beside(series.pk)
        self._output_folder.withdraw(revision, self._work.stems(series.pk), spared)
        self._finish(series, revision, state, verdict, (), now, ACTOR, Consequences(stems=()))
        return True

    @staticmethod
    def state_of(result: Assembled) -> SeriesState:
        """The state that a series with such a result ends in."""
        return SeriesState.READY if result.products else _state_without(result.refusals)

    def _is_on_disk(self, folder: str, products: Sequence[Product]) -> bool:
        """Whether equal volumes are visible already, but not in the index."""
        try:
            return all(
                fingerprint(self._output_folder.folder(folder), product.files)
                == product.fingerprint
                for product in products
            )
        except (OSError, ValueError):
            return False

    def _adopt(
        self,
        series: SeriesRecord,
        products: Sequence[Product],
        print_of_all: str,
        files: tuple[str, ...],
        verdict: dict[str, Any],
        now: float,
    ) -> bool:
        """Record a revision that an earlier index had published, without deliveries."""
        stems = self._work.stems(series.pk)
        revision = max(1, self._output_folder.revision_on_disk(stems, self._uids(series)))
        root = self._output_folder.folder("")
        kept = digests(root, files, digests_of_images(root, files))
        if not self._publications.begin(series, revision, print_of_all, files, verdict, now, kept):
            return False
        detail = {"why": f"revision {revision} was published before this index was created"}
        state = SeriesState.READY
        self._ruled.tabulate(products)
        self._publications.finish(
            series,
            revision,
            state,
            now=now,
            actor=ACTOR,
            detail=detail,
            consequences=self._with_labels(series, self._ruled.of_publication(series, products)),
        )
        self._label_references.hasten(series.uid)
        return True

    def _with_labels(self, series: SeriesRecord, consequences: Consequences) -> Consequences:
        """What follows when the volumes of a series change, for its labels, too."""
        known = {one.series.pk for one in consequences.followers}
        labels = self._label_references.outdated(series.uid)
        others = tuple(one for one in labels if one.series.pk not in known)
        return replace(consequences, followers=(*consequences.followers, *others))

    def _conclude_without_volume(
        self,
        series: SeriesRecord,
        result: Assembled,
        state: SeriesState,
        verdict: dict[str, Any],
        now: float,
    ) -> bool:
        if not result.damaged:
            return self.withdraw(series, state, verdict, now)
        self._record_damage(series, result, now)
        self.record(series, state, verdict, now)  # the revision from before the damage stays
        return True

    def _record_damage(self, series: SeriesRecord, result: Assembled, now: float) -> None:
        """Record which instances are damaged, unless the series has changed meanwhile."""
        for one in result.damaged:
            instance = Sendable(
                sop_instance_uid=one.instance.sop_instance_uid,
                sop_class_uid=one.instance.sop_class_uid,
                transfer_syntax_uid=one.instance.transfer_syntax_uid,
                path=one.instance.path,
                size=one.instance.size,
                sha256=one.instance.sha256,
                data_set_offset=one.instance.data_set_offset,
            )
            reason = one.reason
            if self._damages.note_instance(instance, reason, DAMAGED, now, series.change):
                log.error(
                    "%s: the file of SOP Instance %s of series %s is not what was received; "
                    "send the instance again",
                    reason,
                    instance.sop_instance_uid,
                    series.address,
                    extra={**series_fields(series), "instance": instance.sop_instance_uid},
                )

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
        if latest is None or (latest.stage is VISIBLE and not latest.files):
            consequences = self._ruled.of_withdrawal(series)
            self.record(series, state, verdict, now, actor, consequences)
            return True
        revision = self.next_revision(series)
        if not self._publications.begin(series, revision, "", (), verdict, now):
            return False
        fault_point("revision-begun")
        spared = self._work.files_beside(series.pk)
        self._output_folder.withdraw(revision, self._work.stems(series.pk), spared)
        consequences = self._ruled.of_withdrawal(series)
        self._finish(series, revision, state, verdict, (), now, actor, consequences)
        return True

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

    def _finish(
        self,
        series: SeriesRecord,
        revision: int,
        state: SeriesState,
        verdict: dict[str, Any],
        files: tuple[str, ...],
        now: float,
        actor: str,
        consequences: Consequences = NO_CONSEQUENCES,
    ) -> None:
        fault_point("revision-visible")
        previous = self._publications.visible(series.pk)
        replaced: tuple[str, ...] = ()
        if previous is not None:
            spared = {folded(name) for name in self._work.files_beside(series.pk)}
            replaced = tuple(name for name in previous.files if folded(name) not in spared)
        deliveries = []
        if previous is not None and replaced:
            deliveries += self._event_publisher.deliveries_for(
                series,
                EventType.SUPERSEDED,
                state,
                verdict,
                now,
                revision=revision,
                about=previous.revision,
                files=replaced,
            )
        if state in _AT_REST:  # of a joined series the one that stands for the run tells
            deliveries += self._event_publisher.deliveries_for(
                series,
                EventType(str(state)),
                state,
                verdict,
                now,
                revision=revision,
                about=revision,
                files=files,
                replaced=replaced,
            )
        if verdict.get("drift"):
            deliveries += self._event_publisher.deliveries_for(
                series,
                EventType.PROTOCOL_DRIFT,
                state,
                verdict,
                now,
                revision=revision,
                about=revision,
                files=files,
            )
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


def _state_without(refusals: Sequence[Refusal]) -> SeriesState:
    if any(refusal.reason in _UNDECODABLE or refusal.reason in DAMAGE for refusal in refusals):
        return SeriesState.FAILED
    return SeriesState.NOT_A_VOLUME


def _fingerprint(folder: str, products: Sequence[Product]) -> str:
    return fingerprint_of_all(folder, ((one.stem, one.fingerprint) for one in products))
