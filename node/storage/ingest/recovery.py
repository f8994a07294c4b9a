"""After an unclean end: what the journal still holds is ingested before the port opens."""

from __future__ import annotations

import logging
import mmap
from collections.abc import Callable, Container
from pathlib import Path
from typing import Final

from node.core.errors import InvalidUID, MalformedDataSet
from node.dicom import find_data_set
from node.storage import index_holdings
from node.storage.archive import Archive
from node.storage.index.engine import Index
from node.storage.ingest.ingester import Ingester
from node.storage.ingest.registration import check
from node.storage.journal import Entry, Found, Journal
from node.storage.journal.claims import partitions_in_use

log = logging.getLogger(__name__)

_BATCH: Final = 64
_BATCH_BYTES: Final = 16 << 20


def recover(
    journal: Journal, ingester: Ingester, archive: Archive, index: Index, clock: Callable[[], float]
) -> int:
    """File everything that an earlier run answered and may not have ingested durably.

    Takes as long as what was in flight is large, whatever the archive's size. Imports that are
    under way go on meanwhile: what they have written stays in the journal.

    Args:
        clock: seconds since 1970, UTC.

    Returns:
        How many instances there were.

    Raises:
        Retryable: disk or database do not let it.
    """
    if journal.is_new and index_holdings.read(archive.root.parent) is not None:
        journal.note_lost()
    with partitions_in_use(journal.folder) as alive:
        count = _file_journal(journal, ingester, archive, index, alive)
        return count + _file_parts(ingester, archive, index, alive, clock())


def _file_journal(
    journal: Journal, ingester: Ingester, archive: Archive, index: Index, alive: Container[int]
) -> int:
    count = 0
    parts = []
    batch: list[Found] = []
    size = 0
    for found in journal.left_over(alive):
        batch.append(found)
        size += len(found.data_set)
        count += isinstance(found.item, Entry)
        if len(batch) >= _BATCH or size >= _BATCH_BYTES:
            parts += ingester.file(batch, anew=True).parts
            batch, size = [], 0
    parts += ingester.file(batch, anew=True).parts
    if count:
        archive.sync_all()
        index.sync()
    journal.forget(alive)
    for part in parts:
        part.unlink(missing_ok=True)
    return count


def _file_parts(
    ingester: Ingester, archive: Archive, index: Index, alive: Container[int], now: float
) -> int:
    """Files that no record speaks of, so that nobody was told of them: whole ones are kept."""
    count = 0
    parts = archive.in_flight(alive)
    for part in parts:
        entry = _entry_of(part, now)
        if entry is None:
            log.info("dropped %s: half an instance that was never acknowledged", part.name)
        else:
            ingester.file([Found(entry, memoryview(b""), 0)], anew=True)
            count += 1
    if count:
        archive.sync_all()
        index.sync()
    for part in parts:
        part.unlink(missing_ok=True)
    return count


def _entry_of(part: Path, now: float) -> Entry | None:
    """What the journal would say of a file; None if it is no whole instance."""
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
