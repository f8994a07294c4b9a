"""From what an assembly gave to a visible revision, or to rest with a reason."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

from node.completion.policy import Event, follow
from node.deliver.publish import Publisher
from node.deliveries import Happening
from node.errors import Reason
from node.faults import fault_point
from node.index.publications import Publication, Publications
from node.index.work import Work
from node.production.herald import Herald
from node.production.jobs import Assembled, Job, Product, Refusal
from node.production.names import Names, joined
from node.records import SeriesRecord, SeriesState

log = logging.getLogger(__name__)

ACTOR = "assembler"
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
    ) -> None:
        self._work = work
        self._publications = publications
        self._publisher = publisher
        self._names = names
        self._herald = herald

    def next_revision(self, series: SeriesRecord) -> int:
        """The number that a new revision of the series would get."""
        floor = 0
        if self._publications.visible(series.pk) is None:
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
        before = self._publications.visible(series.pk)
        made = result.products
        if not self._names.claim_products(series, folder, made):
            return False
        state = SeriesState.READY if made else _state_without(result.refusals)
        fingerprint = _fingerprint(folder, made)
        if not made and (before is None or not before.files):
            self.rest(series, state, verdict, now)
        elif before is not None and before.fingerprint == fingerprint:
            why = f"nothing differs from revision {before.revision}"
            self._move(series, state, verdict, now, {"why": why})
        else:
            return self._publish(series, job, folder, made, fingerprint, before, verdict, now)
        return True

    def rest(
        self, series: SeriesRecord, state: SeriesState, verdict: dict[str, Any], now: float
    ) -> None:
        """End without a volume, and tell why."""
        reasons = sorted({refusal["reason"] for refusal in verdict.get("refusals", ())})
        happening = Happening(str(state))
        deliveries = self._herald.word(series, happening, state, verdict, now)
        self._move(series, state, verdict, now, {"refusals": reasons}, deliveries=deliveries)
        log.info("series %s is %s: %s", series.uid, state, ", ".join(reasons) or "empty")

    def fail(self, series: SeriesRecord, reason: str, sentence: str, now: float) -> None:
        """End as failed, with the earlier revision, if there is one, left as it is."""
        refusal = {"reason": reason, "sentence": sentence, "instances": []}
        verdict = {**(series.verdict or {}), "refusals": [refusal]}
        self.rest(series, follow(series.state, Event.CRASH), verdict, now)

    def _publish(
        self,
        series: SeriesRecord,
        job: Job,
        folder: str,
        made: Sequence[Product],
        fingerprint: str,
        before: Publication | None,
        verdict: dict[str, Any],
        now: float,
    ) -> bool:
        names = [name for product in made for name in product.files]
        files = tuple(joined(folder, name) for name in names)
        begun = self._publications.begin(series, job.revision, fingerprint, files, verdict, now)
        if not begun:
            return False
        fault_point("revision-begun")
        stems = self._work.stems(series.pk)
        self._publisher.publish(job.staging, folder, names, job.revision, stems)
        fault_point("revision-visible")

        state = SeriesState.READY if made else SeriesState.NOT_A_VOLUME
        deliveries = []
        if before is not None and before.files:
            deliveries += self._herald.word(
                series,
                Happening.SUPERSEDED,
                state,
                verdict,
                now,
                revision=job.revision,
                about=before.revision,
                files=before.files,
            )
        deliveries += self._herald.word(
            series,
            Happening(str(state)),
            state,
            verdict,
            now,
            revision=job.revision,
            about=job.revision,
            files=files,
        )
        became = self._publications.finish(
            series,
            job.revision,
            state,
            now=now,
            actor=ACTOR,
            detail={"files": list(files)},
            deliveries=deliveries,
        )
        fault_point("revision-finished")
        log.info("series %s: revision %d is visible; %s", series.uid, job.revision, became)
        return True

    def _move(
        self,
        series: SeriesRecord,
        state: SeriesState,
        verdict: dict[str, Any],
        now: float,
        detail: dict[str, Any],
        **values: Any,
    ) -> None:
        self._work.move(
            series,
            state,
            now=now,
            actor=ACTOR,
            detail=detail,
            verdict=verdict,
            owner="",
            **values,
        )


def _state_without(refusals: Sequence[Refusal]) -> SeriesState:
    if any(refusal.reason in _UNDECODABLE for refusal in refusals):
        return SeriesState.FAILED
    return SeriesState.NOT_A_VOLUME


def _fingerprint(folder: str, made: Sequence[Product]) -> str:
    parts = sorted(f"{joined(folder, product.stem)} {product.fingerprint}" for product in made)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
