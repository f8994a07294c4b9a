"""Ingests records of the journal: reads the header, writes the archive file and the index rows."""

from __future__ import annotations

import logging
import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from isal import isal_zlib

from node.core.errors import (
    InvalidUID,
    MalformedDataSet,
    Retryable,
    error_reference,
    traced,
)
from node.core.records import AssociationEnd, InstanceRecord, Stored
from node.dicom import HeaderTemplate
from node.storage.archive import Archive, file_meta
from node.storage.index.store import Store
from node.storage.ingest.archive_writer import ArchiveWriter
from node.storage.ingest.hashing import Hashing
from node.storage.ingest.registration import Registration, register
from node.storage.journal import AssociationEnded, Entry, JournalRecord, Source
from node.storage.quarantine import Quarantine
from node.storage.receive.instance_receiver import record_of, sender_of

log = logging.getLogger(__name__)

_REMEMBERED: Final = 1000  # associations whose rows are remembered
_ALIKE: Final = 32  # associations whose last header is remembered


class _Fault(NamedTuple):
    """Why an instance cannot be ingested: an exception would keep the data set in memory."""

    name: str
    sentence: str


@dataclass
class Ingested:
    """The result of a batch.

    Attributes:
        outcomes: for each instance how the index took it, and the size of its file in bytes.
        ended: how associations ended.
        parts: files in `.incoming` to be removed once archive and index are on stable storage.
    """

    outcomes: list[tuple[Stored, int]] = field(default_factory=list)
    ended: list[AssociationEnd] = field(default_factory=list)
    parts: list[Path] = field(default_factory=list)

    def add(self, other: Ingested) -> None:
        """Add the result of another batch."""
        self.outcomes += other.outcomes
        self.ended += other.ended
        self.parts += other.parts


