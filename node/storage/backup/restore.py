"""Restores a storage root from a backup; every file is compared with what the backup lists."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from node.completion.states import Event, NotNow, follow
from node.core.errors import ConfigError
from node.core.system.disk import ensure_folder, file_sha256, sync_file_system
from node.storage import index_completeness
from node.storage.access.database import FILE as USERS
from node.storage.archive import Archive
from node.storage.backup.copying import FileDiffers, copy
from node.storage.backup.manifest import BackupError, Manifest, Member, members, read
from node.storage.index import snapshot
from node.storage.index.engine import Index
from node.storage.index.holdings import holdings
from node.storage.index.series.work import Work
from node.storage.index_completeness import Contents
from node.storage.journal import Journal

_ACTOR: Final = "restore"
_OUTPUTS: Final = "nifti"
_USERS: Final = re.compile(r"users-[0-9TZ-]+\.db")


@dataclass
class Restored:
    """The result of a restore.

    Attributes:
        files: how many were restored.
        again: series whose volumes are made again, as the backup does not have them unchanged.
        problems: files that were not restored, and why.
    """

    files: int = 0
    again: int = 0
    problems: list[str] = field(default_factory=list)


def check_empty(root: Path) -> None:
    """Check that a storage root is empty, so that a restore overwrites nothing.

    Raises:
        ConfigError: it is not.
    """
    try:
        if root.exists() and any(root.iterdir()):
            raise ConfigError(
                f"{root} (storage.root) is not empty: a backup is restored into an empty folder"
            )
    except NotADirectoryError as error:
        raise ConfigError(f"{root} (storage.root) is not a folder") from error


class Restore:
    """Restores a backup. For one thread.

    Args:
        folder: the backup.
        root: `storage.root`, which is empty.
        url: `database.url` of the node; a database on a server has to be empty.
        total: called with the number of files.
        advance: called with 1 for each of them.

    Raises:
        BackupError: it is not a complete backup.
    """

    def __init__(
        self,
        folder: Path,
        root: Path,
        url: str,
        *,
        total: Callable[[int], None],
        advance: Callable[[int], None],
    ) -> None:
        self._folder = folder
        self._root = root
        self._url = url
        self._total = total
        self._advance = advance
        self._done = Restored()
        self._manifest = _whole(folder)

    def restore(self) -> Restored:
        """Restore everything; the index last, so that an incomplete restore is recognised.

        Raises:
            ConfigError: the database is not empty.
            BackupError: the backup is damaged.
            NodeError: the database does not answer.
            OSError: the root cannot be written.
        """
        index = Index(self._url)
        try:
            self._check_database(index)
            Archive(self._root).prepare()
            Journal(self._root).close()
            unfinished = Contents(self._manifest.listed, "restore")
            index_completeness.write(self._root, unfinished, durable=True)
            self._total(self._manifest.archived + self._manifest.others)
            self._put_archive(self._folder / self._manifest.index.path)
            self._put_others()
            self._put_index(index)
            self._check_outputs(index)
            sync_file_system(self._root)
            index_completeness.begin(index, self._root)
        finally:
            index.close()
        return self._done

    def _check_database(self, index: Index) -> None:
        path = index.file
        if path is not None:
            if path.exists():
                raise ConfigError(f"{path} (database.url) is there already")
        elif not holdings(index).is_new:
            raise ConfigError("the database that database.url names is not empty")

    def _put_archive(self, path: Path) -> None:
        with snapshot.frozen(path) as frozen:
            for one in snapshot.archived(frozen):
                self._advance(1)
                self._put(
                    f"archive/{one.path}",
                    self._root / "archive" / one.path,
                    offset=one.offset,
                    size=one.size,
                    sha256=one.sha256,
                )

    def _put_others(self) -> None:
        for one in members(self._folder / self._manifest.files.path):
            self._advance(1)
            target = self._root / _place(one.path)
            if one.path.startswith(f"{_OUTPUTS}/"):
                self._put_output(one, target)
            else:
                self._put(one.path, target, size=one.size, sha256=one.sha256)

    def _put_output(self, one: Member, target: Path) -> None:
        """Restore a published file, unless a later, incomplete backup has replaced it: then the
        series is assembled again."""
        try:
            copy(self._folder / one.path, target, size=one.size, sha256=one.sha256)
            self._done.files += 1
        except (FileNotFoundError, FileDiffers):
            return

    def _put(self, relative: str, target: Path, **expected: Any) -> None:
        try:
            copy(self._folder / relative, target, **expected)
        except FileNotFoundError:
            self._done.problems.append(f"{relative} is missing in the backup")
        except FileDiffers as error:
            self._done.problems.append(f"{relative} in the backup {error}")
        else:
            self._done.files += 1

    def _put_index(self, index: Index) -> None:
        source, path = self._folder / self._manifest.index.path, index.file
        if path is not None:
            ensure_folder(path.absolute().parent)
            copy(source, path, sha256=self._manifest.index.sha256)
            index.migrate()
            return
        draft = self._root / "index.restoring"
        try:
            copy(source, draft, sha256=self._manifest.index.sha256)
            frozen = Index(f"sqlite:///{draft}")
            try:
                frozen.migrate()
                snapshot.put(frozen, index)
            finally:
                frozen.close()
        finally:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{draft}{suffix}").unlink(missing_ok=True)

    def _check_outputs(self, index: Index) -> None:
        """Have series assembled again whose volumes are not what the index says."""
        work, outputs = Work(index), self._root / _OUTPUTS
        ensure_folder(outputs)
        for one in snapshot.ready(index):
            if not one.outputs or _are_whole(outputs, one):
                continue
            (series,) = work.of([one.pk])
            try:
                to = follow(series.state, Event.RETRY)
            except NotNow:
                continue
            now = time.time()
            snapshot.publish_anew(index, one.pk)
            why = {"why": "the backup did not have its volumes unchanged"}
            work.move(series, to, now=now, actor=_ACTOR, detail=why, due=now, owner="")
            self._done.again += 1


def _whole(folder: Path) -> Manifest:
    """The manifest of a complete backup, whose index and list of files are undamaged.

    Raises:
        BackupError: there is none, or they are damaged.
    """
    manifest = read(folder)
    if manifest is None:
        raise BackupError(
            f"there is no complete backup in {folder}: it has no backup.json, which is written last"
        )
    for one in (manifest.index, manifest.files):
        path = folder / one.path
        try:
            if os.path.basename(one.path) != one.path or file_sha256(path) != one.sha256:  # noqa: PTH119
                raise BackupError(f"{path} is damaged: this backup cannot be used")
        except OSError as error:
            raise BackupError(f"cannot read {path}: {error.strerror}") from error
    return manifest


def _place(relative: str) -> Path:
    """Where a file of the backup belongs below the root.

    Raises:
        BackupError: the path is outside of the backup.
    """
    path = Path(relative)
    if path.is_absolute() or ".." in path.parts:
        raise BackupError(f"the backup's list names {relative!r}, which is outside of it")
    if path.parts[0].startswith("journal-"):
        if path.parts[1] == "incoming":
            return Path("archive", ".incoming", *path.parts[2:])
        return Path("journal", *path.parts[1:])
    return Path(USERS) if _USERS.fullmatch(relative) else path


def _are_whole(folder: Path, series: snapshot.Ready) -> bool:
    """Whether the volumes of a series are what their manifests say."""
    paths = [folder / name for name in series.outputs]
    if not all(path.is_file() for path in paths):
        return False
    return all(_agrees(path, series.revision) for path in _manifests(paths))


def _manifests(paths: list[Path]) -> Iterator[Path]:
    yield from (path for path in paths if path.name.endswith(".manifest.json"))


def _agrees(manifest: Path, revision: int) -> bool:
    try:
        found = json.loads(manifest.read_bytes())
        image = manifest.parent / str(found["image"])
        return bool(found["revision"] <= revision and file_sha256(image) == found["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
