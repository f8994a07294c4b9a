"""Files of what the journal holds: written under their final names, synced later with the rest."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from node.archive import Archive, Buffer, Placed, conflict_name, data_set_sha256, shard_of
from node.disk import FOLDER_MODE, link_over, write_new
from node.errors import StorageFull
from node.registration import Registration

_REMEMBERED: Final = 10_000  # folders that are known to be there


class Placer:
    """Gives instances their files. For one thread.

    Args:
        is_ours: of a SOP Instance UID, a file of it and the hash of a data set: whether other
            bytes in that file are a remnant of a crash, as no row says that they belong there.
    """

    def __init__(self, archive: Archive, is_ours: Callable[[str, str, str], bool]) -> None:
        self._archive = archive
        self._root = os.fspath(archive.root)
        self._is_ours = is_ours
        self._made: set[str] = set()
        self._placed: set[str] = set()  # files of this batch, of which no row speaks yet

    def place(
        self,
        registration: Registration,
        meta: bytes,
        data_set: Buffer,
        part: Path | None,
        *,
        anew: bool,
    ) -> Placed:
        """Write a file, or link the one that holds the instance already to its name.

        Args:
            part: in the archive's `.incoming`; None if the bytes have to be written.
            anew: write it even if the same bytes are there: it is not sure that they are whole, or
                reached the disk.

        Raises:
            StorageFull: the disk is full, read-only or failing; nothing is left behind.
        """
        study, sop_uid = registration.study_instance_uid, registration.sop_instance_uid
        folder = f"{shard_of(study)}/{study}/{registration.series_instance_uid}"
        path = f"{folder}/{sop_uid}.dcm"
        try:
            self._make(folder)
            fresh = self._create(path, meta, data_set, part)
            if not fresh:
                path, fresh = self._beside(path, registration, meta, data_set, part, anew=anew)
            self._placed.add(path)
            size = len(meta) + len(data_set)
            if not fresh:
                size = os.stat(f"{self._root}/{path}").st_size  # noqa: PTH116
        except OSError as error:
            raise StorageFull(f"the archive cannot be written: {error.strerror}") from error
        return Placed(path, size, size - len(data_set), fresh)

    def begin(self) -> None:
        """A new batch: rows speak of everything that was placed before."""
        self._placed.clear()

    def forget(self) -> None:
        """Folders may have gone."""
        self._made.clear()

    def _create(self, path: str, meta: bytes, data_set: Buffer, part: Path | None) -> bool:
        """False if there is a file of that name."""
        whole = f"{self._root}/{path}"
        try:
            if part is None:
                write_new(whole, (meta, data_set), durable=False)
            else:
                os.link(part, whole)
        except FileExistsError:
            return False
        return True

    def _beside(
        self,
        path: str,
        registration: Registration,
        meta: bytes,
        data_set: Buffer,
        part: Path | None,
        *,
        anew: bool,
    ) -> tuple[str, bool]:
        """Where an instance goes whose name is taken; whether it was written."""
        sop_uid, sha256 = registration.sop_instance_uid, registration.sha256
        same = _sha256(f"{self._root}/{path}") == sha256
        if same and not anew:
            return path, False
        remnant = anew and path not in self._placed and self._is_ours(sop_uid, path, sha256)
        if not (same or remnant):
            path = f"{path.rpartition('/')[0]}/{conflict_name(sop_uid, sha256)}"
            if self._create(path, meta, data_set, part):
                return path, True
            if not anew:
                return path, False
        self._replace(path, meta, data_set, part)
        return path, True

    def _replace(self, path: str, meta: bytes, data_set: Buffer, part: Path | None) -> None:
        target = self._archive.path(path)
        if part is not None:
            link_over(part, target)
            return
        temporary = self._archive.new_part()
        write_new(temporary, (meta, data_set), durable=False)
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


def _sha256(path: str) -> str | None:
    """The hash of a file's data set; None if it is no whole file."""
    try:
        return data_set_sha256(path)
    except struct.error:
        return None
