"""After an unclean end: what the journal still holds is filed before the port opens."""

from __future__ import annotations

from typing import Final

from node.archive import Archive
from node.filing.filer import Filer
from node.index.engine import Index
from node.journal import Entry, Found, Journal

_BATCH: Final = 64
_BATCH_BYTES: Final = 16 << 20


def recover(journal: Journal, filer: Filer, archive: Archive, index: Index) -> int:
    """File everything that an earlier run answered and may not have filed durably.

    Takes as long as what was in flight is large, whatever the archive's size.

    Returns:
        How many instances there were.

    Raises:
        Retryable: disk or database do not let it.
    """
    count = 0
    parts = []
    batch: list[Found] = []
    size = 0
    for found in journal.left_over():
        batch.append(found)
        size += len(found.data_set)
        count += isinstance(found.item, Entry)
        if len(batch) >= _BATCH or size >= _BATCH_BYTES:
            parts += filer.file(batch, anew=True).parts
            batch, size = [], 0
    parts += filer.file(batch, anew=True).parts
    if count:
        archive.sync_all()
        index.sync()
    journal.forget()
    for part in parts:
        part.unlink(missing_ok=True)
    return count
