"""From what an assembly gave to a visible revision, or to rest with a reason."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from node.completion.policy import Event, follow
from node.core.errors import DAMAGE, Reason
from node.core.events import EventType, NewDelivery
from node.core.fault_points import fault_point
from node.core.output_names import folded
from node.core.records import SeriesRecord, SeriesState
from node.deliver.publish import Publisher
from node.lifecycle.assembly.fingerprint import (
    digests,
    digests_of_images,
    fingerprint,
    fingerprint_of_all,
    joined,
)
from node.lifecycle.assembly.jobs import Assembled, Before, Job, Product, Refusal
from node.lifecycle.assembly.label_references import LabelReferences
from node.lifecycle.assembly.names import Names
from node.lifecycle.publisher import EventPublisher
from node.storage.index.search.search import Sendable
from node.storage.index.series.damages import Damages
from node.storage.index.series.publications import Publications, Stage
from node.storage.index.series.work import Work

log = logging.getLogger(__name__)

ACTOR = "assembler"
VISIBLE = Stage.VISIBLE
DAMAGED = "found when its series was to be made"
_UNDECODABLE = (Reason.PIXELS_UNREADABLE, Reason.PIXELS_TRUNCATED, Reason.UNSUPPORTED_PIXELS)
"""Refusals that a codec or a better copy can cure: the series failed. With all others it is no
volume, and nothing but other instances makes it one."""


class Outcomes:
    """Ends assemblies: publishes what they made, keeps why they made nothing."""

    def __init__(
        self,
        work: Work,
        publications: Publications,
        publisher: Publisher,
        names: Names,
        event_publisher: EventPublisher,
        grounds: LabelReferences,
        damages: Damages,
    ) -> None:
        self._work = work
        self._publications = publications
        self._publisher = publisher
        self._names = names
        self._event_publisher = event_publisher
        self._grounds = grounds
        self._damages = damages

    def next_revision(self, series: SeriesRecord) -> int:
        """The number that a new revision of the series would get."""
        floor = 0
        if self._publications.latest(series.pk) is None:  # perhaps the index is a new one
            stems = self._work.stems(series.pk)
            floor = self._publisher.revision_on_disk(stems, series.uid)
        return self._publications.next_revision(series.pk, floor)

    def before(self, series: SeriesRecord) -> Before | None:
        """What is published of a series, for whoever makes it again."""
        latest = self._publications.latest(series.pk)
        if latest is None or latest.stage is not VISIBLE or not latest.files:
            return None
        digests = latest.digests or dict.fromkeys(latest.files, "")
        return Before(latest.fingerprint, self._publisher.folder(""), digests)

    def end(
        self, series: SeriesRecord, job: Job, folder: str, result: Assembled, now: float
    ) -> bool:
        """Bring an assembly's result to where people see it.

        Returns:
            False if it cannot be used: the series has changed, or has to be assembled again
            under another name, as another series has one of its names, or under another
            revision's number, as it came out differently than before a crash.

        Raises:
            Retryable: the output folder or the index cannot be written now.
        """
        verdict = {**job.verdict, "refusals": [refusal.as_dict() for refusal in result.refusals]}
        made = result.products
        if not self._names.claim_products(series, folder, made):
            return False
        state = self.state_of(result)
        if not made:
            return self._end_with_nothing(series, result, state, verdict, now)
        print_of_all = _fingerprint(folder, made)
        before = self._publications.latest(series.pk)
        same = (
            before is not None
            and not result.unsound
            and (before.stage, before.fingerprint) == (VISIBLE, print_of_all)
        )
        if before is not None and same:
            why = f"nothing differs from revision {before.revision}"
            self._move(series, state, verdict, now, {"why": why})
            return True
        names = [name for product in made for name in product.files]
        files = tuple(joined(folder, name) for name in names)
        if before is None and self._is_on_disk(folder, made):
            return self._adopt(series, print_of_all, files, verdict, now)
        kept = {joined(folder, name): one for each in made for name, one in each.digests.items()}
        begun = self._publications.begin(
            series, job.revision, print_of_all, files, verdict, now, kept
        )
        if not begun:
            return False
        fault_point("revision-begun")
        stems = self._work.stems(series.pk)
        spared = self._work.files_beside(series.pk)
        self._publisher.publish(job.staging, folder, names, job.revision, stems, spared)
        self._finish(series, job.revision, state, verdict, files, now, ACTOR)
        return True

    @staticmethod
    def state_of(result: Assembled) -> SeriesState:
        """The state that a series with such a result ends in."""
        return SeriesState.READY if result.products else _state_without(result.refusals)

    def _is_on_disk(self, folder: str, made: Sequence[Product]) -> bool:
        """Whether the very same volumes are visible already, though the index forgot them."""
        try:
            return all(
                fingerprint(self._publisher.folder(folder), product.files) == product.fingerprint
                for product in made
            )
        except (OSError, ValueError):
            return False

    def _adopt(
        self,
        series: SeriesRecord,
        print_of_all: str,
        files: tuple[str, ...],
        verdict: dict[str, Any],
        now: float,
    ) -> bool:
        """Take up what an earlier index had published; nobody is told again."""
        stems = self._work.stems(series.pk)
        revision = max(1, self._publisher.revision_on_disk(stems, series.uid))
        root = self._publisher.folder("")
        kept = digests(root, files, digests_of_images(root, files))
        if not self._publications.begin(series, revision, print_of_all, files, verdict, now, kept):
            return False
        detail = {"why": f"revision {revision} was there before this index"}
        state = SeriesState.READY
        finish = self._publications.finish
        finish(series, revision, state, now=now, actor=ACTOR, detail=detail)
        self._grounds.changed(series.uid, now)
        return True

    def _end_with_nothing(
        self,
        series: SeriesRecord,
        result: Assembled,
        state: SeriesState,
        verdict: dict[str, Any],
        now: float,
    ) -> bool:
        if not result.broken:
            return self.end_without(series, state, verdict, now)
        self._note(series, result, now)
        self.rest(series, state, verdict, now)  # what was made before the damage stays
        return True

    def _note(self, series: SeriesRecord, result: Assembled, now: float) -> None:
        """Keep which instances are damaged; if the series has changed, perhaps they no more are."""
        for one in result.broken:
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
                    "%s: SOP Instance %s of series %s",
                    reason,
                    instance.sop_instance_uid,
                    series.address,
                )

    def end_without(
        self,
        series: SeriesRecord,
        state: SeriesState,
        verdict: dict[str, Any],
        now: float,
        actor: str = ACTOR,
    ) -> bool:
        """End with no volume; an earlier revision's files, if there are any, are withdrawn.

        So a series comes to the same end however its instances came: one with a gap that is to
        be held shows nothing, even if it had no gap when less of it was there.

        Returns:
            False if the series has changed, or it has to be done again under another number.
        """
        before = self._publications.latest(series.pk)
        if before is None or (before.stage is VISIBLE and not before.files):
            self.rest(series, state, verdict, now, actor)
            return True
        revision = self.next_revision(series)
        if not self._publications.begin(series, revision, "", (), verdict, now):
            return False
        fault_point("revision-begun")
        spared = self._work.files_beside(series.pk)
        self._publisher.withdraw(revision, self._work.stems(series.pk), spared)
        self._finish(series, revision, state, verdict, (), now, actor)
        return True

    def rest(
        self,
        series: SeriesRecord,
        state: SeriesState,
        verdict: dict[str, Any],
        now: float,
        actor: str = ACTOR,
    ) -> None:
        """End without a volume, and tell why; files of earlier revisions stay as they are."""
        event_type = EventType(str(state))
        deliveries = self._event_publisher.word(series, event_type, state, verdict, now)
        why = _why(verdict)
        detail = {"verdict": verdict.get("verdict", ""), "why": why}
        self._move(series, state, verdict, now, detail, actor, deliveries)
        log.info("series %s is %s: %s", series.address, state, why)

    def fail(self, series: SeriesRecord, reason: str, sentence: str, now: float) -> None:
        """End as failed, with the earlier revision, if there is one, left as it is."""
        refusal = {"reason": reason, "sentence": sentence, "instances": []}
        verdict = {**(series.verdict or {}), "refusals": [refusal]}
        self.rest(series, follow(series.state, Event.CRASH), verdict, now)

    def _finish(
        self,
        series: SeriesRecord,
        revision: int,
        state: SeriesState,
        verdict: dict[str, Any],
        files: tuple[str, ...],
        now: float,
        actor: str,
    ) -> None:
        fault_point("revision-visible")
        before = self._publications.visible(series.pk)
        spared = {folded(name) for name in self._work.files_beside(series.pk)}
        gone = before.files if before is not None else ()
        replaced = tuple(name for name in gone if folded(name) not in spared)
        deliveries = []
        if before is not None and replaced:
            deliveries += self._event_publisher.word(
                series,
                EventType.SUPERSEDED,
                state,
                verdict,
                now,
                revision=revision,
                about=before.revision,
                files=replaced,
            )
        deliveries += self._event_publisher.word(
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
        became = self._publications.finish(
            series,
            revision,
            state,
            now=now,
            actor=actor,
            detail={"files": list(files), "verdict": verdict["verdict"], "why": _why(verdict)},
            deliveries=deliveries,
        )
        fault_point("revision-finished")
        what = f"revision {revision} is visible" if files else f"withdrawn by revision {revision}"
        log.info("series %s: %s; %s", series.address, what, became)
        self._grounds.changed(series.uid, now)

    def _move(
        self,
        series: SeriesRecord,
        state: SeriesState,
        verdict: dict[str, Any],
        now: float,
        detail: dict[str, Any],
        actor: str = ACTOR,
        deliveries: Sequence[NewDelivery] = (),
    ) -> None:
        self._work.move(
            series,
            state,
            now=now,
            actor=actor,
            detail=detail,
            deliveries=deliveries,
            verdict=verdict,
            owner="",
        )


def _why(verdict: dict[str, Any]) -> str:
    """Why a series ended as it did, in a few words for its history and the log."""
    refused = sorted({refusal["reason"] for refusal in verdict.get("refusals") or ()})
    return ", ".join(refused) or str(verdict.get("why", ""))


def _state_without(refusals: Sequence[Refusal]) -> SeriesState:
    if any(refusal.reason in _UNDECODABLE or refusal.reason in DAMAGE for refusal in refusals):
        return SeriesState.FAILED
    return SeriesState.NOT_A_VOLUME


def _fingerprint(folder: str, made: Sequence[Product]) -> str:
    return fingerprint_of_all(folder, ((one.stem, one.fingerprint) for one in made))
