"""What commands answer to a series: the images that they leave become objects in the outbox."""

from __future__ import annotations

import hashlib
import logging
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from node.convert.results import Algorithm, ResultError, ResultOptions
from node.core.errors import AssemblyError, Retryable
from node.core.events import Delivery, EventType
from node.core.settings.deliver import ResultsSettings
from node.core.system.disk import file_sha256
from node.deliver.targets.target import DeliveryFailed, DeliveryRefused
from node.lifecycle.results.kept import ResultStore
from node.lifecycle.results.making import Kind, Request, make
from node.lifecycle.results.numbers import free_number
from node.lifecycle.results.series import ResultSeries
from node.storage.index.peers.outbox import Outbox
from node.storage.index.series.work import Work

log = logging.getLogger(__name__)

PATTERN: Final = "*.nii.gz"
MOST_IMAGES: Final = 1000
"""That a command may leave for one series."""
_UNVERSIONED: Final = "unknown"


class CommandImages:
    """Takes what the command of one entry of `deliver:` leaves.

    Args:
        name: of the entry.
        work: the index.
        store: keeps the objects until they are sent.
        outbox: where they wait.
        archive: the folder that the instances' paths are relative to.
        output: the folder of the volumes.
    """

    def __init__(
        self, name: str, work: Work, store: ResultStore, outbox: Outbox, archive: Path, output: Path
    ) -> None:
        self._name = name
        self._work = work
        self._store = store
        self._outbox = outbox
        self._archive = archive
        self._output = output

    def workspace(self, delivery: Delivery) -> Path:
        """Return a new, empty folder for one attempt."""
        try:
            return self._store.workspace(f"{delivery.key[:16]}-{delivery.attempts + 1}")
        except Retryable as error:
            raise DeliveryFailed(str(error)) from error

    def discard(self, folder: Path) -> None:
        """Remove the folder of an attempt."""
        shutil.rmtree(folder, ignore_errors=True)

    def take(self, delivery: Delivery, settings: ResultsSettings, folder: Path) -> None:
        """Make DICOM objects of the images in the folder, and put them into the outbox.

        What an earlier attempt at this delivery put there stays as it is, and is not made again.

        Raises:
            DeliveryRefused: an image cannot be one.
            DeliveryFailed: disk or memory is full; it can be tried again.
        """
        images = sorted(folder.glob(PATTERN))
        if delivery.event != EventType.READY:
            if images:
                log.warning("%s: what it left for %s is not used", self._name, delivery.event)
            return
        if len(images) > MOST_IMAGES:
            raise DeliveryRefused(f"it left {len(images)} images, and {MOST_IMAGES} are the most")
        try:
            for image in images:
                self._answer(delivery, settings, image)
        except (ResultError, AssemblyError) as error:
            raise DeliveryRefused(f"what it left cannot be a result: {error}") from error
        except Retryable as error:
            raise DeliveryFailed(str(error)) from error

    def _answer(self, delivery: Delivery, settings: ResultsSettings, image: Path) -> None:
        key = _key(delivery.key, image.name)
        if self._outbox.with_keys([key]):
            return
        series = ResultSeries(self._work, self._archive, self._output, delivery.series)
        name, version = (settings.algorithm or f"{self._name},{_UNVERSIONED}").split(",", 1)
        options = ResultOptions(
            description=settings.description or "",
            algorithm=Algorithm(name.strip(), version.strip()),
            series_number=free_number(self._work, self._outbox, series.record.pk),
            seed=f"{delivery.key}\n{_content(image)}",
            made_at=datetime.fromtimestamp(delivery.created_at, UTC),
        )
        request = Request(Kind(settings.kind), revision=delivery.revision, options=options)
        made = make(series, image, request)
        self._store.send(series.record, settings.send, key, made.objects)
        log.info("%s: %d objects for %s", self._name, len(made.objects), settings.send)


def _key(key: str, name: str) -> str:
    """Return the idempotency key of one image of a delivery."""
    return hashlib.sha256(f"{key}\n{name}".encode()).hexdigest()[:40]


def _content(image: Path) -> str:
    """Return what changes with the image or with its labels."""
    labels = image.with_name(image.name.removesuffix(".nii.gz") + ".json")
    parts = [file_sha256(path) for path in (image, labels) if path.is_file()]
    return "\n".join([image.name, *parts])
