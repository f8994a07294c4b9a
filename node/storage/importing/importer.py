"""Imports files into a partition of the journal, batch by batch, and counts their outcomes."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed
from tenacity.stop import stop_when_event_set

from node.core.errors import NodeError, Retryable
from node.core.records import Stored
from node.core.settings.model import Settings
from node.core.statuses import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, SUCCESS
from node.storage.importing.file_reader import FileRead, FileReader
from node.storage.importing.folder_walk import files_below
from node.storage.importing.journal_access import Access
from node.storage.importing.outcomes import FileWritten, outcomes
from node.storage.importing.partition_receiver import partition_receiver
from node.storage.index.imported import Imported
from node.storage.journal import Journal, JournalFull
from node.storage.receive.instance_receiver import Outcome
from node.storage.receive.journal_receiver import JournalReceiver

_MOST_PENDING: Final = 5000  # files in the journal that may not be ingested yet
_POLL_SECONDS: Final = 0.02
PATIENCE_SECONDS: Final = 60.0


class _Pending(NamedTuple):
    """A batch in the journal, on stable storage; `position` is behind its last record."""

    position: int
    files: list[FileWritten]


@dataclass
class Tally:
    """Counts of imported files.

    Attributes:
        stored: by how the index took them.
        refused: files that were not imported.
        waiting: files that are not ingested yet.
        series: rows of the series that the files belong to.
    """

    stored: dict[Stored, int] = field(default_factory=lambda: dict.fromkeys(Stored, 0))
    refused: int = 0
    waiting: int = 0
    series: set[int] = field(default_factory=set)

    @property
    def kept(self) -> int:
        """Files whose instances are in the node, or in its journal."""
        return sum(self.stored.values()) + self.waiting


class FileResult(NamedTuple):
    """What became of one file.

    Attributes:
        path: the file.
        sop_instance_uid: of the instance in it; empty: it cannot be read.
        status: as a C-STORE response would have it; 0x0000: the instance is durable.
        sentence: what is to be known of it; empty: nothing.
    """

    path: Path
    sop_instance_uid: str
    status: int
    sentence: str


class Importer:
    """Imports files. For one thread.

    Args:
        receiver: writes to the partition.
        journal: the journal.
        partition: its number.
        imported: reads from the index what has been ingested.
        clock: seconds since 1970.
        say: called with a sentence for each file that is not imported, or in conflict.
        stopping: once it is set no further batch begins.
        patience: seconds in which the ingester has to make progress.
        told: called with what became of each file.

    Attributes:
        tally: the counts so far.
    """

    def __init__(
        self,
        receiver: JournalReceiver,
        journal: Journal,
        partition: int,
        imported: Imported,
        *,
        clock: Callable[[], float],
        say: Callable[[str], None],
        stopping: threading.Event,
        patience: float = PATIENCE_SECONDS,
        told: Callable[[FileResult], None] = lambda _result: None,
    ) -> None:
        self.tally = Tally()
        self._told = told
        self._receiver = receiver
        self._offsets = journal.offsets
        self._partition = partition
        self._imported = imported
        self._say = say
        self.stopping = stopping
        self._patience = patience
        self._reader = FileReader(clock, self._refuse)
        self._pending: deque[_Pending] = deque()

    def take(self, paths: Iterable[Path], done: Callable[[int], None]) -> None:
        """Import files and folders until there are no more, or `stopping` is set.

        Args:
            paths: files and folders.
            done: called with the number of files after each batch.

        Raises:
            NodeError: the import cannot go on; the files before are safe.
        """
        for batch in self._reader.batches(files_below(paths, self._refuse)):
            if self.stopping.is_set():
                break
            self._write(batch)
            done(len(batch))
            self._wait_for_ingest(most=_MOST_PENDING)

    def finish(self, within: float = math.inf) -> None:
        """Wait until every imported file has been ingested.

        Args:
            within: seconds to wait; the rest is ingested later and is safe in the journal.

        Raises:
            NodeError: the ingester makes no progress; the files are safe in the journal.
        """
        self._wait_for_ingest(most=0, within=within)

    def waiting(self) -> Iterator[FileWritten]:
        """Files that are safe in the journal and not ingested yet."""
        for pending in self._pending:
            yield from pending.files

    def _write(self, batch: Sequence[FileRead]) -> None:
        written: list[FileWritten] = []
        try:
            durable = self._receiver.store_together([one.incoming for one in batch])
            for one, is_durable in zip(batch, durable, strict=True):
                if is_durable or self._store_alone(one):
                    incoming = one.incoming
                    uid, at = incoming.sop_instance_uid or "", incoming.received_at or 0.0
                    written.append(FileWritten(one.path, uid, at))
        finally:
            self._receiver.answered()
            self._pending.append(_Pending(self._offsets.answered(self._partition), written))
            self.tally.waiting += len(written)

    def _store_alone(self, one: FileRead) -> bool:
        """Store one file by itself, waiting for room in the journal; False if it was refused."""
        try:
            outcome: Outcome = Retrying(
                retry=retry_if_exception_type(JournalFull),
                stop=stop_after_delay(self._patience) | stop_when_event_set(self.stopping),
                wait=wait_fixed(_POLL_SECONDS),
                reraise=True,
            )(self._receiver.store_or_raise, one.incoming)
        except Retryable as error:
            uid = one.incoming.sop_instance_uid or ""
            self._refuse(one.path, f"0xA700 {error}", OUT_OF_RESOURCES, uid)
            raise NodeError(
                f"the import stopped at {one.path}: {error}; the files before it are safe. "
                "Import the same files again to go on"
            ) from error
        if outcome.status != SUCCESS:
            said = f"0x{outcome.status:04X} {outcome.comment}"
            self._refuse(one.path, said, outcome.status, one.incoming.sop_instance_uid or "")
        return outcome.status == SUCCESS

    def _wait_for_ingest(self, most: int, within: float = math.inf) -> None:
        """Count what has been ingested, and wait until at most `most` files are not."""
        began = moved = time.monotonic()
        last = -1
        while self._pending:
            ingested = self._offsets.ingested(self._partition)
            while self._pending and self._pending[0].position <= ingested:
                self._count(self._pending.popleft().files)
            if self.tally.waiting <= most:
                return
            now = time.monotonic()
            if now - began > within:
                return
            if ingested != last:
                last, moved = ingested, now
            if now - moved > self._patience:
                raise NodeError(
                    f"{self.tally.waiting} files are safe in the journal and not ingested yet, as "
                    "the ingester does not work at the moment: see the node's log, or start the "
                    "node, which ingests them then"
                )
            time.sleep(_POLL_SECONDS)

    def _count(self, files: Sequence[FileWritten]) -> None:
        made = Retrying(
            retry=retry_if_exception_type(Retryable),
            stop=stop_after_delay(self._patience),
            wait=wait_fixed(1.0),
            reraise=True,
        )(outcomes, self._imported, files)
        for file, outcome in zip(files, made, strict=True):
            self.tally.waiting -= 1
            if outcome is None:
                self._refuse(
                    file.path,
                    "it was accepted and is not in the index: it is in quarantine if it could not "
                    "be ingested; if its series is old, storage.retention has removed it",
                    uid=file.sop_instance_uid,
                )
                continue
            self.tally.stored[outcome.stored] += 1
            self.tally.series.add(outcome.series)
            beside = (
                f"the archive has other bytes under SOP Instance UID {file.sop_instance_uid}; "
                "both are kept"
            )
            in_conflict = outcome.stored is Stored.CONFLICT
            if in_conflict:
                self._say(f"in conflict: {file.path}: {beside}")
            self._told(
                FileResult(file.path, file.sop_instance_uid, SUCCESS, beside if in_conflict else "")
            )

    def _refuse(self, path: Path, why: str, status: int = CANNOT_UNDERSTAND, uid: str = "") -> None:
        self.tally.refused += 1
        self._say(f"not imported: {path}: {why}")
        self._told(FileResult(path, uid, status, why))


@contextmanager
def open_importer(
    access: Access,
    settings: Settings,
    *,
    say: Callable[[str], None],
    stopping: threading.Event,
    patience: float = PATIENCE_SECONDS,
) -> Iterator[Importer]:
    """An importer with all that it needs, until the block ends.

    Args:
        access: the journal, and the partition of this import.
        settings: the node's.
        say: as for `Importer`.
        stopping: as for `Importer`.
        patience: as for `Importer`.

    Raises:
        StorageFull: the partition's files cannot be made or opened.
    """
    journal, number = access.journal, access.partition
    with partition_receiver(settings.storage, journal, number, access.wake_ingester) as receiver:
        yield Importer(
            receiver,
            journal,
            number,
            Imported(access.index),
            clock=time.time,
            say=say,
            stopping=stopping,
            patience=patience,
        )
