"""Takes uploaded files in: by the journal, as the files of `rasnode import`."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from node.core.errors import NodeError, Retryable
from node.core.settings.model import Storage
from node.core.statuses import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, SUCCESS
from node.storage.importing.importer import FileResult, Importer
from node.storage.importing.partition_receiver import partition_receiver
from node.storage.index.engine import Index
from node.storage.index.imported import Imported
from node.storage.journal import Journal
from node.storage.journal.import_partitions import claimed_partition

INGEST_SECONDS: Final = 10.0
"""For a batch to come into the index; what takes longer is safe in the journal all the same."""
_PATIENCE_SECONDS: Final = 5.0


class Upload:
    """Takes the files of one upload in. For one thread at a time.

    Args:
        importer: what takes them in.
        results: what it tells of each file.
    """

    def __init__(self, importer: Importer, results: list[FileResult]) -> None:
        self._importer = importer
        self._results = results

    @property
    def series(self) -> set[int]:
        """The rows of the series that got instances."""
        return self._importer.tally.series

    def take(self, paths: Sequence[Path]) -> list[FileResult]:
        """Make files durable, and wait for the index to have them.

        Args:
            paths: the files; they are no longer needed afterwards.

        Returns:
            what became of each of them.
        """
        self._results.clear()
        trouble = "", CANNOT_UNDERSTAND
        try:
            self._importer.take(paths, lambda _count: None)
            self._importer.finish(INGEST_SECONDS)
        except (NodeError, OSError) as error:
            trouble = str(error), OUT_OF_RESOURCES
        known = {result.path: result for result in self._results}
        for file in self._importer.waiting():
            safe = "it is safe, and not in the index yet"
            known.setdefault(file.path, FileResult(file.path, file.sop_instance_uid, SUCCESS, safe))
        sentence, status = trouble
        return [
            known.get(path) or FileResult(path, "", status, sentence or "it was not taken in")
            for path in paths
        ]


class Uploads:
    """Opens uploads on partitions of the journal of their own.

    Args:
        storage: the settings.
        journal: the node's.
        index: the node's.
        wake_ingester: called after each write.
    """

    def __init__(
        self, storage: Storage, journal: Journal, index: Index, wake_ingester: Callable[[], None]
    ) -> None:
        self._storage = storage
        self._journal = journal
        self._index = index
        self._wake = wake_ingester

    @property
    def folder(self) -> Path:
        """Where files are until they are taken in."""
        return self._storage.root / "uploads"

    @property
    def minimum_free(self) -> int:
        """Bytes of the disk that are left free."""
        return self._storage.minimum_free

    def remove_left(self) -> None:
        """Remove the files of uploads that a crash has ended; at the start of the node."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def open(self) -> Iterator[Upload]:
        """An upload, until the block ends.

        Raises:
            Retryable: as many imports are under way as there may be at once.
            StorageFull: there is no room for the journal.
        """
        results: list[FileResult] = []
        with claimed_partition(self._journal.folder) as number:
            if number is None:
                raise Retryable("as many imports are under way as there may be at once; try later")
            with partition_receiver(self._storage, self._journal, number, self._wake) as receiver:
                importer = Importer(
                    receiver,
                    self._journal,
                    number,
                    Imported(self._index),
                    clock=time.time,
                    say=lambda _sentence: None,
                    stopping=threading.Event(),
                    patience=_PATIENCE_SECONDS,
                    told=results.append,
                )
                yield Upload(importer, results)
