"""DICOM files in folders: found, scanned and grouped by series; what is none is listed."""

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
"""Bytes; a deflated file that becomes larger is refused."""
_DIRECTORY_RECORDS: Final = 0x00041220


class Unreadable(NamedTuple):
    """A file that is no DICOM image, and why; or one over which the reader itself failed."""

    path: Path
    reason: str
    error: Exception | None = None


class Series(NamedTuple):
    """The instances found of one series, sorted by SOP Instance UID and path; those of a run that
    was cut into series, one volume after the other."""

    uid: str
    instances: tuple[InstanceSource, ...]


def files_below(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files as they are given, and all files below folders, in sorted order."""
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

    A run of which each volume has a UID of its own is one series, under the first one's. Copies
    of a series under another study or patient are a series each; if its images are divided among
    several, they stay together, and are refused by name.

    Args:
        paths: files and folders; with or without preamble and meta information.
        progress: called after each file.
        forgiving: list a file over which the reader fails among the others that cannot be read.

    Returns:
        the series in the order of their UIDs, and the files that are no DICOM instances.
    """
    found: dict[str, list[InstanceSource]] = {}
    strangers: list[Unreadable] = []
    for path in files_below(paths):
        try:
            source = read_file(path)
        except MalformedDataSet as error:
            strangers.append(Unreadable(path, str(error)))
        except OSError as error:
            strangers.append(Unreadable(path, error.strerror or "cannot be read"))
        except Exception as error:
            if not forgiving:
                raise
            reason = f"{Reason.INTERNAL_ERROR}: {unforeseen(error)}"
            strangers.append(Unreadable(path, reason, error))
        else:
            if source is not None:
                found.setdefault(source.header.series_instance_uid, []).append(source)
        progress()
    sorted_by_uid = [
        tuple(sorted(found[uid], key=lambda one: (one.uid, one.file))) for uid in sorted(found)
    ]
    apart = [part for instances in sorted_by_uid for part in _copies(instances)]
    series = [Series(one[0].header.series_instance_uid, one) for one in joined(apart)]
    return sorted(series, key=lambda one: one.uid), strangers


def _copies(instances: tuple[InstanceSource, ...]) -> list[tuple[InstanceSource, ...]]:
    """Take the copies of a series apart that are of several studies or patients.

    Copies have the same SOP Instance UIDs, or some of them and no others.
    """
    parts = parted([source.header for source in instances])
    uids = [{instances[place].uid for place in part.places} for part in parts]
    if not all(one <= other or other <= one for one, other in combinations(uids, 2)):
        return [instances]
    return [tuple(instances[place] for place in part.places) for part in parts]


def read_file(path: Path) -> InstanceSource | None:
    """Read one file's header; None for a DICOMDIR, which is about files and no instance.

    Raises:
        MalformedDataSet: it is no DICOM file, or a damaged one.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise MalformedDataSet("The file is empty.")
        # unmapped when the last view of it is gone, which may be in an exception's traceback
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
