"""Write files and folders durably to stable storage."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import sys
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

Buffer = bytes | bytearray | memoryview

FILE_MODE = 0o640
FOLDER_MODE = 0o750
"""Permissions of everything that the node writes: the group may read, others may not."""

_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS: ioctl_iflags(2)
_TOP_OF_HIERARCHY = 0x00020000  # FS_TOPDIR_FL, the T of chattr(1)
_SYNC_FILE_RANGE_WRITE = 2  # sync_file_range(2), Linux
_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)
if _sync_file_range is not None:
    _sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def sync_folders(folders: Iterable[Path]) -> None:
    """fsync folders, so that the names in them survive a power cut."""
    for folder in folders:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make_folder(folder: Path, below: Path | None = None) -> None:
    """Make a folder and what is missing above it, all of which outlast a power cut.

    What is there already may have been made by a process that died before it synced the name, so
    every folder above is synced, and one that is not ours to open has to be trusted.

    Args:
        below: a folder above it whose own name is known to be synced; None: none is.

    Raises:
        OSError: it cannot be made, or what was made cannot be synced.
    """
    folder = folder.absolute()
    below = below.absolute() if below is not None else None
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=FOLDER_MODE, exist_ok=True)
    changed = {one.parent for one in missing}
    for parent in folder.parents:
        try:
            sync_folders([parent])
        except OSError:
            if parent in changed:
                raise
        if parent == below:
            break


def ensure_folder(folder: Path) -> None:
    """Make a folder and its parents with the node's permissions, unless they are there; no sync.

    Raises:
        OSError: it cannot be made.
    """
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)


def open_lock_file(path: Path) -> int:
    """A descriptor of a file to be locked, which is made if it is not there.

    Raises:
        OSError: it cannot be made or opened.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)


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


def free_bytes(path: Path) -> int:
    """Bytes that this process may still write on the file system of `path`."""
    state = os.statvfs(path)
    return state.f_bavail * state.f_frsize


def spread_below(folder: Path) -> None:
    """Say that the folders in a folder have nothing to do with each other.

    ext4 then gives each a part of the disk of its own choice (its Orlov allocator) and not one near
    their parent, where files that were deleted lately make every new one take longer. Other file
    systems know nothing of it.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flags = bytearray(8)
        fcntl.ioctl(handle, _GET_FLAGS, flags)
        wanted = int.from_bytes(flags, sys.byteorder) | _TOP_OF_HIERARCHY
        fcntl.ioctl(handle, _SET_FLAGS, wanted.to_bytes(8, sys.byteorder))
    except OSError:
        return
    finally:
        os.close(handle)


def start_writing(handle: int, at: int = 0, length: int = 0) -> None:
    """Have what was written to a part of a file go to the disk by now, without waiting for it.

    It shortens the sync that follows, and replaces nothing of it.

    Args:
        length: in bytes; 0 is up to the file's end.
    """
    if _sync_file_range is not None:
        _sync_file_range(handle, at, length, _SYNC_FILE_RANGE_WRITE)


def write_new(path: str | Path, parts: Sequence[Buffer], *, durable: bool) -> None:
    """Write a new file; no partial file is left behind.

    Args:
        path: the file, which must not exist.
        parts: its content.
        durable: return only when the content is on stable storage; the name is not synced.

    Raises:
        FileExistsError: the file exists.
        OSError: it could not be written.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        size = sum(map(len, parts))
        if os.writev(handle, parts) < size:
            os.lseek(handle, 0, os.SEEK_SET)
            _write_all(handle, parts)
        if durable:
            os.fdatasync(handle)
    except OSError:
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108  on the path of every instance
        raise
    finally:
        os.close(handle)


def replace_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file in the place of one that may be there; readers see the old or the new one whole.

    Args:
        durable: whether file and name are on stable storage when this returns.

    Raises:
        OSError: it could not be written; the old one is as it was.
    """
    draft = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        write_new(draft, (content,), durable=durable)
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    if durable:
        sync_folders([path.parent])


def link(source: Path, target: Path) -> bool:
    """Give a file a second name.

    Args:
        source: the file.
        target: the second name.

    Returns:
        False if the name exists already.

    Raises:
        OSError: the name could not be made; ENOSPC if the file has too many names.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno == errno.EMLINK:  # as good as full
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise
    return True


def link_over(source: Path, target: Path) -> None:
    """Replace a file by another one in one step; the other one keeps its own name, too.

    Args:
        source: the file.
        target: the name to be replaced.
    """
    between = source.with_suffix(".again")
    between.unlink(missing_ok=True)
    os.link(source, between)
    between.replace(target)


def _write_all(handle: int, parts: Sequence[Buffer]) -> None:
    for part in parts:
        view = memoryview(part)
        while view:
            view = view[os.write(handle, view) :]


def output_writable(path: Path) -> str | None:
    """Why no file can be made in a folder by this process; None if one can.

    A file without a name is made, which no reader of the folder ever sees.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_TMPFILE, FILE_MODE)
    except FileNotFoundError:
        return f"{path} is not there"
    except NotADirectoryError:
        return f"{path} is no folder"
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}:
            return f"{path} cannot be written: {error.strerror}"
        # A file system without such files, NFS for example.
        return None if os.access(path, os.W_OK | os.X_OK) else f"{path} cannot be written"
    os.close(handle)
    return None


def file_sha256(path: Path) -> str:
    """The SHA-256 of a whole file, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
