"""Making a revision visible: its files appear whole, its manifests last.

Readers hold to one rule: where `<stem>.manifest.json` is, the files beside it are the ones that it
speaks of. So the old manifests are put aside before the first file is replaced, and the new ones
come after the last; a crash between leaves a volume without a manifest, never a wrong pair, and
publishing the same revision again finishes it.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from node.core.errors import Retryable
from node.core.fault_points import fault_point
from node.core.system.disk import make_folder

log = logging.getLogger(__name__)

MANIFEST = ".manifest.json"
EXTENSIONS = (
    ".nii.gz", ".nii", ".json", ".bval", ".bvec", "context.tsv", ".png", MANIFEST,
)  # fmt: skip
STAGING = ".staging"  # below the output folder: the same file system, and hidden from readers
FOLDER_MODE = 0o750
FILE_MODE = 0o640
_KNOWN_FOLDERS = 10_000  # forgetting one costs some syncs
_FULL = (errno.ENOSPC, errno.EDQUOT)


class PublishingDelayed(Retryable):
    """The output folder cannot be written now; the revision is published later."""


class Publisher:
    """Owner of the output folder.

    Args:
        root: the output folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._durable: set[Path] = set()  # folders whose names are known to be synced

    def prepare(self) -> None:
        """Make the output folder, and forget what a dead process was staging."""
        make_folder(self._root)
        shutil.rmtree(self._root / STAGING, ignore_errors=True)
        make_folder(self._root / STAGING, below=self._root)

    def staging(self, name: str) -> Path:
        """A new folder for the files of one job, which must not exist yet."""
        folder = self._root / STAGING / name
        try:
            folder.mkdir(mode=FOLDER_MODE, parents=True)
        except OSError as error:
            raise _delayed(error) from error
        return folder

    def staged(self, name: str) -> Path:
        """Where a file that is no job's may be written."""
        return self._root / STAGING / name

    def discard(self, staging: Path) -> None:
        """Throw away what was staged."""
        shutil.rmtree(staging, ignore_errors=True)

    def revision_on_disk(self, stems: Iterable[str], series_uid: str) -> int:
        """The highest revision of a series whose manifest is on disk under one of its names.

        So that an index that was rebuilt from the archive does not count from the start again.
        """
        found = [0]
        for stem in stems:
            manifest = _read_manifest(self._root / (stem + MANIFEST))
            if manifest.get("series_instance_uid") == series_uid:
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
        """Move a revision's files into place, and remove what they replace.

        Args:
            staging: where the files are.
            folder: where they belong, relative to the output folder.
            files: their names.
            revision: their number.
            stems: every stem that the series has or ever had, relative to the output folder.
            spared: files of other series, which stay although they have names of this one.

        Raises:
            PublishingDelayed: disk full or not writable. A part may have been done already; the
                revision has to be staged anew and published again.
        """
        try:
            self._publish(staging, self._root / folder, sorted(files), revision, stems, spared)
        except OSError as error:
            self._durable.clear()
            raise _delayed(error) from error
        self.discard(staging)

    def withdraw(self, revision: int, stems: Sequence[str], spared: Container[str] = ()) -> None:
        """Remove a series' files; their manifests are kept under the numbers they had.

        Args:
            revision: the number of the revision that has no files.
            stems: every stem that the series has or ever had, relative to the output folder.
            spared: files of other series, which stay although they have names of this one.

        Raises:
            PublishingDelayed: not writable; the same call may be made again.
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
        if files:
            self._make_durable_folder(target)
        aside = {
            (self._root / stem).parent
            for stem in stems
            if stem + MANIFEST not in spared and _put_manifest_aside(self._root / stem, revision)
        }
        for path in aside:  # or a power cut could leave the old manifest beside new files
            _sync_folder(path)
        fault_point("publish-old-manifest-aside")
        for name in files:
            if not name.endswith(MANIFEST):
                os.replace(staging / name, target / name)  # noqa: PTH105
                fault_point("publish-some-files")
        touched = aside | self._remove_stale(stems, {target / name for name in files}, spared)
        if files:
            touched.add(target)
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
        """What is there may be of an attempt that ended before it synced its names."""
        if folder not in self._durable or not folder.exists():
            make_folder(folder, below=self._root)
            _sync_folder(folder)
            if len(self._durable) >= _KNOWN_FOLDERS:
                self._durable.clear()
            self._durable.add(folder)

    def _remove_stale(
        self, stems: Iterable[str], kept: set[Path], spared: Container[str]
    ) -> set[Path]:
        """Remove what earlier revisions, or a revision that a crash cut off, left behind."""
        touched = set()
        for stem in stems:
            for extension in EXTENSIONS:
                path = self._root / (stem + extension)
                mine = path not in kept and stem + extension not in spared
                if mine and path.is_file():
                    path.unlink()
                    touched.add(path.parent)
        return touched


def _put_manifest_aside(stem: Path, revision: int) -> bool:
    """Keep another revision's manifest under its number: `.manifest.r1.json`."""
    path = stem.with_name(stem.name + MANIFEST)
    if not path.is_file():
        return False
    number = _revision(_read_manifest(path))
    if number == revision:
        path.unlink()  # of this very revision, cut off by a crash
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
            f"the output folder's disk is full ({error.strerror}); free some, it goes on by itself"
        )
    return PublishingDelayed(
        f"cannot write to the output folder: {error.strerror or error}; check its permissions"
    )
