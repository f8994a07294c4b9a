"""The archive: SOP Instance bytes on disk, durable and atomic, and the quarantine beside it.

    archive/<2 hex>/<StudyUID>/<SeriesUID>/<SOPInstanceUID>.dcm
    archive/.incoming/            what is being written; after a crash: what was in flight
    quarantine/<time>-<id>.dcm    what could not be understood, with a .json that says why

The order that survives a power cut: bytes into `.incoming`, fdatasync, a second name in the final
folder, fsync of every folder that got a name, the index row, and only then the first name goes.
So a file that no row speaks of is always found in `.incoming`, without walking the archive.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import struct
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.errors import StorageFull
from node.spill import Spill
from node.version import VERSION

Buffer = bytes | bytearray | memoryview

# PS3.7 D.3.3.2: ours, derived from a UUID as PS3.5 B.2 allows.
IMPLEMENTATION_CLASS_UID = "2.25.183396139247261668138025237881968033559"
IMPLEMENTATION_VERSION_NAME = f"RASNODE_{VERSION}"[:16]

_FILE_MODE = 0o640
_FOLDER_MODE = 0o750
_META_LONG = {b"OB"}
_KNOWN_FOLDERS = 100_000  # folders remembered as durable; forgetting one costs an fsync


@dataclass(frozen=True, slots=True)
class Placed:
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


@dataclass(frozen=True, slots=True)
class Journaled:
    """What is known of an instance that the journal holds.

    Attributes:
        is_ours: whether a file with other bytes under this SOP Instance UID, for data sets of this
            hash, is a remnant of a crash and no other instance: no row speaks of other bytes.
        anew: write it even if the same bytes are there: it is not sure that they reached the disk.
    """

    is_ours: Callable[[str, str], bool]
    anew: bool


class Archive:
    """SOP Instance files below one folder. Safe for many threads and processes."""

    def __init__(self, root: Path) -> None:
        self.root = root / "archive"
        self.quarantine = root / "quarantine"
        self._incoming = self.root / ".incoming"
        self._durable: set[Path] = set()
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            OSError: the storage root cannot be made or written.
        """
        for folder in (self.root, self.quarantine, self._incoming):
            folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        sync_folders([self.root.parent, self.root])

    def path(self, relative: str) -> Path:
        """The file of an index row."""
        return self.root / relative

    def free_bytes(self) -> int:
        """Bytes that this process may still write on the archive's file system."""
        state = os.statvfs(self.root)
        return state.f_bavail * state.f_frsize

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
        return Spill(self._part(), meta, room)

    def place(
        self,
        study_uid: str,
        series_uid: str,
        sop_uid: str,
        meta: bytes,
        data_set: Buffer,
        sha256: str,
        part: Path | None = None,
        journaled: Journaled | None = None,
    ) -> Placed:
        """Write an instance and give it its final name. UIDs must have been checked.

        Other bytes under the same SOP Instance UID get a name of their own beside the first.

        Args:
            part: the file that holds meta information and data set already, if there is one.
            journaled: the journal has it on stable storage, so that nothing is synced here.

        Raises:
            StorageFull: the disk is full, read-only or failing; nothing is left behind.
        """
        incoming = part or self._part()
        shard = hashlib.sha1(study_uid.encode(), usedforsecurity=False).hexdigest()[:2]
        folder = self.root / shard / study_uid / series_uid
        size = len(meta) + len(data_set)
        try:
            if part is None:
                _write(incoming, (meta, data_set), durable=journaled is None)
            folders = self._make_folder(folder)
            final, fresh = _name(incoming, folder, sop_uid, sha256, journaled)
            if not fresh:
                size = final.stat().st_size
        except OSError as error:
            if part is None:
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

    def _part(self) -> Path:
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
            _write(self.quarantine / f"{name}.dcm", (meta, data_set), durable=True)
            note = json.dumps({**why, "file": f"{name}.dcm"}, indent=1).encode()
            _write(self.quarantine / f"{name}.json", (note,), durable=True)
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
                step.mkdir(mode=_FOLDER_MODE)
        return parents


def file_meta(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae: str = ""
) -> bytes:
    """Preamble and File Meta Information of a Part 10 file (PS3.10 7.1)."""
    elements = b"".join(
        (
            _meta_element(0x0001, b"OB", b"\x00\x01"),
            _meta_element(0x0002, b"UI", sop_class_uid.encode("ascii")),
            _meta_element(0x0003, b"UI", sop_instance_uid.encode("ascii")),
            _meta_element(0x0010, b"UI", transfer_syntax_uid.encode("ascii")),
            _meta_element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode("ascii")),
            _meta_element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii")),
            _meta_element(0x0016, b"AE", source_ae.encode("ascii", "replace"))
            if source_ae
            else b"",
        )
    )
    group_length = _meta_element(0x0000, b"UL", struct.pack("<L", len(elements)))
    return bytes(128) + b"DICM" + group_length + elements


def _meta_element(element: int, vr: bytes, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    if vr in _META_LONG:
        return struct.pack("<HH2sHL", 2, element, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value


def meta_length(head: Buffer) -> int:
    """Where the data set begins in a file that `file_meta` began.

    Args:
        head: at least the file's first 144 bytes.
    """
    (length,) = struct.unpack_from("<L", head, 140)
    return 144 + int(length)


def sync_folders(folders: Iterable[Path]) -> None:
    """fsync folders, so that the names in them survive a power cut."""
    for folder in folders:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_file_system(path: Path) -> None:
    """Put everything on the file system of `path` on stable storage."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        os.sync()
        return
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if syncfs(handle):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(handle)


def _name(
    incoming: Path, folder: Path, sop_uid: str, sha256: str, journaled: Journaled | None
) -> tuple[Path, bool]:
    """Link an instance to the name that it gets; also whether it is a new one."""
    final = folder / f"{sop_uid}.dcm"
    if _link(incoming, final):
        return final, True
    same = _data_set_sha256(final) == sha256
    if journaled is not None and journaled.anew and (same or journaled.is_ours(sop_uid, sha256)):
        _link_over(incoming, final)
        return final, True
    if same:
        return final, False
    final = folder / f"{sop_uid}.{sha256[:16]}.dcm"
    if _link(incoming, final):
        return final, True
    if journaled is not None and journaled.anew:
        _link_over(incoming, final)
        return final, True
    return final, False


def _link_over(source: Path, target: Path) -> None:
    """Give a file the name of another one, which goes, in one step."""
    between = source.with_suffix(".again")
    between.unlink(missing_ok=True)
    os.link(source, between)
    between.replace(target)


def _write(path: Path, parts: Sequence[Buffer], *, durable: bool) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
    try:
        for part in parts:
            view = memoryview(part)
            while view:
                view = view[os.write(handle, view) :]
        if durable:
            os.fdatasync(handle)
    finally:
        os.close(handle)


def _link(source: Path, target: Path) -> bool:
    """Give a file a second name; False if something has that name already."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno == errno.EMLINK:  # as good as full
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise
    return True


def _data_set_sha256(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(meta_length(file.read(144)))
        return hashlib.file_digest(file, "sha256").hexdigest()
