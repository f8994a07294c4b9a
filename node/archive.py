"""The archive: SOP Instance bytes on disk, and the quarantine beside it.

    archive/<2 hex>/<StudyUID>/<SeriesUID>/<SOPInstanceUID>.dcm
    archive/.incoming/            what is being written; after a crash: what was in flight
    quarantine/<time>-<id>.dcm    what could not be understood, with a .json that says why

Two ways lead here. What the journal holds is filed under its final name at once, and synced with
everything else before the journal forgets it. What comes without the journal, an import, goes the
long way: bytes into `.incoming`, fdatasync, a second name in the final folder, fsync of every
folder that got a name, the index row, and only then the first name goes. So a file that no row
speaks of is always found without walking the archive: in the journal, or in `.incoming`.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec

from node.disk import (
    FOLDER_MODE,
    Buffer,
    free_bytes,
    link,
    make_folder,
    spread_below,
    sync_file_system,
    sync_folders,
    write_new,
)
from node.errors import StorageFull
from node.file_meta import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    file_meta,
    meta_length,
)
from node.spill import Spill

__all__ = [
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "Archive",
    "Buffer",
    "Placed",
    "file_meta",
    "meta_length",
    "sync_folders",
]

_KNOWN_FOLDERS: Final = 100_000  # folders remembered; forgetting one costs some system calls


class Placed(msgspec.Struct, frozen=True):
    """An instance's file under its final name, whose folders are not synced yet.

    Attributes:
        path: relative to the archive folder.
        size: bytes of the file.
        data_set_offset: where the data set begins.
        fresh: False if the same bytes had that name already.
        incoming: the first name, to be released once the index has the row.
        folders: what has to be synced before the name is durable.
    """

    path: str
    size: int
    data_set_offset: int
    fresh: bool
    incoming: Path
    folders: tuple[Path, ...]


class Archive:
    """SOP Instance files below one folder. Safe for many threads and processes."""

    def __init__(self, root: Path) -> None:
        self.root = root / "archive"
        self.quarantine = root / "quarantine"
        self._incoming = self.root / ".incoming"
        self._durable: set[Path] = set()
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Make the folders, so that they outlast a power cut.

        Raises:
            OSError: the storage root cannot be made or written.
        """
        make_folder(self.root.parent)
        for folder in (self.root, self.quarantine, self._incoming):
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        spread_below(self.root)
        sync_folders([self.root.parent, self.root])

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

    def place(
        self,
        study_uid: str,
        series_uid: str,
        sop_uid: str,
        meta: bytes,
        data_set: Buffer,
        sha256: str,
    ) -> Placed:
        """Write an instance and give it its final name. UIDs must have been checked.

        Other bytes under the same SOP Instance UID get a name of their own beside the first.

        Raises:
            StorageFull: the disk is full, read-only or failing; nothing is left behind.
        """
        incoming = self.new_part()
        folder = self.root / shard_of(study_uid) / study_uid / series_uid
        size = len(meta) + len(data_set)
        try:
            write_new(incoming, (meta, data_set), durable=True)
            folders = self._make_folder(folder)
            final = folder / f"{sop_uid}.dcm"
            fresh = link(incoming, final)
            if not fresh and data_set_sha256(final) != sha256:
                final = folder / conflict_name(sop_uid, sha256)
                fresh = link(incoming, final)
            if not fresh:
                size = final.stat().st_size
        except OSError as error:
            with suppress(OSError):
                incoming.unlink(missing_ok=True)
            raise StorageFull(f"the archive cannot be written: {error.strerror}") from error
        offset = len(meta) if fresh else size - len(data_set)
        path = final.relative_to(self.root).as_posix()
        return Placed(path, size, offset, fresh, incoming, (*folders, folder))

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
        return self._incoming / f"{uuid.uuid4().hex}.part"

    def sync(self, placed: Iterable[Placed]) -> None:
        """Make the final names durable, one fsync a folder however many files share it.

        Raises:
            StorageFull: a folder could not be synced; nothing may be acknowledged.
        """
        wanted = dict.fromkeys(folder for item in placed for folder in item.folders)
        try:
            sync_folders(wanted)
        except OSError as error:
            raise StorageFull(f"the archive cannot be synced: {error.strerror}") from error
        with self._lock:
            if len(self._durable) > _KNOWN_FOLDERS:
                self._durable.clear()
            self._durable.update(wanted)

    def release(self, placed: Iterable[Placed]) -> None:
        """Give up the first names: the index speaks of the files now."""
        for item in placed:
            with suppress(OSError):  # it costs a look at the next start, no more
                item.incoming.unlink(missing_ok=True)

    def in_flight(self) -> Iterator[Path]:
        """What was being stored when the node died, whole or half."""
        yield from sorted(self._incoming.glob("*.part"))

    def files(self) -> Iterator[Path]:
        """Every instance file, for rebuilding the index."""
        for shard in sorted(self.root.iterdir()):
            if shard.name != self._incoming.name:
                yield from sorted(shard.glob("*/*/*.dcm"))

    def put_in_quarantine(
        self, meta: bytes, data_set: Buffer, why: dict[str, Any], stamp: str
    ) -> str | None:
        """Keep bytes that could not be understood. Returns the file's name, None if disk is out."""
        name = f"{stamp}-{uuid.uuid4().hex[:12]}"
        try:
            write_new(self.quarantine / f"{name}.dcm", (meta, data_set), durable=True)
            note = json.dumps({**why, "file": f"{name}.dcm"}, indent=1).encode()
            write_new(self.quarantine / f"{name}.json", (note,), durable=True)
            sync_folders([self.quarantine])
        except OSError:
            return None
        return f"{name}.dcm"

    def _make_folder(self, folder: Path) -> list[Path]:
        """Make `folder`; return the parents whose new entries are not known to be durable."""
        with self._lock:
            if folder in self._durable:
                return []
        parents = [folder.parent, folder.parent.parent, self.root]
        for step in (*reversed(parents[:-1]), folder):
            with suppress(FileExistsError):
                step.mkdir(mode=FOLDER_MODE)
        return parents


@lru_cache(maxsize=1024)
def shard_of(study_uid: str) -> str:
    """The first folder: studies in 256 parts, so that no folder grows too large."""
    return hashlib.sha1(study_uid.encode(), usedforsecurity=False).hexdigest()[:2]


def conflict_name(sop_uid: str, sha256: str) -> str:
    """The file name of other bytes under a SOP Instance UID that has a file."""
    return f"{sop_uid}.{sha256[:16]}.dcm"


def data_set_sha256(path: str | Path) -> str:
    """The hash of the data set in an archived file."""
    with open(path, "rb") as file:  # noqa: PTH123
        file.seek(meta_length(file.read(144)))
        return hashlib.file_digest(file, "sha256").hexdigest()
