"""Read DICOM files in folders and group them by series; list the files that are not DICOM."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Final, NamedTuple

from node.assemble.frames.headers import describe
from node.assemble.study_and_patient import parted
from node.convert.sources import InstanceSource
from node.convert.split_runs import joined
from node.core.errors import MalformedDataSet, Reason, unforeseen
from node.dicom import DEFLATED, Buffer, find_data_set, inflate, scan

MOST_INFLATED: Final = 1 << 30
"""Bytes; a deflated file that inflates to more is refused."""
_DIRECTORY_RECORDS: Final = 0x00041220


class Unreadable(NamedTuple):
    """A file that is not a DICOM image.

    Attributes:
        path: the file.
        reason: why it cannot be read.
        error: the unexpected error, if the reader itself failed.
    """

    path: Path
    reason: str
    error: Exception | None = None


class Series(NamedTuple):
    """The instances of one series, sorted by SOP Instance UID and path; those of a run that was
    split into series, one volume after the other."""

    uid: str
    instances: tuple[InstanceSource, ...]


def files_below(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the given files, and all files below the given folders in sorted order."""
    for path in paths:
        if path.is_dir():
            yield from sorted(found for found in path.rglob("*") if found.is_file())
        else:
            yield path


def read_folder(
    paths: Iterable[Path],
    progress: Callable[[], None] = lambda: None,
    *,
    forgiving: bool = False,
) -> tuple[list[Series], list[Unreadable]]:
    """Read the headers of DICOM files and group them by Series Instance UID.

    A run whose volumes each have a UID of their own is one series, under the UID of the first.
    Copies of a series under another study or patient are separate series; a series whose images are
    divided among several studies or patients stays together and is refused by name.

    Args:
        paths: files and folders; files may lack preamble and meta information.
        progress: called after each file.
        forgiving: list a file on which the reader fails unexpectedly, instead of raising.

    Returns:
        the series in the order of their UIDs, and the files that are not DICOM instances.
    """
    found: dict[str, list[InstanceSource]] = {}
    unreadable: list[Unreadable] = []
    for path in files_below(paths):
        try:
            source = read_file(path)
        except MalformedDataSet as error:
            unreadable.append(Unreadable(path, str(error)))
        except OSError as error:
            unreadable.append(Unreadable(path, error.strerror or "cannot be read"))
        except Exception as error:
            if not forgiving:
                raise
            reason = f"{Reason.INTERNAL_ERROR}: {unforeseen(error)}"
            unreadable.append(Unreadable(path, reason, error))
        else:
            if source is not None:
                found.setdefault(source.header.series_instance_uid, []).append(source)
        progress()
    sorted_by_uid = [
        tuple(sorted(found[uid], key=lambda one: (one.uid, one.file))) for uid in sorted(found)
    ]
    apart = [part for instances in sorted_by_uid for part in _copies(instances)]
    series = [Series(one[0].header.series_instance_uid, one) for one in joined(apart)]
    return sorted(series, key=lambda one: one.uid), unreadable


def _copies(instances: tuple[InstanceSource, ...]) -> list[tuple[InstanceSource, ...]]:
    """Separate the copies of a series that are of several studies or patients.

    Copies have the same SOP Instance UIDs, or a subset of them.
    """
    parts = parted([source.header for source in instances])
    uids = [{instances[place].uid for place in part.places} for part in parts]
    if not all(one <= other or other <= one for one, other in combinations(uids, 2)):
        return [instances]
    return [tuple(instances[place] for place in part.places) for part in parts]


def read_file(path: Path) -> InstanceSource | None:
    """Read the header of one file; None for a DICOMDIR, which is not an instance.

    Raises:
        MalformedDataSet: the file is not DICOM, or damaged.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise MalformedDataSet("The file is empty.")
        # unmapped with its last view, which an exception's traceback may hold
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    start = find_data_set(mapped)
    syntax = start.transfer_syntax_uid
    data: Buffer = memoryview(mapped)[start.offset :]
    if syntax == DEFLATED:
        data = inflate(data, MOST_INFLATED)
    found = scan(data, syntax)
    if _DIRECTORY_RECORDS in found.elements:
        return None
    header = describe(found.elements)
    if not header.sop_class_uid or not header.sop_instance_uid:
        raise MalformedDataSet("The file has no SOP Class or SOP Instance UID.")
    plain = syntax != DEFLATED
    return InstanceSource(
        header=header,
        file=str(path),
        offset=start.offset,
        transfer_syntax_uid=syntax,
        pixel_offset=found.pixel_offset if plain else None,
        pixel_length=found.pixel_length if plain else None,
    )
