"""Rebuilds the index from the archive alone: every file is read as if it had just been received."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from node.core.errors import (
    InvalidUID,
    MalformedDataSet,
    Retryable,
    error_reference,
    traced,
)
from node.core.records import InstanceRecord
from node.dicom import find_data_set
from node.storage.archive import Archive, ArchivedFile, meta_length
from node.storage.index.store import Store
from node.storage.ingest.registration import register
from node.storage.integrity import sha256_of
from node.storage.receive.instance_receiver import record_of

log = logging.getLogger(__name__)

_BATCH = 200


class _Found(NamedTuple):
    """An archived file and the index's record of it."""

    path: Path
    record: InstanceRecord


def reindex(
    archive: Archive, store: Store, progress: Callable[[int], None] = lambda _files: None
) -> tuple[int, list[Path]]:
    """Add every archived file to an index, first versions before conflicts.

    Args:
        archive: the archive.
        store: writes to the index; rows that it has already stay.
        progress: called with the number of files done since the last call.

    Returns:
        How many files there are, and those that could not be read or that the index does not take.

    Raises:
        Retryable: disk or database do not take it now; another call goes on.
    """
    files, unindexed = 0, list[Path]()
    batch: list[_Found] = []
    for path in _first_versions_first(archive):
        files += 1
        record = _record(archive, path)
        if record is None:
            unindexed.append(path)
        else:
            batch.append(_Found(path, record))
        if len(batch) >= _BATCH:
            unindexed += _add(store, batch)
            progress(len(batch))
            batch = []
    unindexed += _add(store, batch)
    progress(len(batch))
    return files, unindexed


def _add(store: Store, batch: Sequence[_Found]) -> list[Path]:
    """Add a batch, after an unexpected error file by file; returns the files left out."""
    try:
        store.add([(one.record, None) for one in batch])
    except Retryable:
        raise
    except Exception as error:  # noqa: BLE001  one file must not keep the others out of the index
        if len(batch) > 1:
            return [path for one in batch for path in _add(store, [one])]
        for one in batch:
            _say_unexpected(one.path, error)
        return [one.path for one in batch]
    return []


def _say_unexpected(path: Path, error: Exception) -> None:
    log.error(
        "an unexpected error keeps %s out of the index, and it stays in the archive "
        "(reference %s): %s",
        path,
        error_reference(error),
        traced(error),
    )


def _first_versions_first(archive: Archive) -> Iterator[Path]:
    conflicts = []
    for path in archive.files():
        if _is_conflict(path):
            conflicts.append(path)
        else:
            yield path
    yield from conflicts


def _is_conflict(path: Path) -> bool:
    """Whether a file is named `<UID>.<16 digits of its hash>.dcm`: a UID may also end with sixteen
    digits, so the hash is compared."""
    tail = path.stem.rsplit(".", 1)[-1]
    if len(tail) != 16:
        return False
    try:
        data = path.read_bytes()
    except OSError:
        return False  # it is reported when its header is read
    return sha256_of(memoryview(data)[meta_length(data) :]).startswith(tail)


def _record(archive: Archive, path: Path) -> InstanceRecord | None:
    try:
        data = path.read_bytes()
        start = find_data_set(data)
        registration = register(memoryview(data)[start.offset :], start.transfer_syntax_uid)
    except (MalformedDataSet, InvalidUID, OSError) as error:
        log.error(
            "the node cannot add %s to the index and leaves it in the archive: %s", path, error
        )
        return None
    except Exception as error:  # noqa: BLE001  one file must not keep the others out of the index
        _say_unexpected(path, error)
        return None
    placed = ArchivedFile(
        path=path.relative_to(archive.root).as_posix(),
        size=len(data),
        data_set_offset=start.offset,
        fresh=True,
    )
    return record_of(registration, start.transfer_syntax_uid, placed, path.stat().st_mtime)
