"""The ingester's endless work: follow every partition, and say what has become safe."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from node.core.errors import Retryable, error_reference, traced
from node.core.fault_points import fault_point
from node.core.supervision import HEARTBEATS, Heartbeat, Loop
from node.storage.archive import Archive
from node.storage.index.engine import Index, IndexDamaged
from node.storage.index_holdings import Ledger
from node.storage.ingest.consumer import JournalConsumer
from node.storage.ingest.ingester import Ingested, Ingester
from node.storage.ingest.retention import RetentionJob
from node.storage.journal import Found, Journal, segment

log = logging.getLogger(__name__)

_SAFE_SECONDS: Final = 2.0  # so long after the last instance was ingested, the journal may forget
_BUSY_TURNS: Final = 5  # and after so many times that while they keep coming
_UNSAFE_SEGMENTS: Final = segment.FEWEST // 2
"""So many ingested instances may wait to be made safe together: each sync delays senders."""
_RETRY_SECONDS: Final = 0.5
_STOP_SECONDS: Final = 60.0  # for a sync that is under way


class IngestService:
    """Files what the partitions get, for ever.

    Args:
        wait: returns when there may be something new, or after a while; False: to stop.
        ingested: told what became of each batch.
        retirement: takes old series out; None if they stay.
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
        retirement: RetentionJob | None = None,
    ) -> None:
        self._retirement = retirement
        self._journal = journal
        self._ingester = ingester
        self._archive = archive
        self._index = index
        self._wait = wait
        self._ingested = ingested
        self._followers: dict[int, JournalConsumer] = {}
        self._reached: dict[int, int] = {}  # what each partition's next sync makes safe
        self._parts: list[tuple[int, int, Path]] = []
        self._parts_lock = threading.Lock()
        self._due = threading.Event()  # wakes the keeper
        self._due_now = threading.Event()  # and says that it is not only the time that did
        self._stopping = threading.Event()
        self._untrusted = threading.Event()
        self._heartbeat = Heartbeat("ingest")
        self._before: dict[int, int] = {}
        self._busy = 0  # times in a row that something had been ingested
        self._keeper = Loop("journal keeper", self._keep_safe, woken=self._due)
        self._failed = False  # the last sync
        self._ledger = Ledger(index, archive.root.parent)
        self._lost = False  # the index

    def run(self) -> None:
        """File until told to stop, and then whatever has been answered."""
        self._journal.offsets.set_stuck(False)  # an earlier run's word
        self._keeper.start()
        HEARTBEATS.add(self._heartbeat)
        going = True
        while True:
            try:
                fault_point("loop ingest")
                busy = self._round()
                if not busy and not going:
                    break
                if not busy and not self._retire():
                    going = self._wait(_RETRY_SECONDS)
                self._heartbeat.well()
            except Retryable as error:
                log.error("filing cannot go on now and tries again: %s", error)
                self._heartbeat.beat()
                going = self._wait(_RETRY_SECONDS) and going
            except Exception as error:  # noqa: BLE001  whatever it is, what was answered is ingested
                place = error_reference(error)
                self._heartbeat.troubled(f"{type(error).__name__}, reference {place} in the log")
                log.error("filing failed and goes on (reference %s): %s", place, traced(error))
                if not going:
                    break  # it is all in the journal, for the next start
                going = self._wait(_RETRY_SECONDS)
        self._stopping.set()
        self._keeper.stop(_STOP_SECONDS)
        self._make_safe()
        if self._untrusted.is_set():
            self._begin_again()  # so does whoever files next
        HEARTBEATS.remove(self._heartbeat)

    def _retire(self) -> bool:
        """While nothing waits to be ingested; whether anything went."""
        if self._lost or self._retirement is None or not self._retirement.step():
            return False
        self._ingester.forget_folders()
        return True

    def _round(self) -> bool:
        """One batch of each partition; whether there was one."""
        if self._untrusted.is_set():
            self._begin_again()
        if not self._index_there():
            return False
        busy = False
        for partition in self._journal.partitions():
            if partition not in self._followers:
                self._followers[partition] = JournalConsumer(self._journal, partition)
                self._reached[partition] = self._followers[partition].position
            busy |= self._advance(self._followers[partition])
        return busy

    def _index_there(self) -> bool:
        """Whether what is ingested would be found at the next start; until then, all waits in the
        journal, and senders keep what they have."""
        try:
            self._index.check_in_place()
        except IndexDamaged as error:
            if not self._lost:
                log.error("what is received cannot be ingested: %s", error)
            self._lost = True
            self._journal.offsets.set_stuck(True)
            return False
        if self._lost:
            log.info("the index is back, and filing goes on")
            self._lost = False
            self._journal.offsets.set_stuck(False)
        return True

    def _begin_again(self) -> None:
        """A sync has failed: whatever is not safe is ingested once more."""
        for partition, consumer in self._followers.items():
            consumer.again()
            self._reached[partition] = consumer.position
            self._journal.offsets.set_ingested(partition, consumer.position)
        self._untrusted.clear()

    def _advance(self, consumer: JournalConsumer) -> bool:
        batch = consumer.batch()
        offsets, partition = self._journal.offsets, consumer.partition
        if not batch:
            if consumer.position > offsets.ingested(partition):  # past an empty segment, or damage
                consumer.done()
                offsets.set_ingested(partition, consumer.position)
                self._reached[partition] = consumer.position
            return False
        try:
            ingested = self._file(batch, anew=consumer.anew)
        except Retryable as error:
            if not offsets.stuck:
                log.error(
                    "what was received cannot be ingested: %s; it is kept and tried again", error
                )
                offsets.set_stuck(True)
            return not self._stopping.is_set() and self._wait(_RETRY_SECONDS)
        if offsets.stuck:
            log.info("filing goes on")
            offsets.set_stuck(False)
        before, now = offsets.ingested(partition), consumer.position
        consumer.done()
        with self._parts_lock:
            self._parts += [(partition, now, part) for part in ingested.parts]
        offsets.set_ingested(partition, max(before, now))
        self._reached[partition] = now
        if ingested.ended:
            self._index.start_sync()  # the series is decided on next
        if (now >> 32) - (offsets.safe(partition) >> 32) >= _UNSAFE_SEGMENTS:
            self._due_now.set()  # they can be used again once all of them is safe
            self._due.set()
        self._ingested(ingested)
        return True

    def _file(self, batch: Sequence[Found], *, anew: bool) -> Ingested:
        """File a batch; if that fails as nobody foresaw, one by one: it costs one, not all."""
        try:
            return self._ingester.file(batch, anew=anew)
        except Retryable:
            raise
        except Exception as error:  # noqa: BLE001  it was answered: all of it is ingested or kept
            log.error(
                "a batch could not be ingested and is ingested one by one (reference %s): %s",
                error_reference(error),
                traced(error),
            )
        ingested = Ingested()
        for found in batch:
            try:
                ingested.add(self._ingester.file([found], anew=True))
            except Retryable:
                raise
            except Exception as error:  # noqa: BLE001
                self._ingester.set_aside(found, error)
            self._heartbeat.beat()
        return ingested

    def _keep_safe(self) -> float:
        """Make safe what was ingested, if it is time to; seconds until the next look."""
        due = self._due_now.is_set()
        self._due_now.clear()
        reached = dict(self._reached)
        self._busy = 0 if reached == self._before else self._busy + 1
        self._before = reached
        if due or self._busy in {0, _BUSY_TURNS}:
            self._busy = 0
            self._make_safe()
        return _SAFE_SECONDS

    def _make_safe(self) -> None:
        if self._untrusted.is_set():
            return  # a sync that succeeds now says nothing of what the failed one has lost
        offsets, reached = self._journal.offsets, dict(self._reached)
        if all(offsets.safe(partition) >= position for partition, position in reached.items()):
            return
        try:
            self._ledger.look()
        except Retryable as error:
            if not offsets.stuck:
                log.error("the journal keeps what was ingested: %s", error)
            return
        try:
            self._archive.sync_all()
            self._index.sync(anew=self._failed)
        except Retryable as error:
            log.error("%s; what was ingested since the last time is ingested again", error)
            self._failed = True
            self._untrusted.set()
            return
        self._failed = False
        self._ledger.note()
        for partition, position in reached.items():
            offsets.set_safe(partition, max(offsets.safe(partition), position))
        with self._parts_lock:
            gone = [one for one in self._parts if one[1] <= reached.get(one[0], 0)]
            self._parts = [one for one in self._parts if one not in gone]
        for _, _, part in gone:
            with suppress(OSError):
                part.unlink(missing_ok=True)
