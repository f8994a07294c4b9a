"""Makes a backup beside a running node.

The order makes it complete. First the ingester ingests the journal, or the journal is copied: so
all instances answered before are in the index, or in that copy. Then the index is copied as it is
at one moment, and last the files that this copy lists: archive files do not change, and retention
is paused meanwhile.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from node.core.system.disk import ensure_folder, file_sha256, sync_file_system
from node.core.version import VERSION
from node.storage.access.database import AccessDatabase
from node.storage.backup.copying import FileDiffers, copy
from node.storage.backup.manifest import BackupError, Manifest, Member, members, read, write
from node.storage.identity import FILE as IDENTITY
from node.storage.identity import identity_of
from node.storage.index import snapshot
from node.storage.index.engine import Index
from node.storage.index.holdings import listed
from node.storage.integrity import Damage, Expected, check_archived
from node.storage.journal import Journal
from node.storage.journal.mapped_segments import MappedSegments
from node.storage.journal.offsets import FILE as OFFSETS
from node.storage.root_lock import is_serving, retention_paused

_SETTLE_SECONDS: Final = 60.0
_MOST_PROBLEMS: Final = 1000
_KEPT: Final = ("quarantine", "nifti")  # folders of the root that are copied completely
_STAGING: Final = ".staging"
_COARSE_SECONDS: Final = 2.0  # resolution of times in some file systems


@dataclass
class Made:
    """The result of a backup.

    Attributes:
        copied: how many files were copied.
        size: their bytes.
        there: files that the backup had already.
        problems: files that could not be copied, or are damaged in the storage root.
        journal: whether the journal was copied, as it could not be ingested.
    """

    copied: int = 0
    size: int = 0
    there: int = 0
    problems: list[str] = field(default_factory=list)
    journal: bool = False


class Backup:
    """One backup of a storage root into a folder. For one thread.

    Args:
        root: `storage.root`.
        index: of the root.
        target: a folder that is empty, missing, or an earlier backup of the same root, of which
            files are not copied again.
        total: called with the number of archive files.
        advance: called with 1 for each of them.
    """

    def __init__(
        self,
        root: Path,
        index: Index,
        target: Path,
        *,
        total: Callable[[int], None],
        advance: Callable[[int], None],
    ) -> None:
        self._root = root
        self._index = index
        self._target = target
        self._total = total
        self._advance = advance
        self._begun = time.time()
        self._stamp = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(self._begun))}-{os.getpid()}"
        self._made = Made()

    def make(self) -> Made:
        """Make the backup; until it is complete, an earlier one in the folder stays valid.

        Raises:
            BackupError: the folder cannot be used.
            NodeError: the index does not answer.
            OSError: the folder cannot be written.
        """
        identity = identity_of(self._root)
        if identity is None:
            raise BackupError(f"{self._root} has no identity yet: no node has run there")
        self._check_target(identity)
        with retention_paused(self._root):
            return self._make(identity)

    def _make(self, identity: str) -> Made:
        earlier = self._earlier()
        others: list[Member] = []
        journal = Journal(self._root)
        try:
            if not self._is_ingested(journal):
                others += self._copy_journal(journal)
        except FileDiffers as error:
            raise BackupError(f"the journal {error}") from error
        finally:
            journal.close()
        copied = self._target / f"index-{self._stamp}.db"
        snapshot.take(self._index, copied)
        if fault := snapshot.check(copied):
            raise BackupError(f"the index is damaged and is not backed up: {fault}")
        with snapshot.frozen(copied) as frozen:
            count, known = snapshot.count_archived(frozen), listed(frozen)
            self._total(count)
            self._copy_archive(snapshot.archived(frozen))
        others += [*self._copy_rest(earlier), *self._copy_users()]
        files = self._write_list(others)
        index = Member(copied.name, copied.stat().st_size, file_sha256(copied))
        sync_file_system(self._target)
        write(
            self._target,
            Manifest(
                rasnode=VERSION,
                identity=identity,
                begun=self._begun,
                finished=time.time(),
                listed=known,
                archived=count,
                index=index,
                files=files,
                others=len(others),
                problems=self._made.problems[:_MOST_PROBLEMS],
            ),
        )
        self._prune(copied, {member.path for member in others})
        return self._made

    def _is_ingested(self, journal: Journal) -> bool:
        """Whether everything answered by now is in archive and index."""
        if is_serving(self._root):
            return journal.settle(_SETTLE_SECONDS)
        return next(journal.left_over(), None) is None

    def _check_target(self, identity: str) -> None:
        root, target = self._root.resolve(), self._target.resolve()
        if root == target or root in target.parents or target in root.parents:
            raise BackupError("a backup and storage.root cannot lie in each other")
        ensure_folder(self._target)
        manifest = self._manifest()
        if manifest is not None and manifest.identity != identity:
            raise BackupError(
                f"{self._target} is the backup of another storage root ({manifest.identity}, not "
                f"{identity}); give this one a folder of its own"
            )
        started = (self._target / IDENTITY).exists() and identity_of(self._target) == identity
        if manifest is None and not started and any(self._target.iterdir()):
            raise BackupError(f"{self._target} has other files; give the backup an empty folder")
        self._put(self._root / IDENTITY, IDENTITY)

    def _manifest(self) -> Manifest | None:
        """The manifest of an earlier backup; None if that is incomplete or damaged."""
        with suppress(BackupError):
            return read(self._target)
        return None

    def _earlier(self) -> dict[str, Member]:
        """The files of an earlier backup besides the archive, by path."""
        manifest = self._manifest()
        if manifest is None:
            return {}
        with suppress(BackupError):
            return {one.path: one for one in members(self._target / manifest.files.path)}
        return {}

    def _copy_journal(self, journal: Journal) -> Iterator[Member]:
        """Copy what was answered and may not be ingested; the positions first: they only grow."""
        folder = f"journal-{self._stamp}"
        self._made.journal = True
        safe = {
            partition: journal.offsets.safe(partition) >> 32 for partition in journal.partitions()
        }
        found = [self._put(journal.folder / OFFSETS, f"{folder}/{OFFSETS}")]
        for partition, least in safe.items():
            for generation, one in (
                MappedSegments(journal.folder, partition).by_generation(0).items()
            ):
                if generation >= least:
                    found.append(self._put(journal.folder / one.name, f"{folder}/{one.name}"))
        for part in sorted((self._root / "archive" / ".incoming").glob("*.part")):
            with suppress(FileNotFoundError):  # it has been ingested meanwhile
                found.append(self._put(part, f"{folder}/incoming/{part.name}"))
        return iter(found)

    def _copy_archive(self, files: Iterator[snapshot.Archived]) -> None:
        for one in files:
            self._advance(1)
            source = self._root / "archive" / one.path
            target = self._target / "archive" / one.path
            if _is_there(target, source, one.size):
                self._made.there += 1
                continue
            try:
                copy(
                    source,
                    target,
                    offset=one.offset,
                    size=one.size,
                    sha256=one.sha256,
                )
            except (FileNotFoundError, FileDiffers) as error:
                if _is_whole(target, one):  # copied before the source was damaged
                    self._made.there += 1
                    continue
                fault = error if isinstance(error, FileDiffers) else "is missing"
                self._made.problems.append(f"archive/{one.path} {fault}")
            else:
                self._made.copied += 1
                self._made.size += one.size

    def _copy_rest(self, earlier: dict[str, Member]) -> list[Member]:
        """Copy the identity, the quarantine and the volumes."""
        found = [self._put(self._root / IDENTITY, IDENTITY)]
        for path in self._rest():
            relative = path.relative_to(self._root).as_posix()
            try:
                status = path.stat()
                known = earlier.get(relative)
                if (
                    known is not None
                    and (known.size, known.modified) == (status.st_size, status.st_mtime)
                    and _has(self._target / relative, known)
                ):
                    self._made.there += 1
                    found.append(known)
                else:
                    found.append(self._put(path, relative))
            except FileNotFoundError:
                continue  # another revision has taken its place, or it was removed
            except FileDiffers as error:
                self._made.problems.append(f"{relative} {error}")
        return found

    def _copy_users(self) -> list[Member]:
        """Copy users and tokens; under a name of its own, as that of an earlier backup stays valid
        until this one is complete."""
        name = f"users-{self._stamp}.db"
        target = self._target / name
        if not AccessDatabase(self._root).snapshot(target):
            return []
        status = target.stat()
        self._made.copied += 1
        self._made.size += status.st_size
        return [Member(name, status.st_size, file_sha256(target), status.st_mtime)]

    def _rest(self) -> Iterator[Path]:
        for name in _KEPT:
            for folder, folders, files in os.walk(self._root / name):
                folders[:] = sorted(one for one in folders if one != _STAGING)
                yield from (Path(folder) / file for file in sorted(files))

    def _put(self, source: Path, relative: str) -> Member:
        target = self._target / relative
        size, sha256 = copy(source, target)
        self._made.copied += 1
        self._made.size += size
        return Member(relative, size, sha256, target.stat().st_mtime)

    def _write_list(self, others: list[Member]) -> Member:
        path = self._target / f"files-{self._stamp}.jsonl"
        encode = msgspec.json.Encoder().encode
        with path.open("wb") as file:
            file.writelines(encode(one) + b"\n" for one in others)
        return Member(path.name, path.stat().st_size, file_sha256(path))

    def _prune(self, index: Path, kept: set[str]) -> None:
        """Remove files that the root has no longer, and lists of earlier backups."""
        own = {
            f"index-{self._stamp}.db",
            f"files-{self._stamp}.jsonl",
            f"journal-{self._stamp}",
            f"users-{self._stamp}.db",
        }
        for pattern in ("index-*", "files-*.jsonl", "journal-*", "users-*.db"):
            for path in self._target.glob(pattern):
                if path.name not in own:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        with snapshot.paths_of(index) as lists:
            _remove(self._target / "archive", self._target / "archive", lists)
        for name in _KEPT:
            _remove(self._target / name, self._target, kept.__contains__)


def _is_there(copied: Path, source: Path, size: int) -> bool:
    """Whether an archive file was copied since it last changed.

    It changes if it was damaged or lost and the instance was received again.
    """
    try:
        there = copied.stat()
    except OSError:
        return False
    with suppress(OSError):  # if it is lost by now, the copy is older and good
        if source.stat().st_mtime > there.st_mtime + _COARSE_SECONDS:
            return False
    return there.st_size == size


def _is_whole(copied: Path, one: snapshot.Archived) -> bool:
    try:
        check_archived(copied, Expected(one.sha256, one.offset, size=one.size))
    except (Damage, OSError):
        return False
    return True


def _has(path: Path, member: Member) -> bool:
    with suppress(OSError):
        return path.stat().st_size == member.size
    return False


def _remove(folder: Path, base: Path, is_kept: Callable[[str], bool]) -> None:
    """Remove files that are not kept, and folders that become empty."""
    for where, _, files in os.walk(folder, topdown=False):
        for name in files:
            path = Path(where) / name
            if not is_kept(path.relative_to(base).as_posix()):
                path.unlink()
        with suppress(OSError):
            if Path(where) != folder:
                Path(where).rmdir()
