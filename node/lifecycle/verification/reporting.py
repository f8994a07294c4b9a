"""Puts what is found damaged into the index, where everybody sees it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from node.completion.policy import Event, NotNow, follow
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
    """The archive or the output folder as a whole is not there: nothing in it is lost by that."""


class Reporter:
    """Notes damage, and has made again what can be.

    Args:
        root: `storage.root`.
        clock: seconds since 1970, UTC.
    """

    def __init__(self, index: Index, root: Path, clock: Callable[[], float]) -> None:
        self._damages = Damages(index)
        self._work = Work(index)
        self._root = root
        self._clock = clock

    def instance(self, instance: Sendable, damage: Damage) -> bool:
        """An instance's file is damaged.

        Returns:
            False if it was replaced meanwhile.

        Raises:
            Retryable: the archive is not there, or the index cannot be written.
        """
        if not (self._root / "archive" / ".incoming").is_dir():
            raise StorageAway("the archive below storage.root is not there: is it mounted?")
        now = self._clock()
        if not self._damages.note_instance(instance, damage.reason, damage.sentence, now):
            return False
        uid = instance.sop_instance_uid
        log.error("%s: SOP Instance %s: %s", damage.reason, uid, damage.sentence)
        return True

    def met(self, instance: Sendable) -> None:
        """Somebody who was to read an instance's file found it damaged: look again, and note it.

        Never raises because of what is wrong with the file: whoever calls has his own to answer.
        """
        try:
            check_archived(self._root / "archive" / instance.path, expected(instance))
        except Damage as damage:
            try:
                self.instance(instance, damage)
            except Retryable as error:
                log.error("damage cannot be noted now: %s", error)
        except OSError as error:
            uid = instance.sop_instance_uid
            log.error("SOP Instance %s cannot be read: %s", uid, error.strerror)

    def output(self, outputs: Outputs, name: str, damage: Damage) -> bool:
        """A published file is damaged: note it, and have the series made again.

        Returns:
            False if it was replaced meanwhile.

        Raises:
            Retryable: the output folder is not there, or the index cannot be written.
        """
        if not (self._root / "nifti").is_dir():
            raise StorageAway("the output folder below storage.root is not there: is it mounted?")
        now, pk = self._clock(), outputs.series_pk
        noted = self._damages.note_output(
            pk, outputs.revision, name, damage.reason, damage.sentence, now
        )
        if not noted:
            return False
        what = outputs.address
        log.error("%s: a file of series %s: %s", damage.reason, what, damage.sentence)
        self._again(pk, SeriesState.READY, Event.RETRY, "a published file was damaged or lost")
        return True

    def healed(self, damaged: Damaged) -> None:
        """A damaged file is well again although nothing was sent: its series is judged anew."""
        if damaged.is_archived:
            why = "a damaged or lost file is back"
            self._again(damaged.series_pk, SeriesState.FAILED, Event.INSTANCE, why)
        self._damages.forget(damaged.path)

    def _again(self, series_pk: int, state: SeriesState, event: Event, why: str) -> None:
        """Only from the state in which nothing else is to happen to it."""
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
    """What an instance's file has to be, meta information and all."""
    return Expected(
        instance.sha256,
        instance.data_set_offset,
        instance.crc32,
        instance.size,
        Meta(instance.sop_class_uid, instance.sop_instance_uid, instance.transfer_syntax_uid),
    )
