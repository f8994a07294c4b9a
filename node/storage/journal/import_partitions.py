"""Partitions of the journal for imports: an import holds one as long as it runs.

An import locks a file for its partition. The operating system releases the lock when the process
ends, however it ends; another import can then use the partition, whatever it still contains.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from node.core.system.disk import open_lock_file
from node.storage.journal.offsets import IMPORTS, RECEIVERS

_PARTITIONS: Final = range(RECEIVERS, RECEIVERS + IMPORTS)


@contextmanager
def claimed_partition(folder: Path) -> Iterator[int | None]:
    """Hold a free partition for an import until the block ends.

    Args:
        folder: the journal's folder.

    Yields:
        The number of the partition; None if all of them are in use.

    Raises:
        OSError: the folder cannot be written.
    """
    with ExitStack() as stack:
        for partition in _PARTITIONS:
            handle = _lock(folder, partition)
            if handle is not None:
                stack.callback(os.close, handle)
                yield partition
                return
        yield None


@contextmanager
def partitions_in_use(folder: Path) -> Iterator[frozenset[int]]:
    """The partitions of running imports; until the block ends no other import can start.

    Args:
        folder: the journal's folder.

    Raises:
        OSError: the folder cannot be written.
    """
    with ExitStack() as stack:
        taken = set()
        for partition in _PARTITIONS:
            handle = _lock(folder, partition)
            if handle is None:
                taken.add(partition)
            else:
                stack.callback(os.close, handle)
        yield frozenset(taken)


def _lock(folder: Path, partition: int) -> int | None:
    """A locked descriptor of the partition's lock file; None if another process holds the lock."""
    handle = open_lock_file(folder / f"import-{partition:02d}.lock")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except BaseException:
        os.close(handle)
        raise
    return handle
