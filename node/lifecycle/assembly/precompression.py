"""A head start: slices are compressed while their series still arrives, if it arrives slowly."""

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
from node.deliver.publish import Publisher
from node.lifecycle.assembly.task import press
from node.storage.index.series.work import Work

log = logging.getLogger(__name__)

LEAST = 16  # slices that have to wait before anything is done
MOST = 256  # slices at a time, so that none of it takes long
FASTEST = 150e6  # bytes a second; whoever sends faster leaves no processor idle
WINDOW_SECONDS = 0.5  # of which the pace is taken: what is ingested becomes known in lumps
LIVELY_SECONDS = 1.0  # after its last instance a series is not expected to grow any more
LONGEST_REST_SECONDS = 600.0  # then what was compressed of it is thrown away
MOST_SERIES = 32  # at a time
_NAME = "head-start-"


class Apart(Protocol):
    """A process that only works while nothing else would: see `node.lifecycle.workers.local`."""

    def submit(self, function: Callable[..., int], *args: object) -> Future[int]:
        """Start something."""
        ...

    def close(self) -> None:
        """End the process."""
        ...


@dataclass(slots=True)
class _Begun:
    """What is known of a series.

    Attributes:
        path: where its compressed slices are.
        looked_at: when the pace was taken, seconds since 1970.
        counted: how many instances it had then.
        known: how many it has.
        grew_at: when that was new.
        pace: bytes a second; None before it is known.
        size: bytes of an instance.
        passed: the row of the last instance whose slice was taken on.
        taken: how many these are.
        future: of the slices that are being compressed.
        hopeless: its slices are no layers, or something went wrong.
    """

    path: Path
    looked_at: float
    counted: int = 0
    known: int = 0
    grew_at: float = 0.0
    pace: float | None = None
    size: int = 0
    passed: int = 0
    taken: int = 0
    future: Future[int] | None = None
    hopeless: bool = False

    def look(self, instances: int, now: float) -> None:
        """Take notice of how many instances there are."""
        if instances > self.known:
            self.known, self.grew_at = instances, now
        seconds = now - self.looked_at
        if seconds >= WINDOW_SECONDS or (self.pace is None and seconds > 0):
            self.pace = (instances - self.counted) * self.size / seconds
            self.looked_at, self.counted = now, instances

    def give_up(self) -> None:
        """Do nothing more, and remove the file as soon as nobody writes it any more."""
        self.hopeless = True
        if self.future is not None:
            path = self.path
            self.future.add_done_callback(lambda _: path.unlink(missing_ok=True))
            self.future = None

    @property
    def is_slow(self) -> bool:
        """Whether instances come slowly enough."""
        return self.pace is not None and self.pace <= FASTEST


class Precompression:
    """Owner of what is compressed of series that are not complete.

    Args:
        apart: None: nothing is.
        archive: the folder that instances' paths are relative to.
        options: which files are made.
        room: whether the disk has room for so many bytes.
    """

    def __init__(
        self,
        work: Work,
        publisher: Publisher,
        apart: Apart | None,
        *,
        archive: Path,
        options: OutputOptions,
        room: Callable[[int], bool] = lambda _size: True,
    ) -> None:
        self._work = work
        self._publisher = publisher
        self._apart = apart if options.image and options.compress else None
        self._archive = archive
        self._options = options
        self._room = room
        self._last: Future[int] | None = None
        self._begun: dict[int, _Begun] = {}
        self._numbers = count()  # no two files have one name: one may still be being written

    def give(self, series: SeriesRecord, now: float) -> None:
        """Compress some of the slices that came since the last time, if there is time to."""
        if self._apart is None:
            return
        try:
            self._give(self._apart, series, now)
        except Retryable:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, the volume needs none of this
            log.error("slices cannot be compressed in advance: %s", traced(error))
            if series.pk in self._begun:
                self._begun[series.pk].hopeless = True

    def _give(self, apart: Apart, series: SeriesRecord, now: float) -> None:
        begun = self._begun.get(series.pk) or self._new(series, now)
        if begun is None:
            return
        begun.look(series.instances, now)
        waiting = series.instances - begun.taken
        if begun.hopeless or not begun.is_slow or waiting < LEAST or self._is_busy():
            return
        if _went_wrong(begun) or not self._room(min(waiting, MOST) * begun.size):
            begun.give_up()
            return
        begun.passed, instances = self._work.arrived(series.pk, after=begun.passed, limit=MOST)
        begun.taken += len(instances)
        begun.future = self._last = apart.submit(
            press, instances, self._archive, begun.path, self._options
        )

    def look_round(self, now: float) -> bool:
        """Throw away what has rested for long; tell whether to look soon for more slices."""
        rest = {pk: now - begun.grew_at for pk, begun in self._begun.items()}
        for pk, seconds in rest.items():
            if seconds > LONGEST_REST_SECONDS:
                self.take_back(pk)
        return any(
            begun.is_slow and not begun.hopeless and rest[pk] < LIVELY_SECONDS
            for pk, begun in self._begun.items()
        )

    def of(self, series_pk: int) -> Path | None:
        """The file with what was compressed of a series, None if nothing was."""
        begun = self._begun.get(series_pk)
        return begun.path if begun is not None and begun.future is not None else None

    def take_back(self, series_pk: int) -> None:
        """Throw away what was compressed of a series."""
        begun = self._begun.pop(series_pk, None)
        if begun is not None:
            begun.give_up()

    def close(self) -> None:
        """End what is being done."""
        if self._apart is not None:
            self._apart.close()

    def _is_busy(self) -> bool:
        return self._last is not None and not self._last.done()

    def _new(self, series: SeriesRecord, now: float) -> _Begun | None:
        """None if there are too many that grow already."""
        if len(self._begun) >= MOST_SERIES:
            pk, longest = min(self._begun.items(), key=lambda item: item[1].grew_at)
            if now - longest.grew_at < LIVELY_SECONDS:
                return None
            self.take_back(pk)
        _, instances = self._work.arrived(series.pk, after=0, limit=1)
        path = self._publisher.staged(f"{_NAME}{series.pk}-{next(self._numbers)}")
        begun = self._begun[series.pk] = _Begun(
            path,
            looked_at=series.first_arrival,
            grew_at=now,
            size=sum(one.size for one in instances),
        )
        begun.hopeless = not expected_layers([decode_header(one.header) for one in instances])
        return begun


def _went_wrong(begun: _Begun) -> bool:
    """Whether slices could not be compressed; nothing may follow what may be half written."""
    error = None if begun.future is None else begun.future.exception()
    if error is not None:
        log.warning("slices cannot be compressed in advance: %s", error)
    return error is not None
