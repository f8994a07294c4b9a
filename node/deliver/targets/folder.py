"""Copies the files of revisions to another folder, complete and with the manifests last."""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from node.core.errors import Reason
from node.core.events import Delivery, EventType
from node.core.records import SeriesState
from node.core.settings.deliver import FolderSettings
from node.core.system.disk import make_folder, sync_folders
from node.deliver.published_files import FILE_MODE, MANIFEST
from node.deliver.targets.target import DeliveryFailed, FailureName, TargetUnavailable

_CHUNK = 1 << 20


Published = Callable[[int], tuple[int, Mapping[str, str]]]
"""Returns the visible revision of a series, by the series' row, and the SHA-256 of its files."""


class Folder:
    """A folder, perhaps on another machine, that mirrors the output folder.

    Args:
        settings: the entry of `deliver:`.
        published: returns what the files of a series have to be.
    """

    def __init__(self, settings: FolderSettings, published: Published) -> None:
        self._root = settings.path
        self._seconds = settings.timeout_seconds
        self._published = published

    def deliver(self, delivery: Delivery) -> None:
        """Copy a revision's files, and remove those that it replaces.

        Raises:
            TargetUnavailable: the folder is missing or not writable, or copying took too long.
            DeliveryFailed: a published file is damaged.
        """
        payload = delivery.payload
        deadline = time.monotonic() + self._seconds
        try:
            if not self._root.is_dir():
                raise TargetUnavailable(
                    f"the folder {self._root} does not exist; create it, or mount its share"
                )
            if delivery.event == EventType.READY:
                self._copy(Path(payload["root"]), payload, deadline, delivery.series_pk)
            elif payload["state"] != SeriesState.READY:
                self._remove([*payload["files"], *payload["replaced"]])
        except OSError as error:
            raise TargetUnavailable(
                f"the node cannot write to {self._root}: {error.strerror}"
            ) from error

    def _copy(self, source: Path, payload: dict[str, Any], deadline: float, series_pk: int) -> None:
        files = sorted(payload["files"], key=lambda name: (name.endswith(MANIFEST), name))
        revision = payload["revision"]
        copies: dict[str, Path] = {}
        digests: dict[str, str] = {}
        try:
            for folder in {(self._root / name).parent for name in files}:
                make_folder(folder, below=self._root)
            for name in files:
                copies[name], digests[name] = self._staged(
                    source / name, self._root / name, deadline
                )
            if not self._is_undamaged(series_pk, revision, digests):
                return  # replaced meanwhile: the next delivery copies the newer revision
            manifests = [copies[name] for name in files if name.endswith(MANIFEST)]
            if not manifests or any(_revision(path) != revision for path in manifests):
                return  # replaced meanwhile: the next delivery copies the newer revision
            self._check(deadline)
            self._remove([name for name in payload["replaced"] if name.endswith(MANIFEST)])
            for last in (False, True):  # complete after a power cut, too
                for name in files:
                    if name.endswith(MANIFEST) == last:
                        os.replace(copies.pop(name), self._root / name)  # noqa: PTH105
                self._sync(files)
            self._remove([name for name in payload["replaced"] if name not in files])
        except FileNotFoundError:
            if (source / files[0]).exists():
                raise
        finally:
            for path in copies.values():
                path.unlink(missing_ok=True)

    def _is_undamaged(self, series_pk: int, revision: int, copied: Mapping[str, str]) -> bool:
        """Whether the copies are the visible revision; False if that is another one by now.

        Raises:
            DeliveryFailed: it is the visible one and a file is damaged; the node makes the next
                revision, which is delivered instead.
        """
        visible, digests = self._published(series_pk)
        if visible != revision:
            return False
        if any(digests.get(name, digest) != digest for name, digest in copied.items()):
            raise DeliveryFailed(
                f"{Reason.OUTPUT_DAMAGED}: a file is not what was published; nothing was copied; "
                "the node makes the volume again and then delivers that"
            )
        return True

    def _staged(self, source: Path, target: Path, deadline: float) -> tuple[Path, str]:
        """A copy under another name in the same folder, and its SHA-256."""
        digest = hashlib.sha256()
        copy = target.with_name(f".{uuid.uuid4().hex}.part")
        try:
            with source.open("rb") as original, copy.open("xb") as file:
                while chunk := original.read(_CHUNK):
                    self._check(deadline)
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            self._check(deadline)
            copy.chmod(FILE_MODE)
        except BaseException:
            copy.unlink(missing_ok=True)
            raise
        return copy, digest.hexdigest()

    def _check(self, deadline: float) -> None:
        """Check the deadline, also before visible files change: after a hang nothing must change.

        Raises:
            TargetUnavailable: the deadline has passed.
        """
        if time.monotonic() > deadline:
            raise TargetUnavailable(
                f"{FailureName.TIMED_OUT}: copying to {self._root} took longer than "
                f"{self._seconds:g} s (timeout_seconds)"
            )

    def _remove(self, names: Sequence[str]) -> None:
        for first in (True, False):
            some = [name for name in names if name.endswith(MANIFEST) == first]
            for name in some:
                (self._root / name).unlink(missing_ok=True)
            self._sync(some)

    def _sync(self, names: Sequence[str]) -> None:
        folders = {(self._root / name).parent for name in names}
        sync_folders(sorted(folder for folder in folders if folder.is_dir()))


def _revision(manifest: Path) -> int | None:
    try:
        return int(json.loads(manifest.read_bytes())["revision"])
    except (ValueError, KeyError, TypeError):
        return None
