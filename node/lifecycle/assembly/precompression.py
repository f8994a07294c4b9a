"""Compresses slices of a series while it is still being received, if it arrives slowly.

An idle process does it, and the assembly reads the compressed slices from a file. Without that, the
volume of a slow sender would be ready later (docs/adr/0025).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Protocol

from node.assemble.frames.headers import decode_header
from node.assemble.volumes.layers import expected_layers
from node.convert import OutputOptions
from node.core.errors import Retryable, traced
from node.core.records import SeriesRecord
from node.lifecycle.assembly.output_folder import OutputFolder
from node.lifecycle.assembly.task import precompress
from node.lifecycle.log_fields import series_fields
from node.storage.index.series.work import Work

log = logging.getLogger(__name__)

SMALLEST_BATCH = 16  # slices
LARGEST_BATCH = 256  # slices, so that none takes long
FASTEST = 150e6  # bytes a second; a faster sender leaves no processor idle
WINDOW_SECONDS = 0.5  # over which the rate is measured: ingest makes instances known in batches
GROWING_SECONDS = 1.0  # after its last instance a series does not count as growing any more
LONGEST_KEPT_SECONDS = 600.0  # after its last instance; then its compressed slices are removed
MOST_SERIES = 32  # at the same time
_NAME = "precompressed-"


class IdleProcess(Protocol):
    """A process that works only while processors are idle: see `workers.idle_worker`."""

    def submit(self, function: Callable[..., int], *args: object) -> Future[int]:
        """Start a function."""
        ...

    def close(self) -> None:
        """End the process."""
        ...


@dataclass(slots=True)
class _Progress:
    """What is known and done of one series.

    Attributes:
        path: the file with its compressed slices.
        measured_at: when the rate was measured last, seconds since 1970.
        measured: how many instances the series had then.
        received: how many instances it has.
        grew_at: when that number grew last, seconds since 1970.
        rate: bytes a second; None before it is known.
        size: bytes of an instance.
        last_row: the row of the last instance that was submitted.
        submitted: how many instances were submitted.
        future: of the batch that was submitted last.
        disabled: its slices cannot be compressed separately, or an attempt failed.
    """

    path: Path
    measured_at: float
    measured: int = 0
    received: int = 0
    grew_at: float = 0.0
    rate: float | None = None
    size: int = 0
    last_row: int = 0
    submitted: int = 0
    future: Future[int] | None = None
    disabled: bool = False

    def update(self, instances: int, now: float) -> None:
        """Record how many instances the series has."""
        if instances > self.received:
            self.received, self.grew_at = instances, now
        seconds = now - self.measured_at
        if seconds >= WINDOW_SECONDS or (self.rate is None and seconds > 0):
            self.rate = (instances - self.measured) * self.size / seconds
            self.measured_at, self.measured = now, instances

    def disable(self) -> None:
        """Compress nothing more, and remove the file as soon as nothing writes to it."""
        self.disabled = True
        if self.future is not None:
            path = self.path
            self.future.add_done_callback(lambda _: path.unlink(missing_ok=True))
            self.future = None

    @property
    def is_slow(self) -> bool:
        """Whether its instances arrive slowly enough."""
        return self.rate is not None and self.rate <= FASTEST


class Precompression:
    """Compresses slices of the series that are being received.

    Args:
        work: the series in the index.
        output_folder: where the files with compressed slices are.
        idle_process: compresses them; None: nothing is compressed in advance.
        archive: the folder that the instances' paths are relative to.
        options: which files are made of a volume.
        has_room: returns whether the disk has room for a number of bytes.
    """

    def __init__(
        self,
        work: Work,
        output_folder: OutputFolder,
        idle_process: IdleProcess | None,
        *,
        archive: Path,
        options: OutputOptions,
        has_room: Callable[[int], bool] = lambda _size: True,
    ) -> None:
        self._work = work
        self._output_folder = output_folder
        self._idle_process = idle_process if options.image and options.compress else None
        self._archive = archive
        self._options = options
        self._has_room = has_room
        self._last: Future[int] | None = None
        self._series: dict[int, _Progress] = {}
        self._numbers = count()  # so that no two files have one name: one may still be written to

    def compress(self, series: SeriesRecord, now: float) -> None:
        """Submit the next slices of a series, if it arrives slowly and the process is idle.

        Args:
            series: the series, as it is being received.
            now: seconds since 1970.

        Raises:
            Retryable: the index cannot be read now.
        """
        if self._idle_process is None:
            return
        try:
            self._compress(self._idle_process, series, now)
        except Retryable:
            raise
        except Exception as error:  # noqa: BLE001  the volume is made without it
            log.error(
                "cannot compress slices of series %s in advance because of an unexpected error, "
                "so its volume will take longer; please report it: %s",
                series.address,
                traced(error),
                extra=series_fields(series),
            )
            if series.pk in self._series:
                self._series[series.pk].disabled = True

    def _compress(self, idle_process: IdleProcess, series: SeriesRecord, now: float) -> None:
        progress = self._series.get(series.pk) or self._new(series, now)
        if progress is None:
            return
        progress.update(series.instances, now)
        waiting = series.instances - progress.submitted
        if progress.disabled or not progress.is_slow or waiting < SMALLEST_BATCH:
            return
        if self._last is not None and not self._last.done():
            return
        size = min(waiting, LARGEST_BATCH) * progress.size
        if _has_failed(series, progress) or not self._has_room(size):
            progress.disable()
            return
        progress.last_row, instances = self._work.arrived(
            series.pk, after=progress.last_row, limit=LARGEST_BATCH
        )
        progress.submitted += len(instances)
        progress.future = self._last = idle_process.submit(
            precompress, instances, self._archive, progress.path, self._options
        )

    def expects_more(self, now: float) -> bool:
        """Whether a slow series is growing, so that more slices can soon be compressed.

        What was compressed of series that have not grown for long is removed.
        """
        ages = {pk: now - progress.grew_at for pk, progress in self._series.items()}
        for pk, seconds in ages.items():
            if seconds > LONGEST_KEPT_SECONDS:
                self.discard(pk)
        return any(
            progress.is_slow and not progress.disabled and ages[pk] < GROWING_SECONDS
            for pk, progress in self._series.items()
        )

    def file(self, series_pk: int) -> Path | None:
        """The file with the compressed slices of a series; None if there is none."""
        progress = self._series.get(series_pk)
        return progress.path if progress is not None and progress.future is not None else None

    def discard(self, series_pk: int) -> None:
        """Remove the compressed slices of a series."""
        progress = self._series.pop(series_pk, None)
        if progress is not None:
            progress.disable()

    def close(self) -> None:
        """End the process."""
        if self._idle_process is not None:
            self._idle_process.close()

    def _new(self, series: SeriesRecord, now: float) -> _Progress | None:
        """Begin with a series; None if too many others are growing."""
        if len(self._series) >= MOST_SERIES:
            pk, oldest = min(self._series.items(), key=lambda item: item[1].grew_at)
            if now - oldest.grew_at < GROWING_SECONDS:
                return None
            self.discard(pk)
        _, instances = self._work.arrived(series.pk, after=0, limit=1)
        progress = self._series[series.pk] = _Progress(
            self._output_folder.staged(f"{_NAME}{series.pk}-{next(self._numbers)}"),
            measured_at=series.first_arrival,
            grew_at=now,
            size=sum(one.size for one in instances),
        )
        progress.disabled = not expected_layers([decode_header(one.header) for one in instances])
        return progress


def _has_failed(series: SeriesRecord, progress: _Progress) -> bool:
    """Whether the last batch failed; nothing may follow a record that may be incomplete."""
    error = None if progress.future is None else progress.future.exception()
    if error is not None:
        log.warning(
            "cannot compress slices of series %s in advance, so its volume takes longer: %s",
            series.address,
            error,
            extra=series_fields(series),
        )
    return error is not None
