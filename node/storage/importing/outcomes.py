"""What the index made of imported files, once they have been ingested."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from node.core.errors import MalformedDataSet
from node.core.records import Stored
from node.storage.importing.file_reader import data_set_in
from node.storage.index.imported import Imported, Known
from node.storage.integrity import sha256_of


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
    """What became of each of some files that have been ingested; None: the index does not have it.

    Raises:
        Retryable: the index does not answer.
    """
    known = imported.instances([file.sop_instance_uid for file in files])
    return [_made(file, known.get(file.sop_instance_uid, [])) for file in files]


def _made(file: FileWritten, known: Sequence[Known]) -> Made | None:
    if not known:
        return None
    for one in known:
        if one.received_at == file.received_at:
            return Made(Stored.NEW, one.series)
    try:
        sha256 = sha256_of(data_set_in(file.path))
    except (OSError, MalformedDataSet):
        sha256 = known[0].sha256  # it has gone since; that an instance was there already is true
    same = [one.series for one in known if one.sha256 == sha256]
    return Made(Stored.SAME, same[0]) if same else Made(Stored.CONFLICT, known[0].series)
