"""The results that wait for their peers: files below `storage.root`, named in the outbox.

The files of a result are durable before the outbox names them, and go once it has no more use for
them. So what is in the outbox can be sent after any crash, as the same bytes.

    results/<key>/0001.dcm ...      one folder a result
    results/.making/<name>/         what is being written, or what a command leaves
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydicom import config, dcmwrite
from pydicom.dataset import Dataset

from node.core.errors import StorageFull
from node.core.events import DeliveryState, NewDelivery
from node.core.records import SeriesRecord
from node.core.system.disk import free_bytes, make_folder, sync_folders, write_new
from node.deliver.targets.results import EVENT, target_of
from node.dicom.file_meta import meta_length
from node.storage.index.peers.outbox import Outbox

log = logging.getLogger(__name__)

FOLDER: Final = "results"
_MAKING: Final = ".making"
MOST_BYTES: Final = 20 << 30
"""Of all results that wait; a peer that is away for weeks does not fill the disk."""
DEAD_SECONDS: Final = 30 * 24 * 3600.0
"""How long the files of a delivery that was given up stay for `rasnode retry`."""
ORPHAN_SECONDS: Final = 24 * 3600.0
"""After so long, files that no delivery names were left by a crash."""


class ResultStore:
    """Owner of the results' folder.

    Args:
        root: `storage.root`.
        outbox: where deliveries wait.
        minimum_free: bytes of the disk that are left free.
        clock: seconds since 1970.
    """

    def __init__(
        self, root: Path, outbox: Outbox, minimum_free: int, clock: Callable[[], float] = time.time
    ) -> None:
        self.folder = root / FOLDER
        self._outbox = outbox
        self._minimum_free = minimum_free
        self._clock = clock

    def send(self, series: SeriesRecord, peer: str, key: str, objects: Sequence[Dataset]) -> None:
        """Keep the objects of one result, and put them into the outbox; once for each key.

        Args:
            series: that they belong to.
            peer: the name of the peer that gets them.
            key: idempotency key: what is in the outbox under it already stays as it is.
            objects: with the meta information of files.

        Raises:
            StorageFull: there is no room for them.
        """
        if self._outbox.with_keys([key]):
            return
        payload = {
            "event": EVENT,
            "key": key,
            "series_instance_uid": series.uid,
            "study_instance_uid": series.study_uid,
            "revision": series.revision,
            "peer": peer,
            "result_series_instance_uid": str(objects[0].SeriesInstanceUID),
            "series_number": int(objects[0].SeriesNumber),
            "instances": self._write(key, objects),
        }
        new = NewDelivery(key, target_of(peer), EVENT, series.revision, payload)
        self._outbox.add(series.pk, [new], self._clock())

    def send_once(self, series: SeriesRecord, peer: str, objects: Sequence[Dataset]) -> str:
        """As `send`, under a key that follows from the peer and the objects; returns the key."""
        text = f"result\n{peer}\n{objects[0].SOPInstanceUID}"
        key = hashlib.sha256(text.encode()).hexdigest()[:40]
        self.send(series, peer, key, objects)
        return key

    def workspace(self, name: str) -> Path:
        """Return a new, empty folder; what an earlier attempt left there is removed.

        Args:
            name: of the attempt.

        Raises:
            StorageFull: it cannot be made.
        """
        path = self.folder / _MAKING / name
        try:
            shutil.rmtree(path, ignore_errors=True)
            make_folder(path.parent)
            path.mkdir(mode=0o750)
        except OSError as error:
            raise _full(error) from error
        return path

    def clean(self) -> int:
        """Remove the files that are not needed any more; returns of how many results."""
        now, removed = self._clock(), 0
        for path in self._folders():
            if self._is_done(path, now):
                shutil.rmtree(path, ignore_errors=True)
                removed += 1
        for path in _listed(self.folder / _MAKING):
            if _age(path, now) > ORPHAN_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
        return removed

    def _is_done(self, path: Path, now: float) -> bool:
        found = self._outbox.with_keys([path.name])
        if not found:
            return _age(path, now) > ORPHAN_SECONDS
        state = found[0].state
        if state is DeliveryState.DEAD:
            return _age(path, now) > DEAD_SECONDS
        return state is DeliveryState.DELIVERED

    def _folders(self) -> list[Path]:
        return [path for path in _listed(self.folder) if not path.name.startswith(".")]

    def _write(self, key: str, objects: Sequence[Dataset]) -> list[dict[str, Any]]:
        """Write the files of a result, all or none; they outlast a power cut."""
        encoded = [encode(one) for one in objects]
        self._check_room(sum(map(len, encoded)))
        making = self.workspace(key)
        found = []
        try:
            for number, (one, data) in enumerate(zip(objects, encoded, strict=True), 1):
                name = f"{number:04d}.dcm"
                write_new(making / name, (data,), durable=True)
                found.append(_described(one, data, f"{key}/{name}"))
            sync_folders([making])
            shutil.rmtree(self.folder / key, ignore_errors=True)
            os.replace(making, self.folder / key)  # noqa: PTH105
            sync_folders([self.folder])
        except OSError as error:
            shutil.rmtree(making, ignore_errors=True)
            raise _full(error) from error
        return found

    def _check_room(self, size: int) -> None:
        waiting = sum(file.stat().st_size for path in self._folders() for file in _listed(path))
        if waiting + size > MOST_BYTES:
            raise StorageFull(
                f"results of {waiting >> 20} MiB wait for their peers, and {MOST_BYTES >> 30} GiB "
                "are the most; `rasnode doctor` says which peer does not answer"
            )
        make_folder(self.folder)
        if free_bytes(self.folder) - size < self._minimum_free:
            raise StorageFull(
                "too little disk is free below storage.root for the result (minimum_free)"
            )


def encode(one: Dataset) -> bytes:
    """Return a data set as a Part 10 file."""
    buffer = BytesIO()
    encode_to(buffer, one)
    return buffer.getvalue()


def encode_to(file: BinaryIO, one: Dataset) -> None:
    """Write a data set as a Part 10 file.

    Args:
        file: is written to from where it stands.
        one: with the meta information of a file.
    """
    with config.disable_value_validation():
        dcmwrite(file, one, enforce_file_format=True)


def _described(one: Dataset, data: bytes, path: str) -> dict[str, Any]:
    offset = meta_length(data)
    return {
        "sop_instance_uid": str(one.SOPInstanceUID),
        "sop_class_uid": str(one.SOPClassUID),
        "transfer_syntax_uid": str(one.file_meta.TransferSyntaxUID),
        "path": path,
        "size": len(data),
        "offset": offset,
        "sha256": hashlib.sha256(memoryview(data)[offset:]).hexdigest(),
        "file_sha256": hashlib.sha256(data).hexdigest(),
    }


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _age(path: Path, now: float) -> float:
    try:
        return now - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _full(error: OSError) -> StorageFull:
    return StorageFull(f"the result cannot be written below storage.root: {error.strerror}")
