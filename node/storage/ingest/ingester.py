"""Files what was answered: header read, file placed, rows written."""

from __future__ import annotations

import logging
import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from isal import isal_zlib

from node.core.errors import InvalidUID, MalformedDataSet, Retryable
from node.core.records import AssociationEnd, InstanceRecord, Stored
from node.dicom import HeaderTemplate
from node.storage.archive import Archive, file_meta
from node.storage.index.store import Store
from node.storage.ingest.checks import record_of, sender_of
from node.storage.ingest.hashing import Hashing
from node.storage.ingest.placing import Placer
from node.storage.ingest.registration import Registration, register
from node.storage.journal import Ended, Entry, Found, Source
from node.storage.quarantine import Quarantine

log = logging.getLogger(__name__)

_REMEMBERED: Final = 1000  # associations whose rows are known
_ALIKE: Final = 32  # and of which it is known what their headers have in common


class _Fault(NamedTuple):
    """Why an instance cannot be ingested: an exception would hold on to the data set."""

    name: str
    sentence: str


@dataclass
class Ingested:
    """What became of a batch.

    Attributes:
        outcomes: of each instance, with the size of its data set.
        ended: how associations came to their end.
        parts: files in `.incoming` that go once all of this is on stable storage.
    """

    outcomes: list[tuple[Stored, int]] = field(default_factory=list)
    ended: list[AssociationEnd] = field(default_factory=list)
    parts: list[Path] = field(default_factory=list)

    def add(self, other: Ingested) -> None:
        """Count another batch in."""
        self.outcomes += other.outcomes
        self.ended += other.ended
        self.parts += other.parts


