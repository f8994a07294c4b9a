"""Writes archive files of instances in the journal, under their final names; a later sync of the
whole file system makes them durable."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.core.errors import StorageFull
from node.core.records import conflict_name
from node.core.system.disk import FOLDER_MODE, link_over, write_new
from node.storage.archive import Archive, ArchivedFile, Buffer, shard_of
from node.storage.ingest.registration import Registration
from node.storage.integrity import Damage, Meta, hash_archived

_REMEMBERED: Final = 10_000  # folders that are known to exist

Known = Callable[[str], Mapping[str, tuple[str, str]]]
"""By a SOP Instance UID: path and transfer syntax of each file that the index lists, by hash."""


class ArchiveWriter:
    """Writes archive files. For one thread.

    A file whose bytes differ from what the index lists is damaged: if the same instance is received
    again, it takes the place of that file.

    Args:
        archive: the archive.
        known: asked if a file of that name has other bytes.
    """

    def __init__(self, archive: Archive, known: Known) -> None:
        self._archive = archive
        self._root = os.fspath(archive.root)
        self._known = known
        self._made: set[str] = set()
        self._unindexed: dict[str, str] = {}  # files that the index does not list yet: their hashes

    def write(
        self,
        registration: Registration,
        transfer_syntax_uid: str,
        meta: bytes,
        data_set: Buffer,
        part: Path | None,
        *,
        anew: bool,
    ) -> ArchivedFile:
        """Write the archive file of an instance, or link the file that holds it already.

        Args:
            registration: what was read of its header.
            transfer_syntax_uid: of the data set.
            meta: preamble and meta information of the file.
            data_set: as it was received.
            part: the file in the archive's `.incoming` that holds the instance; None: none does.
            anew: write the file even if the same bytes are there, as they may not be on the disk.

        Returns:
            The file, which is not synced yet.

        Raises:
            StorageFull: the disk is full, read-only or failing; no half file is left.
        """
        study, sop_uid = registration.study_instance_uid, registration.sop_instance_uid
        folder = f"{shard_of(study)}/{study}/{registration.series_instance_uid}"
        path = f"{folder}/{sop_uid}.dcm"
        new = _New(registration, transfer_syntax_uid, meta, data_set, part)
        try:
            fresh = self._first(folder, path, new)
            if fresh and part is None:
                size = len(meta) + len(data_set)
            else:
                if not fresh:
                    path, fresh = self._again(path, new, anew=anew)
                size = os.stat(f"{self._root}/{path}").st_size  # noqa: PTH116
        except OSError as error:
            raise StorageFull(f"the archive cannot be written: {error.strerror}") from error
        self._unindexed[path] = registration.sha256
        return ArchivedFile(path, size, size - len(data_set), fresh)

    def indexed(self) -> None:
        """The index lists all files that were written."""
        self._unindexed.clear()

    def forget_folders(self) -> None:
        """Folders may have been removed."""
        self._made.clear()

    def _first(self, folder: str, path: str, new: _New) -> bool:
        """Write a new file; False if there is one of that name."""
        self._make(folder)
        try:
            return self._create(path, new)
        except FileNotFoundError:  # the folder was removed
            self.forget_folders()
            self._make(folder)
            return self._create(path, new)

    def _again(self, path: str, new: _New, *, anew: bool) -> tuple[str, bool]:
        """Where an instance goes whose file name is taken; whether its bytes are new."""
        held = _held(f"{self._root}/{path}")
        if held == new.held:
            if anew:
                self._replace(path, new)
            return path, False
        known = self._known(new.registration.sop_instance_uid)
        there, syntax = known.get(new.registration.sha256, ("", ""))
        called = new.held[1]._replace(transfer_syntax_uid=syntax)
        if there == path and held == (new.registration.sha256, called):
            return path, False  # the same bytes in a transfer syntax of another name
        mine = there == path or (anew and not there)  # left by a crash: the index does not list it
        if mine and not self._is_taken(path, new, known):
            self._replace(path, new)
            return path, True
        return self._beside(path, new, anew=anew)

    def _is_taken(self, path: str, new: _New, known: Mapping[str, tuple[str, str]]) -> bool:
        """Whether the index lists other bytes under that path, or will list them."""
        sha256 = new.registration.sha256
        return (
            self._unindexed.get(path, sha256) != sha256
            or any(other != sha256 and name == path for other, (name, _) in known.items())
            or os.path.isdir(f"{self._root}/{path}")  # noqa: PTH112
        )

    def _beside(self, path: str, new: _New, *, anew: bool) -> tuple[str, bool]:
        """Write a conflict: the hash of its data set is part of its file name."""
        name = conflict_name(new.registration.sop_instance_uid, new.registration.sha256)
        path = f"{path.rpartition('/')[0]}/{name}"
        if self._create(path, new):
            return path, True
        same = _held(f"{self._root}/{path}") == new.held
        if anew or not same:
            self._replace(path, new)
        return path, not same

    def _create(self, path: str, new: _New) -> bool:
        """False if there is a file of that name."""
        whole = f"{self._root}/{path}"
        try:
            if new.part is None:
                write_new(whole, (new.meta, new.data_set), durable=False)
            else:
                os.link(new.part, whole)
        except FileExistsError:
            return False
        return True

    def _replace(self, path: str, new: _New) -> None:
        target = self._archive.path(path)
        if new.part is not None:
            link_over(new.part, target)
            return
        temporary = self._archive.new_part()
        write_new(temporary, (new.meta, new.data_set), durable=False)
        temporary.replace(target)

    def _make(self, folder: str) -> None:
        if folder in self._made:
            return
        step = self._root
        for name in folder.split("/"):
            step = f"{step}/{name}"
            with suppress(FileExistsError):
                os.mkdir(step, FOLDER_MODE)  # noqa: PTH102
        if len(self._made) >= _REMEMBERED:
            self._made.clear()
        self._made.add(folder)


@dataclass(frozen=True, slots=True)
class _New:
    """A received instance."""

    registration: Registration
    transfer_syntax_uid: str
    meta: bytes
    data_set: Buffer
    part: Path | None

    @property
    def held(self) -> tuple[str, Meta]:
        """Hash and meta information of a file that holds it."""
        one = self.registration
        meta = Meta(one.sop_class_uid, one.sop_instance_uid, self.transfer_syntax_uid)
        return one.sha256, meta


def _held(path: str) -> tuple[str, Meta] | None:
    """The hash of a file's data set and its meta information; None if it is damaged or incomplete.

    Raises:
        OSError: it cannot be read, for a reason other than damage of this file.
    """
    try:
        return hash_archived(path)
    except Damage:
        return None
