"""Locks of a storage root: one process owns it, and a backup pauses retention."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from node.core.errors import ConfigError, Retryable
from node.core.system.disk import ensure_folder, open_lock_file
from node.storage.run_file import LOCK, withdraw

_REMOVAL_LOCK: Final = ".removal.lock"
_REMOVING_SECONDS: Final = 60.0
_SERVING: Final = b"serving\n"
_PATIENCE_SECONDS: Final = 2.0  # for an import that is about to release it, or a dying process
_POLL_SECONDS: Final = 0.1


class RootInUse(ConfigError):
    """Another process owns the storage root."""


@contextmanager
def sole_owner(root: Path, patience: float = _PATIENCE_SECONDS) -> Iterator[Callable[[], None]]:
    """Own the storage root until the block ends.

    Args:
        root: `storage.root`; it is made if it is not there.
        patience: seconds to wait for another process that owns it.

    Yields:
        A function to be called once this process ingests: from then on imports may write to the
        journal.

    Raises:
        ConfigError: the folder cannot be made or written.
        RootInUse: another process owns it.
    """
    try:
        ensure_folder(root)
        handle = open_lock_file(root / LOCK)
    except OSError as error:
        raise ConfigError(f"cannot write to storage.root {root}: {error.strerror}") from error
    try:
        try:
            _lock(handle, fcntl.LOCK_EX, patience)
        except OSError as error:
            raise RootInUse(
                f"another rasnode has storage.root {root} open; stop it first, "
                "or give this one a folder of its own"
            ) from error
        os.ftruncate(handle, 0)  # of an earlier owner
        withdraw(root)  # the run file of a node that was killed
        yield lambda: _mark(handle, _SERVING)
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


@contextmanager
def retention_paused(root: Path, patience: float = _REMOVING_SECONDS) -> Iterator[None]:
    """Pause retention until the block ends: it removes nothing from the archive.

    Args:
        root: `storage.root`.
        patience: seconds to wait for a removal that is under way.

    Raises:
        Retryable: the removal takes too long.
        OSError: the folder cannot be written.
    """
    with _open_removal_lock(root) as handle:
        try:
            _lock(handle, fcntl.LOCK_SH, patience)
        except BlockingIOError as error:
            raise Retryable("retention is removing files; try again later") from error
        yield


@contextmanager
def removal_lock(root: Path) -> Iterator[bool]:
    """Hold the lock for removing archive files until the block ends.

    Yields:
        False if a backup has paused retention: then nothing may be removed.
    """
    with _open_removal_lock(root) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def _open_removal_lock(root: Path) -> Iterator[int]:
    handle = open_lock_file(root / _REMOVAL_LOCK)
    try:
        yield handle
    finally:
        os.close(handle)


def is_serving(root: Path) -> bool:
    """Whether a running process owns the root and ingests what the journal receives."""
    try:
        handle = os.open(root / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        if os.pread(handle, len(_SERVING), 0) != _SERVING:
            return False
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False  # it has died
    finally:
        os.close(handle)


def _mark(handle: int, what: bytes) -> None:
    os.pwrite(handle, what, 0)


def _lock(handle: int, kind: int, patience: float) -> None:
    """Lock an open file, waiting so many seconds for another process.

    Raises:
        BlockingIOError: the other process still holds the lock.
    """
    for attempt in Retrying(
        retry=retry_if_exception_type(BlockingIOError),
        stop=stop_after_delay(patience),
        wait=wait_fixed(_POLL_SECONDS),
        reraise=True,
    ):
        with attempt:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
