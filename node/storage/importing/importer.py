"""Files into a partition of the journal, batch by batch, and what became of each."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed
from tenacity.stop import stop_when_event_set

from node.core.errors import NodeError, Retryable
from node.core.records import Stored
from node.storage.importing.file_reader import FileRead, FileReader
from node.storage.importing.folder_walk import files_below
from node.storage.importing.outcomes import FileWritten, outcomes
from node.storage.index.imported import Imported
from node.storage.journal import Journal, JournalFull
from node.storage.receive.instance_receiver import SUCCESS, Outcome
from node.storage.receive.journal_receiver import JournalReceiver

_MOST_PENDING: Final = 5000  # files that are in the journal and not known to be ingested
_LOOK_SECONDS: Final = 0.02
PATIENCE_SECONDS: Final = 60.0


class _Pending(NamedTuple):
    """A batch that is on stable storage in the journal, up to a position."""

    position: int
    files: list[FileWritten]


@dataclass
class Tally:
    """What became of the files.

    Attributes:
        waiting: of how many it is not known, as they have not been ingested yet.
        series: rows of the series that they belong to.
    """

    stored: dict[Stored, int] = field(default_factory=lambda: dict.fromkeys(Stored, 0))
    refused: int = 0
    waiting: int = 0
    series: set[int] = field(default_factory=set)

    @property
    def kept(self) -> int:
        """Files whose instances the node has, or will have."""
        return sum(self.stored.values()) + self.waiting


class Importer:
    """Takes files in. For one thread.

    Args:
        partition: the one that `receiver` writes to.
        imported: knows what has been ingested.
        clock: seconds since 1970.
        say: told of each file that is not imported, or in conflict.
        stopping: once it is set nothing more is begun.
        patience: seconds in which the ingester has to get on.

    Attributes:
        tally: what became of the files so far.
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
    ) -> None:
        self.tally = Tally()
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
        """Take files and folders in until there are no more, or somebody wants it to stop.

        Args:
            done: told of how many files each step was.

        Raises:
            NodeError: it cannot go on; what was taken in before is safe.
        """
        for batch in self._reader.batches(files_below(paths, self._refuse)):
            if self.stopping.is_set():
                break
            self._write(batch)
            done(len(batch))
            self._look(most=_MOST_PENDING)

    def finish(self, within: float = math.inf) -> None:
        """Wait until everything that was taken in has been ingested.

        Args:
            within: seconds, after which it is left to the ingester: it is as safe as what was sent.

        Raises:
            NodeError: that takes too long; it is safe in the journal.
        """
        self._look(most=0, within=within)

    def _write(self, batch: Sequence[FileRead]) -> None:
        written: list[FileWritten] = []
        try:
            durable = self._receiver.store_together([one.incoming for one in batch])
            for one, is_durable in zip(batch, durable, strict=True):
                if is_durable or self._insist(one):
                    incoming = one.incoming
                    uid, at = incoming.sop_instance_uid or "", incoming.received_at or 0.0
                    written.append(FileWritten(one.path, uid, at))
        finally:
            self._receiver.answered()
            self._pending.append(_Pending(self._offsets.answered(self._partition), written))
            self.tally.waiting += len(written)

    def _insist(self, one: FileRead) -> bool:
        """Store one file by itself; False if it was refused."""
        try:
            outcome: Outcome = Retrying(
                retry=retry_if_exception_type(JournalFull),
                stop=stop_after_delay(self._patience) | stop_when_event_set(self.stopping),
                wait=wait_fixed(_LOOK_SECONDS),
                reraise=True,
            )(self._receiver.store_or_raise, one.incoming)
        except Retryable as error:
            self._refuse(one.path, f"0xA700 {error}")
            raise NodeError(
                f"the import stopped at {one.path}: {error}; what came before it is safe, "
                "and importing the same files again goes on"
            ) from error
        if outcome.status != SUCCESS:
            self._refuse(one.path, f"0x{outcome.status:04X} {outcome.comment}")
        return outcome.status == SUCCESS

    def _look(self, most: int, within: float = math.inf) -> None:
        """See what has been ingested, and wait until so few files have not."""
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
                    "nothing files at the moment: the node's log says why, or it does not run; "
                    "they are ingested when it goes on"
                )
            time.sleep(_LOOK_SECONDS)

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
                    "it was taken in and is not in the index: it is in quarantine if it could not "
                    "be ingested; if its series is old, storage.retention has removed it",
                )
                continue
            self.tally.stored[outcome.stored] += 1
            self.tally.series.add(outcome.series)
            if outcome.stored is Stored.CONFLICT:
                self._say(
                    f"in conflict: {file.path}: other bytes are there under SOP Instance UID "
                    f"{file.sop_instance_uid}; both are kept"
                )

    def _refuse(self, path: Path, why: str) -> None:
        self.tally.refused += 1
        self._say(f"not imported: {path}: {why}")
