"""The archive: SOP Instance bytes on disk.

    archive/<2 hex>/<StudyUID>/<SeriesUID>/<SOPInstanceUID>.dcm
    archive/.incoming/            what is being written; after a crash: what was in flight
    quarantine/                   beside it: `node.storage.quarantine`

Whatever comes here was in the journal first. It is written under its final name at once, synced
with everything else before the journal forgets it, so that a file that no row speaks of is always
found without walking the archive: in the journal, or in `.incoming`.
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
    FOLDER_MODE,
    Buffer,
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
    "sync_folders",
]

_IMPORTING: Final = "import-"


class ArchivedFile(msgspec.Struct, frozen=True):
    """An instance's file under its final name, whose folders are not synced yet.

    Attributes:
        path: relative to the archive folder.
        size: bytes of the file.
        data_set_offset: where the data set begins.
        fresh: False if the same bytes were there already.
    """

    path: str
    size: int
    data_set_offset: int
    fresh: bool


class Archive:
    """SOP Instance files below one folder. Safe for many threads and processes.

    Args:
        root: `storage.root`.
        partition: of the journal, for an import: its files in `.incoming` name it.
    """

    def __init__(self, root: Path, partition: int | None = None) -> None:
        self.root = root / "archive"
        self.quarantine = root / "quarantine"
        self._incoming = self.root / ".incoming"
        self._mark = "" if partition is None else _mark(partition)

    def prepare(self) -> None:
        """Make the folders, so that they outlast a power cut.

        Raises:
            ConfigError: the storage root cannot be made or written.
        """
        root = self.root.parent
        try:
            make_folder(root)
            for folder in (self.root, self.quarantine, self._incoming):
                folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
            spread_below(self.root)
            sync_folders([root, self.root])
        except OSError as error:
            raise ConfigError(f"cannot write to storage.root {root}: {error.strerror}") from error

    def path(self, relative: str) -> Path:
        """The file of an index row."""
        return self.root / relative

    def check_writable(self) -> float:
        """See that a file can be written here, and brought to the disk.

        Returns:
            How long that took, s.

        Raises:
            StorageFull: it cannot: no room, a quota, read-only, or the disk is failing.
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
            room: raises StorageFull if there is no room for so many bytes more.

        Raises:
            StorageFull: the disk is full, read-only or failing.
        """
        return Spill(self.new_part(), meta, room)

    def incoming(self, name: str) -> Path:
        """A file in `.incoming` by its name."""
        return self._incoming / name

    def sync_all(self) -> None:
        """Put everything that was placed on stable storage, however much it is.

        Raises:
            StorageFull: the disk is failing: what was placed since the last time is not trusted.
        """
        try:
            sync_file_system(self.root)
        except OSError as error:
            raise StorageFull(f"the archive cannot be synced: {error.strerror}") from error

    def new_part(self) -> Path:
        """A name in `.incoming` that nobody has."""
        return self._incoming / f"{self._mark}{uuid.uuid4().hex}.part"

    def in_flight(self, but: Container[int] = ()) -> list[Path]:
        """What was being stored when the node died, whole or half.

        Args:
            but: partitions of imports that are under way: theirs is left out.
        """
        return [
            path
            for path in sorted(self._incoming.glob("*.part"))
            if not (path.name.startswith(_IMPORTING) and int(path.name.split("-")[1]) in but)
        ]

    def drop_import(self, partition: int) -> None:
        """Remove what an import into a partition left behind that nobody needs any more."""
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
    """The first folder: studies in 256 parts, so that no folder grows too large."""
    return hashlib.sha1(study_uid.encode(), usedforsecurity=False).hexdigest()[:2]
