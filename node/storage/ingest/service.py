"""The ingester's loop: ingest every partition, and tell the journal which records are safe."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from node.core.errors import Retryable, error_reference, traced
from node.core.fault_points import fault_point
from node.core.supervision import HEARTBEATS, Heartbeat, Loop
from node.storage.archive import Archive
from node.storage.index.database_errors import IndexDamaged
from node.storage.index.engine import Index
from node.storage.index_completeness import ListedCounter
from node.storage.ingest.ingester import Ingested, Ingester
from node.storage.ingest.journal_consumer import JournalConsumer
from node.storage.ingest.retention import RetentionJob
from node.storage.journal import Journal, segment

log = logging.getLogger(__name__)

_SYNC_SECONDS: Final = 2.0  # after the last instance was ingested, archive and index are synced;
_BUSY_TURNS: Final = 5  # while instances keep coming, every so many times that interval
_UNSAFE_SEGMENTS: Final = segment.FEWEST // 2
"""So many segments may wait for one sync, as each sync delays senders."""
_WAIT_SECONDS: Final = 0.5  # for new records, and before another attempt
_STOP_SECONDS: Final = 60.0  # for a sync that is under way


class IngestService:
    """Ingests what the partitions receive until it is told to stop.

    Args:
        journal: the journal.
        ingester: ingests batches.
        archive: is synced before records are safe.
        index: likewise.
        wait: returns when there may be new records, or after so many seconds; False: stop.
        ingested: called with the result of each batch.
        retention: removes old series from the archive; None: they stay.
    """

    def __init__(
        self,
        journal: Journal,
        ingester: Ingester,
        archive: Archive,
        index: Index,
        *,
        wait: Callable[[float], bool],
        ingested: Callable[[Ingested], None],
        retention: RetentionJob | None = None,
    ) -> None:
        self._retention = retention
        self._journal = journal
        self._ingester = ingester
        self._archive = archive
        self._index = index
        self._wait = wait
        self._ingested = ingested
        self._consumers: dict[int, JournalConsumer] = {}
        self._reached: dict[int, int] = {}  # up to where the next sync makes each partition safe
        self._parts: list[tuple[int, int, Path]] = []
        self._parts_lock = threading.Lock()
        self._wake_syncer = threading.Event()
        self._sync_now = threading.Event()  # do not wait for the interval
        self._stopping = threading.Event()
        self._sync_failed = threading.Event()  # what was ingested since the last one is not trusted
        self._heartbeat = Heartbeat("ingest")
        self._before: dict[int, int] = {}
        self._busy = 0  # intervals in a row in which something was ingested
        self._syncer = Loop("archive and index sync", self._sync_step, woken=self._wake_syncer)
        self._anew = False  # the last sync failed
        self._listed = ListedCounter(index, archive.root.parent)
        self._index_lost = False

    def run(self) -> None:
        """Ingest until told to stop, and then everything that has been answered by now."""
        self._journal.offsets.set_ingest_blocked(False)  # an earlier run may have left it set
        self._syncer.start()
        HEARTBEATS.add(self._heartbeat)
        going = True
        while True:
            try:
                fault_point("loop ingest")
                busy = self._round()
                if not busy and not going:
                    break
                if not busy and not self._remove_old():
                    going = self._wait(_WAIT_SECONDS)
                self._heartbeat.well()
            except Retryable as error:
                log.error("the ingester cannot work now and tries again: %s", error)
                self._heartbeat.beat()
                going = self._wait(_WAIT_SECONDS) and going
            except Exception as error:  # noqa: BLE001  what was answered has to be ingested
                place = error_reference(error)
                self._heartbeat.troubled(f"{type(error).__name__}, reference {place} in the log")
                log.error(
                    "the ingester met an unexpected error and tries again (reference %s): %s",
                    place,
                    traced(error),
                )
                if not going:
                    break  # the journal keeps the records for the next start
                going = self._wait(_WAIT_SECONDS)
        self._stopping.set()
        self._syncer.stop(_STOP_SECONDS)
        self._sync()
        if self._sync_failed.is_set():
            self._rewind()  # the next ingester begins there
        HEARTBEATS.remove(self._heartbeat)

    def _remove_old(self) -> bool:
        """While there is nothing to ingest: let retention remove old series; whether it did."""
        if self._index_lost or self._retention is None or not self._retention.step():
            return False
        self._ingester.forget_folders()
        return True

    def _round(self) -> bool:
        """Ingest one batch of each partition; whether there was one."""
        if self._sync_failed.is_set():
            self._rewind()
        if not self._index_there():
            return False
        busy = False
        for partition in self._journal.partitions():
            if partition not in self._consumers:
                self._consumers[partition] = JournalConsumer(self._journal, partition)
                self._reached[partition] = self._consumers[partition].position
            busy |= self._advance(self._consumers[partition])
        return busy

    def _index_there(self) -> bool:
        """Whether the index is the one that was opened. If not, records wait in the journal, and
        receivers refuse further instances."""
        try:
            self._index.check_in_place()
        except IndexDamaged as error:
            if not self._index_lost:
                log.error("the ingester has stopped, and instances are refused: %s", error)
            self._index_lost = True
            self._journal.offsets.set_ingest_blocked(True)
            return False
        if self._index_lost:
            log.info("the index is available again, and the ingester continues")
            self._index_lost = False
            self._journal.offsets.set_ingest_blocked(False)
        return True

    def _rewind(self) -> None:
        """After a failed sync: ingest again what is not safe."""
        for partition, consumer in self._consumers.items():
            consumer.rewind()
            self._reached[partition] = consumer.position
            self._journal.offsets.set_ingested(partition, consumer.position)
        self._sync_failed.clear()

    def _advance(self, consumer: JournalConsumer) -> bool:
        batch = consumer.batch()
        offsets, partition = self._journal.offsets, consumer.partition
        if not batch:
            if consumer.position > self._reached[partition]:  # damage, or a segment without records
                consumer.done()
                offsets.set_ingested(partition, max(offsets.ingested(partition), consumer.position))
                self._reached[partition] = consumer.position
            return False
        try:
            ingested = self._ingester.ingest(batch, anew=consumer.anew, beat=self._heartbeat.beat)
        except Retryable as error:
            if not offsets.ingest_blocked:
                log.error(
                    "the ingester cannot ingest the received instances now; they stay in the "
                    "journal, and it tries again: %s",
                    error,
                )
                offsets.set_ingest_blocked(True)
            return not self._stopping.is_set() and self._wait(_WAIT_SECONDS)
        if offsets.ingest_blocked:
            log.info("the ingester continues")
            offsets.set_ingest_blocked(False)
        before, now = offsets.ingested(partition), consumer.position
        consumer.done()
        with self._parts_lock:
            self._parts += [(partition, now, part) for part in ingested.parts]
        offsets.set_ingested(partition, max(before, now))
        self._reached[partition] = now
        if ingested.ended:
            self._index.start_sync()  # the watcher writes to the index next
        if (now >> 32) - (offsets.safe(partition) >> 32) >= _UNSAFE_SEGMENTS:
            self._sync_now.set()
            self._wake_syncer.set()
        self._ingested(ingested)
        return True

    def _sync_step(self) -> float:
        """Sync archive and index if it is time to; returns seconds until the next step."""
        at_once = self._sync_now.is_set()
        self._sync_now.clear()
        reached = dict(self._reached)
        self._busy = 0 if reached == self._before else self._busy + 1
        self._before = reached
        if at_once or self._busy in {0, _BUSY_TURNS}:
            self._busy = 0
            self._sync()
        return _SYNC_SECONDS

    def _sync(self) -> None:
        if self._sync_failed.is_set():
            return  # a sync that succeeds now does not bring back what the failed one lost
        offsets, reached = self._journal.offsets, dict(self._reached)
        if all(offsets.safe(partition) >= position for partition, position in reached.items()):
            return
        try:
            self._listed.check()
        except Retryable as error:
            if not offsets.ingest_blocked:
                log.error(
                    "archive and index are not synced now, and the journal keeps its records: %s",
                    error,
                )
            return
        try:
            self._archive.sync_all()
            self._index.sync(anew=self._anew)
        except Retryable as error:
            log.error(
                "%s; the ingester ingests again what it ingested since the last successful sync",
                error,
            )
            self._anew = True
            self._sync_failed.set()
            return
        self._anew = False
        self._listed.save()
        for partition, position in reached.items():
            offsets.set_safe(partition, max(offsets.safe(partition), position))
        with self._parts_lock:
            gone = [one for one in self._parts if one[1] <= reached.get(one[0], 0)]
            self._parts = [one for one in self._parts if one not in gone]
        for _, _, part in gone:
            with suppress(OSError):
                part.unlink(missing_ok=True)
