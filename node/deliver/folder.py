"""The volumes' files into another folder, whole and with the manifests last."""

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
from node.deliver.publish import FILE_MODE, MANIFEST
from node.deliver.target import NotTaken, TargetDown, Trouble

_CHUNK = 1 << 20


Published = Callable[[int], tuple[int, Mapping[str, str]]]
"""Which revision of a series is visible, by the series' row, and the SHA-256 of its files."""


class Folder:
    """A folder, perhaps on another machine, that holds what the output folder holds.

    Args:
        published: what the files have to be.
    """

    def __init__(self, settings: FolderSettings, published: Published) -> None:
        self._root = settings.path
        self._seconds = settings.timeout_seconds
        self._published = published

    def deliver(self, delivery: Delivery) -> None:
        """Copy a revision's files, and remove those that it replaces."""
        payload = delivery.payload
        deadline = time.monotonic() + self._seconds
        try:
            if not self._root.is_dir():
                raise TargetDown(f"{self._root} is not there")
            if delivery.event == EventType.READY:
                self._copy(Path(payload["root"]), payload, deadline, delivery.series_pk)
            elif payload["state"] != SeriesState.READY:
                self._remove([*payload["files"], *payload["replaced"]])
        except OSError as error:
            raise TargetDown(f"{self._root} cannot be written: {error.strerror}") from error

    def _copy(self, source: Path, payload: dict[str, Any], deadline: float, series_pk: int) -> None:
        files = sorted(payload["files"], key=lambda name: (name.endswith(MANIFEST), name))
        revision = payload["revision"]
        copies: dict[str, Path] = {}
        found: dict[str, str] = {}
        try:
            for folder in {(self._root / name).parent for name in files}:
                make_folder(folder, below=self._root)
            for name in files:
                copies[name], found[name] = self._staged(source / name, self._root / name, deadline)
            if not self._is_sound(series_pk, revision, found):
                return  # replaced meanwhile: the next delivery brings what is there now
            manifests = [copies[name] for name in files if name.endswith(MANIFEST)]
            if not manifests or any(_revision(path) != revision for path in manifests):
                return  # replaced meanwhile: the next delivery brings what is there now
            self._check(deadline)
            self._remove([name for name in payload["replaced"] if name.endswith(MANIFEST)])
            for last in (False, True):  # whole after a power cut, too
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

    def _is_sound(self, series_pk: int, revision: int, found: Mapping[str, str]) -> bool:
        """Whether what was copied is a revision; False if that is not the visible one any more.

        Raises:
            NotTaken: it is, and a file is damaged: it is made again, and told as the next revision.
        """
        visible, digests = self._published(series_pk)
        if visible != revision:
            return False
        if any(digests.get(name, digest) != digest for name, digest in found.items()):
            raise NotTaken(
                f"{Reason.OUTPUT_DAMAGED}: a file is not what was published; nothing was copied, "
                "and it is made again"
            )
        return True

    def _staged(self, source: Path, target: Path, deadline: float) -> tuple[Path, str]:
        """A copy under another name in the same folder, and its SHA-256."""
        digest = hashlib.sha256()
        copy = target.with_name(f".{uuid.uuid4().hex}.part")
        try:
            with source.open("rb") as original, copy.open("xb") as file:
                while piece := original.read(_CHUNK):
                    self._check(deadline)
                    digest.update(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            self._check(deadline)
            copy.chmod(FILE_MODE)
        except BaseException:
            copy.unlink(missing_ok=True)
            raise
        return copy, digest.hexdigest()

    def _check(self, deadline: float) -> None:
        """Before anything visible changes, too: an attempt that hung must not go on when it wakes.

        Raises:
            TargetDown: the time is over.
        """
        if time.monotonic() > deadline:
            raise TargetDown(
                f"{Trouble.TIMED_OUT}: copying to {self._root} took longer than "
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
