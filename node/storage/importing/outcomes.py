"""Outcomes of imported files, read from the index once the files have been ingested."""

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
    """A file whose instance is in the journal, on stable storage.

    Attributes:
        received_at: as the journal says; seconds since 1970.
    """

    path: Path
    sop_instance_uid: str
    received_at: float


class FileOutcome(NamedTuple):
    """How the index took a file, and the row of its series."""

    stored: Stored
    series: int


def outcomes(imported: Imported, files: Sequence[FileWritten]) -> list[FileOutcome | None]:
    """The outcomes of files that have been ingested, in their order.

    Args:
        imported: reads from the index.
        files: a few hundred at most.

    Returns:
        None for a file whose instance the index does not have.

    Raises:
        Retryable: the index does not answer.
    """
    known = imported.instances([file.sop_instance_uid for file in files])
    return [_outcome(file, known.get(file.sop_instance_uid, [])) for file in files]


def _outcome(file: FileWritten, known: Sequence[Known]) -> FileOutcome | None:
    if not known:
        return None
    for one in known:
        if one.received_at == file.received_at:
            return FileOutcome(Stored.NEW, one.series)
    try:
        sha256 = sha256_of(data_set_in(file.path))
    except (OSError, MalformedDataSet):
        sha256 = known[0].sha256  # the file is gone; an instance of its UID was there before
    same = [one.series for one in known if one.sha256 == sha256]
    return (
        FileOutcome(Stored.SAME, same[0]) if same else FileOutcome(Stored.CONFLICT, known[0].series)
    )
