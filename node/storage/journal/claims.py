"""Lanes that are not for receivers: an import has one for as long as it lives, and no longer.

A claim is a lock on a file, which the system takes back from a process however it ends. A partition
that nobody claims belongs to nobody, whatever an earlier import left in it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from node.storage.journal.offsets import IMPORTS, RECEIVERS

_LANES: Final = range(RECEIVERS, RECEIVERS + IMPORTS)


@contextmanager
def claimed_partition(folder: Path) -> Iterator[int | None]:
    """A partition for an import as long as the block lasts; None if all of them are taken.

    Args:
        folder: the journal's.

    Raises:
        OSError: the folder cannot be written.
    """
    with ExitStack() as stack:
        for partition in _LANES:
            handle = _lock(folder, partition)
            if handle is not None:
                stack.callback(os.close, handle)
                yield partition
                return
        yield None


@contextmanager
def partitions_in_use(folder: Path) -> Iterator[frozenset[int]]:
    """The partitions of imports that are under way; until the block ends no other one begins."""
    with ExitStack() as stack:
        taken = set()
        for partition in _LANES:
            handle = _lock(folder, partition)
            if handle is None:
                taken.add(partition)
            else:
                stack.callback(os.close, handle)
        yield frozenset(taken)


def _lock(folder: Path, partition: int) -> int | None:
    handle = os.open(folder / f"import-{partition:02d}.lock", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except BaseException:
        os.close(handle)
        raise
    return handle
