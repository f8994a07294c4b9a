"""Publishes what an assembly made as a revision, or records why it made nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from node.core.errors import DAMAGE, Reason
from node.core.fault_points import fault_point
from node.core.records import SeriesRecord, SeriesState
from node.lifecycle.assembly.fingerprint import (
    digests,
    digests_of_images,
    fingerprint,
    fingerprint_of_all,
    joined,
)
from node.lifecycle.assembly.jobs import Assembled, Job, Product, PublishedRevision, Refusal
from node.lifecycle.assembly.name_disputes import NameDisputes
from node.lifecycle.assembly.outcomes import Outcomes
from node.lifecycle.assembly.output_folder import OutputFolder
from node.lifecycle.assembly.ruled_names import RuledNames
from node.lifecycle.log_fields import series_fields
from node.storage.index.search.search import Sendable
from node.storage.index.series.damages import Damages
from node.storage.index.series.publications import Publications, Stage
from node.storage.index.series.work import Work

log = logging.getLogger(__name__)

VISIBLE = Stage.VISIBLE
DAMAGED = "found when its series was to be assembled"
_UNDECODABLE = (Reason.PIXELS_UNREADABLE, Reason.PIXELS_TRUNCATED, Reason.UNSUPPORTED_PIXELS)
"""Refusals that a codec or an undamaged copy can cure: the series has failed. With any other
refusal it is not a volume, and only other instances can make it one."""


class RevisionPublisher:
    """Ends assemblies: publishes what they made, or records why they made nothing.

    Args:
        work: the series in the index.
        publications: the revisions in the index.
        output_folder: where revisions are published.
        ruled: names that rules give.
        disputes: claims the names of results.
        outcomes: records what becomes of series.
        damages: the damaged files in the index.
    """

    def __init__(
        self,
        work: Work,
        publications: Publications,
        output_folder: OutputFolder,
        ruled: RuledNames,
        disputes: NameDisputes,
        outcomes: Outcomes,
        damages: Damages,
    ) -> None:
        self._work = work
        self._publications = publications
        self._output_folder = output_folder
        self._ruled = ruled
        self._disputes = disputes
        self._outcomes = outcomes
        self._damages = damages

    def next_revision(self, series: SeriesRecord) -> int:
        """The number of the next revision of a series."""
        return self._outcomes.next_revision(series)

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
        if not self._disputes.may_have_names(series, folder, result, now):
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
            self._outcomes.unchanged(series, state, verdict, why, now, consequences)
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
        self._outcomes.published(
            series, job.revision, state, verdict, files, now, consequences=consequences
        )
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
        revision = max(1, self._output_folder.revision_on_disk(stems, self._outcomes.uids(series)))
        root = self._output_folder.folder("")
        kept = digests(root, files, digests_of_images(root, files))
        if not self._publications.begin(series, revision, print_of_all, files, verdict, now, kept):
            return False
        self._ruled.tabulate(products)
        consequences = self._ruled.of_publication(series, products)
        self._outcomes.adopted(series, revision, consequences, now)
        return True

    def _conclude_without_volume(
        self,
        series: SeriesRecord,
        result: Assembled,
        state: SeriesState,
        verdict: dict[str, Any],
        now: float,
    ) -> bool:
        if not result.damaged:
            return self._outcomes.withdraw(series, state, verdict, now)
        self._record_damage(series, result, now)
        self._outcomes.record(
            series, state, verdict, now
        )  # the revision from before the damage stays
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


def _state_without(refusals: Sequence[Refusal]) -> SeriesState:
    if any(refusal.reason in _UNDECODABLE or refusal.reason in DAMAGE for refusal in refusals):
        return SeriesState.FAILED
    return SeriesState.NOT_A_VOLUME


def _fingerprint(folder: str, products: Sequence[Product]) -> str:
    return fingerprint_of_all(folder, ((one.stem, one.fingerprint) for one in products))
