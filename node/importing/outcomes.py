"""What the index made of imported files, once they have been filed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from node.errors import MalformedDataSet
from node.filing.hashing import sha256_of
from node.importing.reading import data_set_in
from node.index.imported import Imported, Known
from node.records import Stored


class FileWritten(NamedTuple):
    """A file that is on stable storage, and the moment that the journal says it came at."""

    path: Path
    sop_instance_uid: str
    received_at: float


class Made(NamedTuple):
    """What became of it, and the row of its series."""

    stored: Stored
    series: int


def outcomes(imported: Imported, files: Sequence[FileWritten]) -> list[Made | None]:
    """What became of each of some files that have been filed; None: the index does not have it.

    Raises:
        Retryable: the index does not answer.
    """
    known = imported.instances([file.sop_instance_uid for file in files])
    return [_made(file, known.get(file.sop_instance_uid)) for file in files]


def _made(file: FileWritten, known: Known | None) -> Made | None:
    if known is None:
        return None
    if known.received_at == file.received_at:
        return Made(Stored.NEW, known.series)
    try:
        same = sha256_of(data_set_in(file.path)) == known.sha256
    except (OSError, MalformedDataSet):
        same = True  # the file has gone since; that an instance was there already is true
    return Made(Stored.SAME if same else Stored.CONFLICT, known.series)