class Ingester:
    """Files records of the journal. For one thread.

    Args:
        clock: seconds since 1970, UTC.
        breathe: called between two instances.
    """

    def __init__(
        self,
        archive: Archive,
        store: Store,
        clock: Callable[[], float],
        breathe: Callable[[], None] = lambda: None,
        hashing: Hashing | None = None,
    ) -> None:
        self._breathe = breathe
        self._archive = archive
        self._store = store
        self._clock = clock
        self._hashing = hashing or Hashing()
        self._quarantine = Quarantine(archive.quarantine, clock=clock)
        self._placer = Placer(archive, store.kept)
        self._rows: dict[Source, int] = {}
        self._alike: dict[Source | None, HeaderTemplate] = {}

    def file(self, batch: Sequence[Found], *, anew: bool = False) -> Ingested:
        """File a batch; doing it again changes nothing.

        Args:
            anew: write files again that are there already: they may not have reached the disk.

        Raises:
            Retryable: disk or database do not let it; nothing is lost, try again later.
        """
        ingested = Ingested()
        rows: list[tuple[InstanceRecord, int | None]] = []
        # All are read and then all are placed: the processor does the same again and again.
        with self._hashing.ahead([found.data_set for found in batch]) as hashes:
            readings = [self._read(*pair) for pair in zip(batch, hashes, strict=True)]
        for (item, data_set, _), reading in zip(batch, readings, strict=True):
            if isinstance(item, Entry):
                self._breathe()
                record = (
                    self._kept_from_file(item, ingested, anew=anew)
                    if item.part
                    else self._kept(item, data_set, reading, anew=anew)
                )
                if record is not None:
                    rows.append((record, self._row(item.source) if item.source else None))
                continue
            self._index(rows, ingested)
            rows = []
            self._end(item, ingested)
        self._index(rows, ingested)
        return ingested

    def set_aside(self, found: Found, error: Exception) -> None:
        """Quarantine an instance that cannot be ingested for a reason that nobody foresaw.

        Raises:
            Retryable: the disk does not let it.
        """
        item, data_set, _ = found
        if not isinstance(item, Entry):
            log.error("the end of an association is not in the index: %s", type(error).__name__)
        elif item.part:
            data = self._archive.incoming(item.part).read_bytes()
            self._set_aside(item, memoryview(data)[item.offset :], _fault(error))
        else:
            self._set_aside(item, data_set, _fault(error))

    def forget_folders(self) -> None:
        """Folders of the archive may have gone."""
        self._placer.forget()

    def _index(self, rows: list[tuple[InstanceRecord, int | None]], ingested: Ingested) -> None:
        for (record, _), outcome in zip(rows, self._store.add(rows), strict=True):
            ingested.outcomes.append((outcome, record.size))
            if outcome is Stored.SAME and record.fresh:
                log.warning(
                    "SOP Instance %s came again, and took the place of its damaged or lost file",
                    record.sop_instance_uid,
                )
            if outcome is Stored.CONFLICT:
                log.warning(
                    "conflict: other bytes came for SOP Instance %s; both are kept",
                    record.sop_instance_uid,
                )
        self._placer.indexed()

    def _end(self, ended: Ended, ingested: Ingested) -> None:
        end = AssociationEnd(ended.end)
        self._store.end_association(self._row(ended.source), end, ended.at)
        self._rows.pop(ended.source, None)
        self._alike.pop(ended.source, None)
        ingested.ended.append(end)

    def _read(self, found: Found, sha256: Callable[[], str]) -> Registration | _Fault | None:
        """What an instance says; None if it is not in memory."""
        item, data_set, _ = found
        if not isinstance(item, Entry) or item.part:
            return None
        self._breathe()
        return self._registered(item, data_set, sha256)

    def _registered(
        self, entry: Entry, data_set: memoryview, sha256: Callable[[], str] | None
    ) -> Registration | _Fault:
        alike = self._alike_of(entry.source)
        try:
            return register(data_set, entry.transfer_syntax_uid, alike=alike, sha256=sha256)
        except Exception as error:  # noqa: BLE001  it was answered: it will be kept, and named
            return _fault(error)

    def _kept_from_file(
        self, entry: Entry, ingested: Ingested, *, anew: bool
    ) -> InstanceRecord | None:
        """What `_kept` returns, of an instance that lies in a file."""
        part = self._archive.incoming(entry.part)
        try:
            file = part.open("rb")
        except FileNotFoundError:
            log.error("%s of the archive's .incoming has gone", entry.part)
            return None
        with (
            file,
            mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped,
            memoryview(mapped) as whole,
            whole[entry.offset :] as view,
        ):
            reading = _damage_of(entry, view)
            record = self._kept(entry, view, reading, anew=anew)
        ingested.parts.append(part)
        return record

    def _kept(
        self,
        entry: Entry,
        view: memoryview,
        reading: Registration | _Fault | None,
        *,
        anew: bool,
    ) -> InstanceRecord | None:
        """Its record, once it is in the archive; None if it had to go to quarantine."""
        if reading is None:
            reading = self._registered(entry, view, None)
        if isinstance(reading, Registration):
            part = self._archive.incoming(entry.part) if entry.part else None
            try:
                syntax = entry.transfer_syntax_uid
                placed = self._placer.place(reading, syntax, _meta(entry), view, part, anew=anew)
                return record_of(reading, entry.transfer_syntax_uid, placed, entry.received_at)
            except Retryable:
                raise
            except Exception as error:  # noqa: BLE001  it was answered: it must be kept, and named
                reading = _fault(error)
        self._set_aside(entry, view, reading)
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

    def _set_aside(self, entry: Entry, view: memoryview, fault: _Fault) -> None:
        """Quarantine what was answered and cannot be ingested: a fault of ours, and never silent.

        Raises:
            StorageFull: not even the quarantine takes it; the journal has to keep it.
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
            "SOP Instance %s was answered and cannot be ingested (%s); kept in quarantine as %s",
            entry.sop_instance_uid,
            fault.name,
            kept,
        )


def _fault(error: Exception) -> _Fault:
    name = type(error).__name__
    known = isinstance(error, MalformedDataSet | InvalidUID)
    return _Fault(name, str(error) if known else f"{name} while it was ingested")


def _damage_of(entry: Entry, view: memoryview) -> _Fault | None:
    """What is wrong with a file that holds a data set; None if it is what was received."""
    if entry.crc is None or isal_zlib.crc32(view) == entry.crc:
        return None
    return _Fault("Damaged", "its bytes changed on the disk before it was ingested; send it again")


def _meta(entry: Entry) -> bytes:
    return file_meta(
        entry.sop_class_uid,
        entry.sop_instance_uid,
        entry.transfer_syntax_uid,
        entry.calling_ae,
    )
