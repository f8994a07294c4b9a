"""What takes instances into a partition of the journal that belongs to no receiver process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from node.core.settings.model import Storage
from node.storage.archive import Archive
from node.storage.journal import Journal, JournalWriter
from node.storage.journal.segment import count_for, size_for
from node.storage.quarantine import Quarantine
from node.storage.receive.journal_receiver import JournalReceiver


@contextmanager
def partition_receiver(
    storage: Storage, journal: Journal, number: int, wake_ingester: Callable[[], None]
) -> Iterator[JournalReceiver]:
    """A receiver that writes to a partition, until the block ends.

    Args:
        storage: the settings.
        journal: the journal.
        number: of the partition, which is claimed.
        wake_ingester: called after each write.

    Raises:
        StorageFull: the partition's files cannot be made or opened.
    """
    archive = Archive(storage.root, number)
    if journal.offsets.safe(number) >= journal.offsets.answered(number):
        archive.drop_import(number)  # what an import that was killed left behind
    free = archive.free_bytes()
    writer = JournalWriter(
        journal.folder,
        number,
        journal.offsets,
        size_for(free),
        wake_ingester,
        most=count_for(free),
        senders_wait=False,
    )
    kept = storage.quarantine
    with closing(writer):
        yield JournalReceiver(
            archive,
            journal,
            writer,
            minimum_free=storage.minimum_free,
            clock=time.time,
            quarantine=Quarantine(archive.quarantine, per_peer=kept.per_peer, days=kept.days),
        )
