"""Publishes revisions: their files appear complete in the output folder, the manifests last.

Readers rely on one rule: where `<stem>.manifest.json` is, the files beside it are those that it
describes. So the old manifests are renamed before the first file is replaced, and the new ones are
added after the last. A crash between leaves a volume without a manifest, never one with the wrong
manifest, and publishing the same revision again completes it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from node.core.errors import Retryable
from node.core.fault_points import fault_point
from node.core.system.disk import make_folder
from node.deliver.published_files import EXTENSIONS, FILE_MODE, FOLDER_MODE, MANIFEST

STAGING = ".staging"  # below the output folder: the same file system, and hidden from readers
_KNOWN_FOLDERS = 10_000  # a folder beyond that is synced again
_FULL = (errno.ENOSPC, errno.EDQUOT)


class PublishingDelayed(Retryable):
    """The output folder cannot be written to now; the revision is published later."""


class OutputFolder:
    """Writes to the output folder; nothing else does.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._durable: set[Path] = set()  # folders whose names are known to be synced

    def prepare(self) -> None:
        """Create the output folder, and remove what an earlier process was staging."""
        make_folder(self._root)
        shutil.rmtree(self._root / STAGING, ignore_errors=True)
        make_folder(self._root / STAGING, below=self._root)

    def staging(self, name: str) -> Path:
        """Create the folder for the files of one job, which must not exist yet.

        Raises:
            PublishingDelayed: it cannot be created now.
        """
        folder = self._root / STAGING / name
        try:
            folder.mkdir(mode=FOLDER_MODE, parents=True)
        except OSError as error:
            raise _delayed(error) from error
        return folder

    def staged(self, name: str) -> Path:
        """Where a file that belongs to no job may be written."""
        return self._root / STAGING / name

    def discard(self, staging: Path) -> None:
        """Remove what was staged."""
        shutil.rmtree(staging, ignore_errors=True)

    def revision_on_disk(self, stems: Iterable[str], series_uids: Container[str]) -> int:
        """The highest revision of a series that a manifest on disk names; 0 if none does.

        So that an index that was rebuilt from the archive does not count from 1 again.

        Args:
            stems: the names of the series' files, relative to the output folder.
            series_uids: its Series Instance UID, and those of the other series of its run.
        """
        found = [0]
        for stem in stems:
            manifest = _read_manifest(self._root / (stem + MANIFEST))
            if manifest.get("series_instance_uid") in series_uids:
                found.append(_revision(manifest))
        return max(found)

    def folder(self, name: str) -> Path:
        """A folder of the output folder."""
        return self._root / name

    def owner_on_disk(self, stem: str) -> str:
        """The series whose manifest lies under a stem, empty if there is none."""
        uid = _read_manifest(self._root / (stem + MANIFEST)).get("series_instance_uid")
        return uid if isinstance(uid, str) else ""

    def publish(
        self,
        staging: Path,
        folder: str,
        files: Sequence[str],
        revision: int,
        stems: Sequence[str],
        spared: Container[str] = (),
    ) -> None:
        """Move a revision's files into place, and remove the files that they replace.

        Args:
            staging: where the files are.
            folder: where they belong, relative to the output folder.
            files: their names.
            revision: the number of their revision.
            stems: every stem that the series has or ever had, relative to the output folder.
            spared: files of other series, which stay although they have names of this one.

        Raises:
            PublishingDelayed: the disk is full or not writable. Some files may have been moved
                already; the revision has to be staged and published again.
        """
        try:
            self._publish(staging, self._root / folder, sorted(files), revision, stems, spared)
        except OSError as error:
            self._durable.clear()
            raise _delayed(error) from error
        self.discard(staging)

    def withdraw(self, revision: int, stems: Sequence[str], spared: Container[str] = ()) -> None:
        """Remove a series' files; their manifests are kept under their revisions' numbers.

        Args:
            revision: the number of the revision that has no files.
            stems: every stem that the series has or ever had, relative to the output folder.
            spared: files of other series, which stay although they have names of this one.

        Raises:
            PublishingDelayed: the disk is not writable; the same call may be made again.
        """
        try:
            self._publish(self._root, self._root, [], revision, stems, spared)
        except OSError as error:
            raise _delayed(error) from error

    def _publish(
        self,
        staging: Path,
        target: Path,
        files: list[str],
        revision: int,
        stems: Sequence[str],
        spared: Container[str],
    ) -> None:
        for name in files:
            _make_durable(staging / name)
        fault_point("publish-staged")
        folders = {(target / name).parent for name in files}
        for path in sorted(folders):
            self._make_durable_folder(path)
        renamed = {
            (self._root / stem).parent
            for stem in stems
            if stem + MANIFEST not in spared and _rename_manifest(self._root / stem, revision)
        }
        for path in renamed:  # or a power cut could leave the old manifest beside new files
            _sync_folder(path)
        fault_point("publish-old-manifest-aside")
        for name in files:
            if not name.endswith(MANIFEST):
                os.replace(staging / name, target / name)  # noqa: PTH105
                fault_point("publish-some-files")
        touched = renamed | self._remove_stale(stems, {target / name for name in files}, spared)
        touched |= folders
        for path in touched:
            _sync_folder(path)
        fault_point("publish-all-files")
        for name in files:
            if name.endswith(MANIFEST):
                os.replace(staging / name, target / name)  # noqa: PTH105
                fault_point("publish-some-manifests")
        for path in touched:
            _sync_folder(path)
        fault_point("publish-visible")

    def _make_durable_folder(self, folder: Path) -> None:
        """Create and sync a folder; one that exists may not have been synced before a crash."""
        if folder not in self._durable or not folder.exists():
            make_folder(folder, below=self._root)
            _sync_folder(folder)
            if len(self._durable) >= _KNOWN_FOLDERS:
                self._durable.clear()
            self._durable.add(folder)

    def _remove_stale(
        self, stems: Iterable[str], kept: set[Path], spared: Container[str]
    ) -> set[Path]:
        """Remove the files of earlier revisions, and of a revision that a crash interrupted."""
        touched = set()
        for stem in stems:
            for extension in EXTENSIONS:
                path = self._root / (stem + extension)
                stale = path not in kept and stem + extension not in spared
                if stale and path.is_file():
                    path.unlink()
                    touched.add(path.parent)
        return touched


def _rename_manifest(stem: Path, revision: int) -> bool:
    """Keep another revision's manifest under its number: `.manifest.r1.json`."""
    path = stem.with_name(stem.name + MANIFEST)
    if not path.is_file():
        return False
    number = _revision(_read_manifest(path))
    if number == revision:
        path.unlink()  # of this revision, which a crash interrupted
    else:
        os.replace(path, stem.with_name(f"{stem.name}.manifest.r{number}.json"))  # noqa: PTH105
    return True


def _read_manifest(path: Path) -> dict[str, object]:
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _revision(manifest: dict[str, object]) -> int:
    number = manifest.get("revision")
    return number if isinstance(number, int) else 0


def _make_durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fchmod(descriptor, FILE_MODE)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _delayed(error: OSError) -> PublishingDelayed:
    if error.errno in _FULL:
        return PublishingDelayed(
            f"the output folder's disk is full ({error.strerror}); free some space, and the node "
            "goes on by itself"
        )
    return PublishingDelayed(
        f"the node cannot write to the output folder: {error.strerror or error}; "
        "check its permissions"
    )
