"""The manifest of a backup, `backup.json`, and its list of files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from node.core.errors import NodeError
from node.core.system.disk import replace_file

FILE: Final = "backup.json"
FORMAT: Final = 1


class BackupError(NodeError):
    """A backup cannot be made or used; the text says why."""


class Member(msgspec.Struct, frozen=True):
    """A file of the backup.

    Attributes:
        path: below the backup's folder.
        size: bytes.
        sha256: of the file.
        modified: seconds since 1970.
    """

    path: str
    size: int
    sha256: str
    modified: float = 0.0


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `backup.json`.

    Attributes:
        rasnode: the version that made it.
        identity: of the storage root.
        begun, finished: seconds since 1970. All instances answered 0x0000 before `begun` are in it.
        listed: instances and conflicts that the index had ever listed.
        archived: files of the archive that the index lists.
        index: the copy of the index.
        files: the list of all other files, one `Member` a line.
        others: how many these are.
        problems: files that could not be copied, or were damaged in the storage root.
    """

    format: int = FORMAT
    rasnode: str
    identity: str
    begun: float
    finished: float
    listed: int
    archived: int
    index: Member
    files: Member
    others: int
    problems: list[str]


def read(folder: Path) -> Manifest | None:
    """The manifest of a backup; None if the folder has none.

    Raises:
        BackupError: it cannot be read, or is of a later version.
    """
    try:
        content = (folder / FILE).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BackupError(f"cannot read {folder / FILE}: {error.strerror}") from error
    try:
        found = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BackupError(f"{folder / FILE} is damaged: this backup cannot be used") from error
    if found.format != FORMAT:
        raise BackupError(f"{folder} was made by a newer rasnode ({found.rasnode})")
    return found


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, which makes the backup complete.

    Args:
        folder: the backup.
        manifest: its manifest.

    Raises:
        OSError: it cannot be written.
    """
    replace_file(folder / FILE, msgspec.json.format(msgspec.json.encode(manifest), indent=1))


def members(path: Path) -> Iterator[Member]:
    """The files of a list.

    Raises:
        BackupError: it is damaged.
    """
    decode = msgspec.json.Decoder(Member).decode
    try:
        with path.open("rb") as lines:
            for line in lines:
                yield decode(line)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BackupError(f"{path} is damaged: this backup cannot be used") from error
