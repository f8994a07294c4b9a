"""An intake into the partition that an import has, with everything that it needs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from node.core.settings.model import Settings
from node.storage.archive import Archive
from node.storage.importing.importer import PATIENCE_SECONDS, Importer
from node.storage.importing.journal_access import Access
from node.storage.index.imported import Imported
from node.storage.journal import JournalWriter
from node.storage.journal.segment import count_for, size_for
from node.storage.quarantine import Quarantine
from node.storage.receive.journal_receiver import JournalReceiver


@contextmanager
def open_importer(
    access: Access,
    settings: Settings,
    *,
    say: Callable[[str], None],
    stopping: threading.Event,
    patience: float = PATIENCE_SECONDS,
) -> Iterator[Importer]:
    """An intake, as long as the block lasts. Arguments as for `Importer`.

    Raises:
        StorageFull: the partition's files cannot be made or opened.
    """
    journal, number = access.journal, access.partition
    offsets = journal.offsets
    archive = Archive(settings.storage.root, number)
    if offsets.safe(number) >= offsets.answered(number):
        archive.drop_import(number)
    free = archive.free_bytes()
    size, most = size_for(free), count_for(free)
    partition = JournalWriter(
        journal.folder, number, offsets, size, access.ring, most=most, urgent=False
    )
    with closing(partition):
        kept = settings.storage.quarantine
        receiver = JournalReceiver(
            archive,
            journal,
            partition,
            minimum_free=settings.storage.minimum_free,
            clock=time.time,
            quarantine=Quarantine(archive.quarantine, per_peer=kept.per_peer, days=kept.days),
        )
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