class Ingester:
    """Ingests records of the journal. For one thread.

    Args:
        archive: where files are written to.
        store: writes to the index.
        clock: seconds since 1970, UTC.
        give_way: called before each instance.
        hashing: computes hashes in a thread; None: one of its own.
    """

    def __init__(
        self,
        archive: Archive,
        store: Store,
        clock: Callable[[], float],
        give_way: Callable[[], None] = lambda: None,
        hashing: Hashing | None = None,
    ) -> None:
        self._give_way = give_way
        self._archive = archive
        self._store = store
        self._clock = clock
        self._hashing = hashing or Hashing()
        self._quarantine = Quarantine(archive.quarantine, clock=clock)
        self._writer = ArchiveWriter(archive, store.kept)
        self._rows: dict[Source, int] = {}
        self._alike: dict[Source | None, HeaderTemplate] = {}

    def ingest(
        self,
        batch: Sequence[JournalRecord],
        *,
        anew: bool = False,
        beat: Callable[[], None] = lambda: None,
    ) -> Ingested:
        """Ingest a batch; doing it again changes nothing.

        After an unexpected error, such as a record that the database refuses, the batch is ingested
        record by record, and what cannot be ingested goes to quarantine.

        Args:
            batch: records in the order of the journal.
            anew: write files even if they are there, as they may not be on the disk.
            beat: called after each record that is ingested by itself.

        Raises:
            Retryable: disk or database do not take it now; nothing is lost, try again later.
        """
        try:
            return self._ingest_together(batch, anew=anew)
        except Retryable:
            raise
        except Exception as error:  # noqa: BLE001  each record is ingested or quarantined
            log.error(
                "the ingester met an unexpected error in a batch of %d records and ingests them "
                "one by one (reference %s): %s",
                len(batch),
                error_reference(error),
                traced(error),
            )
        ingested = Ingested()
        for found in batch:
            try:
                ingested.add(self._ingest_together([found], anew=True))
            except Retryable:
                raise
            except Exception as error:  # noqa: BLE001
                self._quarantine_record(found, error)
            beat()
        return ingested

    def _ingest_together(self, batch: Sequence[JournalRecord], *, anew: bool) -> Ingested:
        ingested = Ingested()
        rows: list[tuple[InstanceRecord, int | None]] = []
        # First all headers are read, then all files are written, which keeps processor caches warm.
        with self._hashing.ahead([found.data_set for found in batch]) as hashes:
            readings = [self._read(*pair) for pair in zip(batch, hashes, strict=True)]
        for (item, data_set, _), reading in zip(batch, readings, strict=True):
            if isinstance(item, Entry):
                self._give_way()
                record = (
                    self._archived_from_file(item, ingested, anew=anew)
                    if item.part
                    else self._archived(item, data_set, reading, anew=anew)
                )
                if record is not None:
                    rows.append((record, self._row(item.source) if item.source else None))
                continue
            self._index(rows, ingested)
            rows = []
            self._end(item, ingested)
        self._index(rows, ingested)
        return ingested

    def forget_folders(self) -> None:
        """Folders of the archive may have been removed."""
        self._writer.forget_folders()

    def _index(self, rows: list[tuple[InstanceRecord, int | None]], ingested: Ingested) -> None:
        for (record, _), outcome in zip(rows, self._store.add(rows), strict=True):
            ingested.outcomes.append((outcome, record.size))
            if outcome is Stored.SAME and record.fresh:
                log.warning(
                    "SOP Instance %s was received again and replaced its damaged or lost file",
                    record.sop_instance_uid,
                    extra=_fields(record),
                )
            if outcome is Stored.CONFLICT:
                log.warning(
                    "conflict: SOP Instance %s was received with other bytes than the archived "
                    "ones; the archive keeps both. Compare them, and correct the sender",
                    record.sop_instance_uid,
                    extra=_fields(record),
                )
        self._writer.indexed()

    def _end(self, ended: AssociationEnded, ingested: Ingested) -> None:
        end = AssociationEnd(ended.end)
        self._store.end_association(self._row(ended.source), end, ended.at)
        self._rows.pop(ended.source, None)
        self._alike.pop(ended.source, None)
        ingested.ended.append(end)

    def _read(
        self, found: JournalRecord, sha256: Callable[[], str]
    ) -> Registration | _Fault | None:
        """The header of an instance; None for other records, and if it lies in a file."""
        item, data_set, _ = found
        if not isinstance(item, Entry) or item.part:
            return None
        self._give_way()
        return self._registered(item, data_set, sha256)

    def _registered(
        self, entry: Entry, data_set: memoryview, sha256: Callable[[], str] | None
    ) -> Registration | _Fault:
        alike = self._alike_of(entry.source)
        try:
            return register(data_set, entry.transfer_syntax_uid, alike=alike, sha256=sha256)
        except Exception as error:  # noqa: BLE001  it was answered: it goes to quarantine
            return _fault(error)

    def _archived_from_file(
        self, entry: Entry, ingested: Ingested, *, anew: bool
    ) -> InstanceRecord | None:
        """As `_archived`, for an instance that lies in a file."""
        part = self._archive.incoming(entry.part)
        try:
            file = part.open("rb")
        except FileNotFoundError:
            log.error(
                "%s is missing in archive/.incoming: SOP Instance %s was answered 0x0000 and is "
                "lost. Send it again",
                entry.part,
                entry.sop_instance_uid,
                extra={"instance": entry.sop_instance_uid, "peer": entry.calling_ae},
            )
            return None
        with (
            file,
            mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped,
            memoryview(mapped) as whole,
            whole[entry.offset :] as view,
        ):
            reading = _damage_of(entry, view)
            record = self._archived(entry, view, reading, anew=anew)
        ingested.parts.append(part)
        return record

    def _archived(
        self,
        entry: Entry,
        view: memoryview,
        reading: Registration | _Fault | None,
        *,
        anew: bool,
    ) -> InstanceRecord | None:
        """The index's record of an instance that was archived; None if it was quarantined."""
        if reading is None:
            reading = self._registered(entry, view, None)
        if isinstance(reading, Registration):
            part = self._archive.incoming(entry.part) if entry.part else None
            try:
                syntax = entry.transfer_syntax_uid
                placed = self._writer.write(reading, syntax, _meta(entry), view, part, anew=anew)
                return record_of(reading, entry.transfer_syntax_uid, placed, entry.received_at)
            except Retryable:
                raise
            except Exception as error:  # noqa: BLE001  it was answered: it goes to quarantine
                reading = _fault(error)
        self._to_quarantine(entry, view, reading)
        return None

    def _row(self, source: Source) -> int:
        row = self._rows.get(source)
        if row is None:
            if len(self._rows) >= _REMEMBERED:
                self._rows.clear()
            row = self._store.find_or_open_association(
                source.calling_ae,
                source.called_ae,
                source.address,
                source.opened_at,
                source.process,
            )
            self._rows[source] = row
        return row

    def _alike_of(self, source: Source | None) -> HeaderTemplate:
        alike = self._alike.get(source)
        if alike is None:
            if len(self._alike) >= _ALIKE:
                self._alike.clear()
            alike = self._alike[source] = HeaderTemplate()
        return alike

    def _quarantine_record(self, found: JournalRecord, error: Exception) -> None:
        item, data_set, _ = found
        if not isinstance(item, Entry):
            log.error(
                "the node cannot note the end of an association in the index (%s); its series are "
                "decided on later",
                type(error).__name__,
                extra={"peer": item.source.calling_ae},
            )
        elif item.part:
            data = self._archive.incoming(item.part).read_bytes()
            self._to_quarantine(item, memoryview(data)[item.offset :], _fault(error))
        else:
            self._to_quarantine(item, data_set, _fault(error))

    def _to_quarantine(self, entry: Entry, view: memoryview, fault: _Fault) -> None:
        """Quarantine an instance that was answered and cannot be ingested, and log it.

        Raises:
            StorageFull: the quarantine does not take it; the journal keeps it.
        """
        now = datetime.fromtimestamp(self._clock(), UTC)
        kept = self._quarantine.answered(
            sender_of(entry.source),
            _meta(entry),
            view,
            {
                "reason": "cannot-be-ingested",
                "sentence": fault.sentence,
                "status": "0x0000",
                "from": entry.calling_ae,
                "received": now.isoformat(),
                "transfer_syntax": entry.transfer_syntax_uid,
            },
        )
        log.error(
            "SOP Instance %s was answered 0x0000 and cannot be ingested (%s); its bytes are in "
            "quarantine/%s, and the file beside it says why",
            entry.sop_instance_uid,
            fault.name,
            kept,
            extra={"instance": entry.sop_instance_uid, "peer": entry.calling_ae},
        )


def _fault(error: Exception) -> _Fault:
    name = type(error).__name__
    known = isinstance(error, MalformedDataSet | InvalidUID)
    return _Fault(name, str(error) if known else f"{name} while it was ingested")


def _damage_of(entry: Entry, view: memoryview) -> _Fault | None:
    """Damage of a file in `.incoming`; None if it is what was received."""
    if entry.crc is None or isal_zlib.crc32(view) == entry.crc:
        return None
    return _Fault("Damaged", "its bytes changed on the disk before it was ingested; send it again")


def _fields(record: InstanceRecord) -> dict[str, str]:
    """For the log."""
    return {
        "instance": record.sop_instance_uid,
        "series": record.series_instance_uid,
        "study": record.study_instance_uid,
    }


def _meta(entry: Entry) -> bytes:
    return file_meta(
        entry.sop_class_uid,
        entry.sop_instance_uid,
        entry.transfer_syntax_uid,
        entry.calling_ae,
    )
