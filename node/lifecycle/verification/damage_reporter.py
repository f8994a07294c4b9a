"""Records damaged files in the index, and has damaged volumes made again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from node.completion.states import Event, NotNow, follow
from node.core.errors import Retryable
from node.core.records import SeriesState
from node.storage.index.engine import Index
from node.storage.index.search.search import Sendable
from node.storage.index.series.damages import Damaged, Damages
from node.storage.index.series.verification import Outputs
from node.storage.index.series.work import Work
from node.storage.integrity import Damage, Expected, Meta, check_archived

log = logging.getLogger(__name__)

ACTOR = "verification"


class StorageAway(Retryable):
    """The whole archive or output folder is unavailable; no file counts as lost by that."""


class DamageReporter:
    """Records damage, and has volumes made again.

    Args:
        index: the database.
        root: `storage.root`.
        clock: returns seconds since 1970, UTC.
    """

    def __init__(self, index: Index, root: Path, clock: Callable[[], float]) -> None:
        self._damages = Damages(index)
        self._work = Work(index)
        self._root = root
        self._clock = clock

    def record_instance(self, instance: Sendable, damage: Damage) -> bool:
        """Record that the archived file of an instance is damaged.

        Args:
            instance: the instance.
            damage: what is wrong with its file.

        Returns:
            False if the file was replaced meanwhile.

        Raises:
            Retryable: the archive is unavailable, or the index cannot be written to.
        """
        if not (self._root / "archive" / ".incoming").is_dir():
            raise StorageAway("the archive below storage.root is missing: is it mounted?")
        now = self._clock()
        if not self._damages.note_instance(instance, damage.reason, damage.sentence, now):
            return False
        uid = instance.sop_instance_uid
        log.error(
            "%s: SOP Instance %s: %s",
            damage.reason,
            uid,
            damage.sentence,
            extra={"instance": uid},
        )
        return True

    def check(self, instance: Sendable) -> None:
        """Check the file of an instance that a reader found damaged, and record the damage.

        It raises nothing because of the file, as its callers have requests to answer.
        """
        try:
            check_archived(self._root / "archive" / instance.path, expected(instance))
        except Damage as damage:
            try:
                self.record_instance(instance, damage)
            except Retryable as error:
                log.error(
                    "the node cannot record now that the file of SOP Instance %s is damaged: %s",
                    instance.sop_instance_uid,
                    error,
                    extra={"instance": instance.sop_instance_uid},
                )
        except OSError as error:
            uid = instance.sop_instance_uid
            log.error(
                "the node cannot read the file of SOP Instance %s: %s; check disk and permissions",
                uid,
                error.strerror,
                extra={"instance": uid},
            )

    def record_output(self, outputs: Outputs, name: str, damage: Damage) -> bool:
        """Record that a published file is damaged, and have its series assembled again.

        Args:
            outputs: the revision that the file belongs to.
            name: of the file, relative to the output folder.
            damage: what is wrong with it.

        Returns:
            False if the file was replaced meanwhile.

        Raises:
            Retryable: the output folder is unavailable, or the index cannot be written to.
        """
        if not (self._root / "nifti").is_dir():
            raise StorageAway("the output folder below storage.root is missing: is it mounted?")
        now, pk = self._clock(), outputs.series_pk
        noted = self._damages.note_output(
            pk, outputs.revision, name, damage.reason, damage.sentence, now
        )
        if not noted:
            return False
        log.error(
            "%s: a published file of series %s: %s",
            damage.reason,
            outputs.address,
            damage.sentence,
            extra={"series": outputs.address},
        )
        self._move(pk, SeriesState.READY, Event.RETRY, "a published file was damaged or lost")
        return True

    def record_repaired(self, damaged: Damaged) -> None:
        """Record that a file is undamaged again, though it was not sent; judge its series again."""
        if damaged.is_archived:
            why = "a damaged or missing file was restored"
            self._move(damaged.series_pk, SeriesState.FAILED, Event.INSTANCE, why)
        self._damages.forget(damaged.path)

    def _move(self, series_pk: int, state: SeriesState, event: Event, why: str) -> None:
        """Move a series, but only from the state in which nothing else happens to it."""
        now = self._clock()
        for series in self._work.of([series_pk]):
            if series.state is not state:
                return
            try:
                to = follow(series.state, event)
            except NotNow:
                return
            due = now if to is SeriesState.RECEIVING else None
            self._work.move(series, to, now=now, actor=ACTOR, detail={"why": why}, due=due)


def expected(instance: Sendable) -> Expected:
    """What an instance's file has to be, including its File Meta Information."""
    return Expected(
        instance.sha256,
        instance.data_set_offset,
        instance.crc32,
        instance.size,
        Meta(instance.sop_class_uid, instance.sop_instance_uid, instance.transfer_syntax_uid),
    )
