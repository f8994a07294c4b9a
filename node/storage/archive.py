"""The archive: the files of SOP Instances.

    archive/<2 hex>/<StudyUID>/<SeriesUID>/<SOPInstanceUID>.dcm
    archive/.incoming/            files that are being written
    quarantine/                   beside it: `node.storage.quarantine`

Every instance was in the journal first. Its file is written under its final name and synced before
the journal overwrites the record. So after a crash a file that the index does not list is found
without reading the whole archive: it is in the journal, or in `.incoming`.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Container, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from node.core.errors import ConfigError, StorageFull
from node.core.system.disk import (
    Buffer,
    ensure_folder,
    free_bytes,
    make_folder,
    spread_below,
    sync_file_system,
    sync_folders,
    write_new,
)
from node.dicom.file_meta import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    file_meta,
    meta_length,
)
from node.storage.spill import Spill

__all__ = [
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "Archive",
    "ArchivedFile",
    "Buffer",
    "file_meta",
    "meta_length",
]

_IMPORTING: Final = "import-"


class ArchivedFile(msgspec.Struct, frozen=True):
    """An archive file under its final name, which is not synced yet.

    Attributes:
        path: relative to the archive folder.
        size: bytes of the file.
        data_set_offset: where the data set begins.
        fresh: whether its bytes were not there before.
    """

    path: str
    size: int
    data_set_offset: int
    fresh: bool


class Archive:
    """SOP Instance files below one folder. Safe for many threads and processes.

    Args:
        root: `storage.root`.
        partition: of the journal, for an import: it is part of its file names in `.incoming`.
    """

    def __init__(self, root: Path, partition: int | None = None) -> None:
        self.root = root / "archive"
        self.quarantine = root / "quarantine"
        self._incoming = self.root / ".incoming"
        self._mark = "" if partition is None else _mark(partition)

    def prepare(self) -> None:
        """Make the folders, durably.

        Raises:
            ConfigError: the storage root cannot be made or written.
        """
        root = self.root.parent
        try:
            make_folder(root)
            for folder in (self.root, self.quarantine, self._incoming):
                ensure_folder(folder)
            spread_below(self.root)
            sync_folders([root, self.root])
        except OSError as error:
            raise ConfigError(f"cannot write to storage.root {root}: {error.strerror}") from error

    def path(self, relative: str) -> Path:
        """The file of a path that the index has."""
        return self.root / relative

    def check_writable(self) -> float:
        """Check that a file can be written and synced in the archive.

        Returns:
            How long that took, s.

        Raises:
            StorageFull: it cannot: no room, a quota, read-only, or a failing disk.
        """
        probe = self._incoming / "probe"
        began = time.monotonic()
        try:
            probe.unlink(missing_ok=True)
            write_new(probe, (b"probe",), durable=True)
            probe.unlink()
        except OSError as error:
            raise StorageFull(
                f"nothing can be written below storage.root: {error.strerror}"
            ) from error
        return time.monotonic() - began

    def free_bytes(self) -> int:
        """Bytes that this process may still write on the archive's file system."""
        return free_bytes(self.root)

    def free(self) -> tuple[int, int | None]:
        """Bytes that this process may still write there, and files (None: the file system does
        not count them)."""
        state = os.statvfs(self.root)
        return state.f_bavail * state.f_frsize, state.f_favail if state.f_files else None

    def spill(self, meta: bytes, room: Callable[[int], None]) -> Spill:
        """Begin a file for an instance that is too large for memory.

        Args:
            meta: preamble and meta information of the file.
            room: raises StorageFull if there is no room for so many more bytes.

        Raises:
            StorageFull: the disk is full, read-only or failing.
        """
        return Spill(self.new_part(), meta, room)

    def incoming(self, name: str) -> Path:
        """A file in `.incoming` by its name."""
        return self._incoming / name

    def sync_all(self) -> None:
        """Bring all files that were written to stable storage.

        Raises:
            StorageFull: the disk is failing; files since the last sync may be damaged.
        """
        try:
            sync_file_system(self.root)
        except OSError as error:
            raise StorageFull(f"the archive cannot be synced: {error.strerror}") from error

    def new_part(self) -> Path:
        """A new file name in `.incoming`."""
        return self._incoming / f"{self._mark}{uuid.uuid4().hex}.part"

    def in_flight(self, but: Container[int] = ()) -> list[Path]:
        """Files that were being received when the node died, complete or not.

        Args:
            but: partitions of running imports, whose files are left out.
        """
        return [
            path
            for path in sorted(self._incoming.glob("*.part"))
            if not (path.name.startswith(_IMPORTING) and int(path.name.split("-")[1]) in but)
        ]

    def drop_import(self, partition: int) -> None:
        """Remove the files that an import into a partition left in `.incoming`."""
        for path in self._incoming.glob(f"{_mark(partition)}*.part"):
            path.unlink(missing_ok=True)

    def files(self) -> Iterator[Path]:
        """Every instance file, for rebuilding the index."""
        for shard in sorted(self.root.iterdir()):
            if shard.name != self._incoming.name:
                yield from sorted(shard.glob("*/*/*.dcm"))


def _mark(partition: int) -> str:
    return f"{_IMPORTING}{partition:02d}-"


@lru_cache(maxsize=1024)
def shard_of(study_uid: str) -> str:
    """The first folder of a study: one of 256, so that no folder grows too large."""
    return hashlib.sha1(study_uid.encode(), usedforsecurity=False).hexdigest()[:2]
