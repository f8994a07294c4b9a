"""Files of what the journal holds: written under their final names, synced later with the rest."""

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
from node.storage.archive import Archive, Buffer, Placed, shard_of
from node.storage.ingest.registration import Registration
from node.storage.integrity import Damage, Meta, held_by

_REMEMBERED: Final = 10_000  # folders that are known to be there


Known = Callable[[str], Mapping[str, tuple[str, str]]]
"""What the index knows of a SOP Instance UID: by hash the path and transfer syntax of each file."""


class Placer:
    """Gives instances their files. For one thread.

    A file that holds something else than the index says of it is damaged: the bytes that came
    again take its place.

    Args:
        known: asked where a name is taken by other bytes.
    """

    def __init__(self, archive: Archive, known: Known) -> None:
        self._archive = archive
        self._root = os.fspath(archive.root)
        self._known = known
        self._made: set[str] = set()
        self._unindexed: dict[str, str] = {}  # files of which no row speaks yet, with their hashes

    def place(
        self,
        registration: Registration,
        transfer_syntax_uid: str,
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
        new = _New(registration, transfer_syntax_uid, meta, data_set, part)
        try:
            fresh = self._first(folder, path, new)
            if not fresh:
                path, fresh = self._again(path, new, anew=anew)
            size = os.stat(f"{self._root}/{path}").st_size  # noqa: PTH116
        except OSError as error:
            raise StorageFull(f"the archive cannot be written: {error.strerror}") from error
        self._unindexed[path] = registration.sha256
        return Placed(path, size, size - len(data_set), fresh)

    def indexed(self) -> None:
        """The index knows whatever has been placed."""
        self._unindexed.clear()

    def forget(self) -> None:
        """Folders may have gone."""
        self._made.clear()

    def _first(self, folder: str, path: str, new: _New) -> bool:
        """Make the file; False if there is one of that name."""
        self._make(folder)
        try:
            return self._create(path, new)
        except FileNotFoundError:  # somebody took the folder away
            self.forget()
            self._make(folder)
            return self._create(path, new)

    def _again(self, path: str, new: _New, *, anew: bool) -> tuple[str, bool]:
        """Where an instance goes whose name is taken; whether its bytes were not there."""
        held = _held(f"{self._root}/{path}")
        if held == new.held:
            if anew:
                self._replace(path, new)
            return path, False
        known = self._known(new.registration.sop_instance_uid)
        there, syntax = known.get(new.registration.sha256, ("", ""))
        called = new.held[1]._replace(transfer_syntax_uid=syntax)
        if there == path and held == (new.registration.sha256, called):
            return path, False  # the same bytes, called otherwise
        mine = there == path or (anew and not there)  # a remnant of a crash: no row speaks of it
        if mine and not self._is_taken(path, new, known):
            self._replace(path, new)
            return path, True
        return self._beside(path, new, anew=anew)

    def _is_taken(self, path: str, new: _New, known: Mapping[str, tuple[str, str]]) -> bool:
        """Whether other bytes belong there, of which a row speaks or will speak."""
        sha256 = new.registration.sha256
        return (
            self._unindexed.get(path, sha256) != sha256
            or any(other != sha256 and name == path for other, (name, _) in known.items())
            or os.path.isdir(f"{self._root}/{path}")  # noqa: PTH112
        )

    def _beside(self, path: str, new: _New, *, anew: bool) -> tuple[str, bool]:
        """What conflicts with another data set has the hash of its own in its name."""
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
    """An instance that came."""

    registration: Registration
    transfer_syntax_uid: str
    meta: bytes
    data_set: Buffer
    part: Path | None

    @property
    def held(self) -> tuple[str, Meta]:
        """What a file that has it holds."""
        one = self.registration
        meta = Meta(one.sop_class_uid, one.sop_instance_uid, self.transfer_syntax_uid)
        return one.sha256, meta


def _held(path: str) -> tuple[str, Meta] | None:
    """The hash of a file's data set and its meta information; None if it is damaged or half.

    Raises:
        OSError: it cannot be read for a reason that has nothing to do with it.
    """
    try:
        return held_by(path)
    except Damage:
        return None
