"""Who has a storage root: one process alone, and whether that is a node that files."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from node.core.errors import ConfigError, Retryable
from node.storage.run_file import LOCK, withdraw

_REMOVAL_LOCK: Final = ".removal.lock"
_REMOVING_SECONDS: Final = 60.0
_SERVING: Final = b"serving\n"
_PATIENCE_SECONDS: Final = 2.0  # for an import that only looked, or a process that dies
_LOOK_SECONDS: Final = 0.1


class RootInUse(ConfigError):
    """Another process has the storage root."""


@contextmanager
def sole_owner(root: Path, patience: float = _PATIENCE_SECONDS) -> Iterator[Callable[[], None]]:
    """Hold the storage root for this process alone.

    Args:
        patience: seconds to wait for another one that has it.

    Yields:
        To be called once this process files what the journal gets: from then on others may write
        there.

    Raises:
        ConfigError: the folder cannot be made or written. RootInUse: another process has it.
    """
    try:
        root.mkdir(mode=0o750, parents=True, exist_ok=True)
        handle = os.open(root / LOCK, os.O_RDWR | os.O_CREAT, 0o640)
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
        os.ftruncate(handle, 0)  # what another one said of itself
        withdraw(root)  # what a node said that was killed
        yield lambda: _say(handle, _SERVING)
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


@contextmanager
def retention_paused(root: Path, patience: float = _REMOVING_SECONDS) -> Iterator[None]:
    """Have retention remove nothing from the archive as long as the block lasts.

    Args:
        patience: seconds to wait for what it is removing.

    Raises:
        Retryable: it does not come to an end. OSError: the folder cannot be written.
    """
    with _removal_lock(root) as handle:
        try:
            _lock(handle, fcntl.LOCK_SH, patience)
        except BlockingIOError as error:
            raise Retryable("retention is removing files; try again later") from error
        yield


@contextmanager
def removing(root: Path) -> Iterator[bool]:
    """Whether files may be removed from the archive as long as the block lasts: no backup of them
    is being made."""
    with _removal_lock(root) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def _removal_lock(root: Path) -> Iterator[int]:
    handle = os.open(root / _REMOVAL_LOCK, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        yield handle
    finally:
        os.close(handle)


def is_serving(root: Path) -> bool:
    """Whether a process has the root, and has said that it files what the journal gets."""
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


def _say(handle: int, what: bytes) -> None:
    os.pwrite(handle, what, 0)


def _lock(handle: int, kind: int, patience: float) -> None:
    """Lock an open file, waiting so many seconds for whoever has it.

    Raises:
        BlockingIOError: that one still has it.
    """
    for attempt in Retrying(
        retry=retry_if_exception_type(BlockingIOError),
        stop=stop_after_delay(patience),
        wait=wait_fixed(_LOOK_SECONDS),
        reraise=True,
    ):
        with attempt:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
