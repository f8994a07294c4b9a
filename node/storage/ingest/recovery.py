"""After an unclean end: the node ingests what the journal still holds before the port opens."""

from __future__ import annotations

import logging
import mmap
from collections.abc import Callable, Container
from pathlib import Path
from typing import Final

from node.core.errors import InvalidUID, MalformedDataSet
from node.dicom import find_data_set
from node.storage import index_completeness
from node.storage.archive import Archive
from node.storage.index.engine import Index
from node.storage.ingest.ingester import Ingester
from node.storage.ingest.registration import check
from node.storage.journal import Entry, Journal, JournalRecord
from node.storage.journal.import_partitions import partitions_in_use

log = logging.getLogger(__name__)

_BATCH: Final = 64
_BATCH_BYTES: Final = 16 << 20


def recover(
    journal: Journal, ingester: Ingester, archive: Archive, index: Index, clock: Callable[[], float]
) -> int:
    """Ingest everything that an earlier run answered and may not have ingested durably.

    The time that it takes does not depend on the size of the archive. Running imports go on
    meanwhile: what they have written stays in the journal.

    Args:
        journal: the journal.
        ingester: ingests its records.
        archive: is synced afterwards.
        index: likewise.
        clock: seconds since 1970, UTC.

    Returns:
        How many instances there were.

    Raises:
        Retryable: disk or database do not take them now.
    """
    if journal.is_new and index_completeness.read(archive.root.parent) is not None:
        journal.note_lost()
    with partitions_in_use(journal.folder) as in_use:
        count = _ingest_journal(journal, ingester, archive, index, in_use)
        return count + _ingest_parts(ingester, archive, index, in_use, clock())


def _ingest_journal(
    journal: Journal, ingester: Ingester, archive: Archive, index: Index, in_use: Container[int]
) -> int:
    count = 0
    parts = []
    batch: list[JournalRecord] = []
    size = 0
    for found in journal.left_over(in_use):
        batch.append(found)
        size += len(found.data_set)
        count += isinstance(found.item, Entry)
        if len(batch) >= _BATCH or size >= _BATCH_BYTES:
            parts += ingester.ingest(batch, anew=True).parts
            batch, size = [], 0
    parts += ingester.ingest(batch, anew=True).parts
    if count:
        archive.sync_all()
        index.sync()
    journal.forget(in_use)
    for part in parts:
        part.unlink(missing_ok=True)
    return count


def _ingest_parts(
    ingester: Ingester, archive: Archive, index: Index, in_use: Container[int], now: float
) -> int:
    """Ingest complete files in `.incoming` that no record names; remove incomplete ones. Neither
    were answered."""
    count = 0
    parts = archive.in_flight(in_use)
    for part in parts:
        entry = _entry_of(part, now)
        if entry is None:
            log.info("the node removed %s: an incomplete instance that was not answered", part.name)
        else:
            ingester.ingest([JournalRecord(entry, memoryview(b""), 0)], anew=True)
            count += 1
    if count:
        archive.sync_all()
        index.sync()
    for part in parts:
        part.unlink(missing_ok=True)
    return count


def _entry_of(part: Path, now: float) -> Entry | None:
    """A record for a file; None if it is no complete instance."""
    if not part.stat().st_size:
        return None
    with (
        part.open("rb") as file,
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped,
        memoryview(mapped) as whole,
    ):
        try:
            start = find_data_set(whole)
            with whole[start.offset :] as data_set:
                uids = check(
                    data_set, start.transfer_syntax_uid, sop_class_uid=None, sop_instance_uid=None
                )
        except (MalformedDataSet, InvalidUID):
            return None
    return Entry(
        uids["sop_class_uid"],
        uids["sop_instance_uid"],
        start.transfer_syntax_uid,
        now,
        None,
        part.name,
        start.offset,
        start.source_ae,
    )
