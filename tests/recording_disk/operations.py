"""What can be done to a disk, as values. Files and folders have numbers; ROOT is the uppermost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ROOT: Final = 0


@dataclass(frozen=True)
class Write:
    """Bytes into a file."""

    node: int
    at: int
    data: bytes
    name: str


@dataclass(frozen=True)
class Resize:
    """A file gets another length."""

    node: int
    size: int
    name: str


@dataclass(frozen=True)
class Enter:
    """A name in a folder, which another file may have had; `before` is a name that goes with it."""

    folder: int
    name: str
    node: int
    is_folder: bool
    before: str = ""


@dataclass(frozen=True)
class Leave:
    """A name goes."""

    folder: int
    name: str


@dataclass(frozen=True)
class Sync:
    """fsync or fdatasync of a file or a folder."""

    node: int


@dataclass(frozen=True)
class SyncAll:
    """syncfs of the archive's file system; the index may lie on another (`database.url`)."""


@dataclass(frozen=True)
class FailedSync:
    """A sync that failed, of the archive's file system if of no node.

    The kernel takes the contents for clean and never writes them again; a file system that cannot
    write names stops altogether.
    """

    node: int | None


@dataclass(frozen=True)
class Said:
    """Something that others rely on from now on: an instance was answered, a revision is ready."""

    what: str


Operation = Write | Resize | Enter | Leave | Sync | SyncAll | FailedSync | Said
