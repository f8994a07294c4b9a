"""What programs may load: files, folders, ZIP files, DICOMDIRs and patterns, to DICOM files."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Final, NamedTuple

from node.convert.loading.dicomdir import files_of, is_dicomdir
from node.convert.loading.zipped import UnpackedFolder, is_zip, unpacked
from node.core.errors import AssemblyError, Reason

Source = str | PathLike[str] | Iterable[str | PathLike[str]]
MOST_MATCHES: Final = 1_000_000
"""Files that a pattern may find."""


class Inputs(NamedTuple):
    """Where DICOM files are.

    Attributes:
        paths: files, and folders to be read with all that is below them.
        kept: temporary folders among them, to be held as long as their files are needed.
    """

    paths: tuple[Path, ...]
    kept: tuple[UnpackedFolder, ...]


def inputs_of(source: Source) -> Inputs:
    """Find the files and folders that somebody means.

    Args:
        source: a file, a folder, a ZIP file, a DICOMDIR, a pattern such as `series/*.dcm` (`**`
            goes through folders), or several of them.

    Raises:
        FileNotFoundError: a file or folder is not there, or a pattern finds nothing.
        AssemblyError: a ZIP file or DICOMDIR is refused.
        OSError: something cannot be read.
    """
    given = [source] if isinstance(source, str | PathLike) else source
    paths: list[Path] = []
    kept: list[UnpackedFolder] = []
    for one in given:
        for path in _matching(os.fspath(one)):
            if path.is_dir():
                paths.append(path)
            elif is_zip(path):
                kept.append(unpacked(path))
                paths.append(kept[-1].path)
            elif is_dicomdir(path):
                paths += files_of(path)
            else:
                paths.append(path)
    return Inputs(tuple(dict.fromkeys(paths)), tuple(kept))


def _matching(name: str) -> Iterator[Path]:
    path = Path(name)
    if path.exists():
        yield path
        return
    if not glob.has_magic(name):
        raise FileNotFoundError(errno.ENOENT, "There is no such file or folder", name)
    found = sorted(islice(glob.iglob(name, recursive=True), MOST_MATCHES + 1))  # noqa: PTH207
    if len(found) > MOST_MATCHES:
        raise AssemblyError(
            Reason.TOO_MANY_FILES, f"The pattern finds more than {MOST_MATCHES} files."
        )
    if not found:
        raise FileNotFoundError(errno.ENOENT, "The pattern finds no file", name)
    yield from (Path(one) for one in found if Path(one).exists())
