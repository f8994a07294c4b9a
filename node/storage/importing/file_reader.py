"""Reads files as what a C-STORE request would carry."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from node.core.errors import InvalidUID, MalformedDataSet
from node.dicom import Buffer, HeaderTemplate
from node.storage.importing.folder_walk import Refuse
from node.storage.ingest.registration import alike_to_check, check
from node.storage.receive.instance_receiver import Incoming, incoming_from_file

_MOST: Final = 128  # files of a batch
_BYTES: Final = 8 << 20  # after which a batch gets no further file
_LARGE: Final = 64 << 20  # larger files are mapped instead of read, bytes
_DIRECTORY: Final = "1.2.840.10008.1.3.10"  # Media Storage Directory, PS3.10 8


class FileRead(NamedTuple):
    """A file, and the instance in it."""

    path: Path
    incoming: Incoming


class FileReader:
    """Reads files in batches.

    Args:
        clock: seconds since 1970; no two instances get the same time.
        refuse: called with each file that cannot be read, and why.
    """

    def __init__(self, clock: Callable[[], float], refuse: Refuse) -> None:
        self._clock = clock
        self._refuse = refuse
        self._alike = alike_to_check()
        self._latest = 0.0

    def batches(self, paths: Iterable[Path]) -> Iterator[list[FileRead]]:
        """The files that can be read, in batches that are each written with one sync."""
        batch: list[FileRead] = []
        size = 0
        for path in paths:
            try:
                incoming = _incoming(_content(path), self._alike, self._now())
            except (MalformedDataSet, OSError) as error:
                reason = error.strerror if isinstance(error, OSError) else None
                self._refuse(path, f"cannot be read: {reason}" if reason else str(error))
                continue
            batch.append(FileRead(path, incoming))
            size += len(incoming.data_set)
            if len(batch) >= _MOST or size >= _BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _now(self) -> float:
        # A microsecond is the smallest step that a float of seconds since 1970 certainly keeps.
        self._latest = max(self._clock(), self._latest + 1e-6)
        return self._latest


def data_set_in(path: Path) -> Buffer:
    """The data set of a file.

    Raises:
        MalformedDataSet: it is not a DICOM file. OSError: it cannot be read.
    """
    return incoming_from_file(_content(path)).data_set


def _content(path: Path) -> bytes | memoryview:
    with path.open("rb") as file:
        if path.stat().st_size <= _LARGE:
            return file.read()
        return memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))


def _incoming(content: bytes | memoryview, alike: HeaderTemplate, received_at: float) -> Incoming:
    incoming = incoming_from_file(content)
    if incoming.sop_class_uid == _DIRECTORY:
        raise MalformedDataSet("This is a DICOMDIR: it lists files and is not an instance.")
    uids = {
        "sop_class_uid": incoming.sop_class_uid,
        "sop_instance_uid": incoming.sop_instance_uid,
    }
    if None in uids.values():
        uids = _uids_of_data_set(incoming)
    return msgspec.structs.replace(incoming, **uids, alike=alike, received_at=received_at)


def _uids_of_data_set(incoming: Incoming) -> dict[str, str | None]:
    """The UIDs in the data set of a file whose meta information lacks them; empty if they are not
    there either."""
    syntax = incoming.transfer_syntax_uid
    try:
        found = check(incoming.data_set, syntax, sop_class_uid=None, sop_instance_uid=None)
    except (MalformedDataSet, InvalidUID):
        return {}
    return {name: found[name] for name in ("sop_class_uid", "sop_instance_uid")}
