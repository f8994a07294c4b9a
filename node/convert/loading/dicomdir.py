"""The files that a DICOMDIR names (PS3.3 F.3, PS3.10 8)."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from node.core.errors import AssemblyError, MalformedDataSet, Reason
from node.dicom import Elements, find_data_set, scan

MEDIA_STORAGE_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_HEAD_BYTES: Final = 4096
_RECORDS: Final = 0x00041220
_IN_USE: Final = 0x00041410
_FILE: Final = 0x00041500


def is_dicomdir(path: Path) -> bool:
    """Tell whether a file is a DICOMDIR, by its name or its Media Storage SOP Class UID."""
    if path.name.upper() == "DICOMDIR":
        return True
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return head[128:132] == b"DICM" and MEDIA_STORAGE_DIRECTORY.encode() in head


def files_of(path: Path) -> list[Path]:
    """Return the files that the records of a DICOMDIR name, all of them below its folder.

    Names are found in any case, as file systems show those of a CD in either.

    Raises:
        AssemblyError: `dicomdir-unreadable`: it is no DICOMDIR, or names a file elsewhere.
        FileNotFoundError: files that it names are not there.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    try:
        start = find_data_set(data)
        elements = scan(memoryview(data)[start.offset :], start.transfer_syntax_uid).elements
        records = list(elements.items(_RECORDS))
    except MalformedDataSet as error:
        raise _unreadable(path, f"is no DICOMDIR that can be read: {error}") from error
    names = [parts for record in records if (parts := _name(path, record))]
    folders = _Folders()
    found = [folders.find(path.parent, parts) for parts in names]
    absent = found.count(None)
    if absent:
        raise FileNotFoundError(
            errno.ENOENT,
            f"{absent} of the {len(found)} files that the DICOMDIR names are not there",
            str(path),
        )
    return [one for one in dict.fromkeys(found) if one is not None]


def _name(path: Path, record: Elements) -> tuple[str, ...]:
    """Return the parts of a Referenced File ID (0004,1500); empty where a record has none."""
    if record.integer(_IN_USE) == 0:
        return ()
    parts = tuple(record.texts(_FILE))
    if any(part in {"", ".", ".."} or set(part) & set("/\\\0") for part in parts):
        raise _unreadable(path, "names a file that is not below its own folder")
    return parts


def _unreadable(path: Path, what: str) -> AssemblyError:
    return AssemblyError(Reason.DICOMDIR_UNREADABLE, f"{path.name} {what}.")


class _Folders:
    """Finds files by names in any case; each folder is listed once."""

    def __init__(self) -> None:
        self._listed: dict[Path, dict[str, Path]] = {}

    def find(self, folder: Path, parts: tuple[str, ...]) -> Path | None:
        found: Path | None = folder
        for part in parts:
            if found is None:
                return None
            found = self._inside(found).get(part.casefold())
        return found if found is not None and found.is_file() else None

    def _inside(self, folder: Path) -> dict[str, Path]:
        if folder not in self._listed:
            entries = sorted(folder.iterdir()) if folder.is_dir() else []
            self._listed[folder] = {entry.name.casefold(): entry for entry in entries}
        return self._listed[folder]
