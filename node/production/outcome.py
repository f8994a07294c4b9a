"""From what an assembly gave to a visible revision, or to rest with a reason."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

from node.completion.policy import Event, follow
from node.deliver.publish import Publisher
from node.deliveries import Happening, NewDelivery
from node.errors import Reason
from node.faults import fault_point
from node.index.publications import Publications, Stage
from node.index.work import Work
from node.naming import folded
from node.production.fingerprint import fingerprint
from node.production.grounds import Grounds
from node.production.herald import Herald
from node.production.jobs import Assembled, Job, Product, Refusal
from node.production.names import Names, joined
from node.records import SeriesRecord, SeriesState

log = logging.getLogger(__name__)

ACTOR = "assembler"
VISIBLE = Stage.VISIBLE
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
        herald: Herald,
        grounds: Grounds,
    ) -> None:
        self._work = work
        self._publications = publications
        self._publisher = publisher
        self._names = names
        self._herald = herald
        self._grounds = grounds

    def next_revision(self, series: SeriesRecord) -> int:
        """The number that a new revision of the series would get."""
        floor = 0
        if self._publications.latest(series.pk) is None:  # perhaps the index is a new one
            stems = self._work.stems(series.pk)
            floor = self._publisher.revision_on_disk(stems, series.uid)
        return self._publications.next_revision(series.pk, floor)

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
            return self.end_without(series, state, verdict, now)
        print_of_all = _fingerprint(folder, made)
        before = self._publications.latest(series.pk)
        if before is not None and (before.stage, before.fingerprint) == (VISIBLE, print_of_all):
            why = f"nothing differs from revision {before.revision}"
            self._move(series, state, verdict, now, {"why": why})
            return True
        names = [name for product in made for name in product.files]
        files = tuple(joined(folder, name) for name in names)
        if before is None and self._is_on_disk(folder, made):
            return self._adopt(series, print_of_all, files, verdict, now)
        begun = self._publications.begin(series, job.revision, print_of_all, files, verdict, now)
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
        if not self._publications.begin(series, revision, print_of_all, files, verdict, now):
            return False
        detail = {"why": f"revision {revision} was there before this index"}
        state = SeriesState.READY
        finish = self._publications.finish
        finish(series, revision, state, now=now, actor=ACTOR, detail=detail)
        self._grounds.changed(series.uid, now)
        return True

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
        happening = Happening(str(state))
        deliveries = self._herald.word(series, happening, state, verdict, now)
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
            deliveries += self._herald.word(
                series,
                Happening.SUPERSEDED,
                state,
                verdict,
                now,
                revision=revision,
                about=before.revision,
                files=replaced,
            )
        deliveries += self._herald.word(
            series,
            Happening(str(state)),
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
    if any(refusal.reason in _UNDECODABLE for refusal in refusals):
        return SeriesState.FAILED
    return SeriesState.NOT_A_VOLUME


def _fingerprint(folder: str, made: Sequence[Product]) -> str:
    parts = sorted(f"{joined(folder, product.stem)} {product.fingerprint}" for product in made)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
