"""The bounded folder of decompressed copies: those that were looked at last."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import numpy as np
from isal.igzip_lib import IsalError
from numpy.typing import NDArray

from node.web.viewer.blocks import Layout, write_blocks
from node.web.viewer.messages import Geometry, NotNow, NotViewable
from node.web.viewer.nifti import opened

MOST_BYTES: Final = 4 << 30
"""Bytes of all copies."""
_DAMAGED: Final = (EOFError, cast("type[Exception]", IsalError))
_WAIT_SECONDS: Final = 10  # for a copy that another request makes


@dataclass(frozen=True, slots=True)
class Copy:
    """A decompressed copy of one volume.

    Attributes:
        path: the copy.
        geometry: of the volume.
        layout: of the copy.
    """

    path: Path
    geometry: Geometry
    layout: Layout


class Copies:
    """Makes copies and removes those that were not used for longest. Safe for several threads.

    Args:
        folder: holds the copies and nothing else; what an earlier process left there is removed.
        minimum_free: bytes that have to stay free on the disk.
        most: bytes of all copies.
    """

    def __init__(self, folder: Path, minimum_free: int, most: int = MOST_BYTES) -> None:
        self._folder = folder
        self._minimum_free = minimum_free
        self._most = most
        self._held: OrderedDict[str, Copy] = OrderedDict()
        self._making: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        self._one = threading.Lock()  # held while a copy is made: one at a time
        shutil.rmtree(folder, ignore_errors=True)

    def get(self, path: Path, beat: Callable[[], object] = lambda: None) -> Copy:
        """The copy of the file as it is now.

        Args:
            path: of the NIfTI file.
            beat: called regularly while the copy is made.

        Raises:
            NotViewable: the file is not a volume, or is too large.
            NotNow: there is no room, or the copy is still being made.
            OSError: the file cannot be read.
        """
        state = path.stat()
        told = f"{path}\0{state.st_mtime_ns}\0{state.st_ino}\0{state.st_size}"
        key = hashlib.sha256(told.encode()).hexdigest()[:32]
        while True:
            with self._lock:
                if (found := self._held.get(key)) is not None:
                    self._held.move_to_end(key)
                    return found
                making = self._making.get(key)
                if making is None:
                    self._making[key] = threading.Event()
            if making is None:
                return self._made(key, path, beat)
            _wait(making.wait, beat)

    def _made(self, key: str, path: Path, beat: Callable[[], object]) -> Copy:
        try:
            _wait(lambda seconds: self._one.acquire(timeout=seconds), beat)
            try:
                made = self._make(key, path, beat)
            finally:
                self._one.release()
            with self._lock:
                self._held[key] = made
            return made
        finally:
            with self._lock:
                self._making.pop(key).set()

    def _make(self, key: str, path: Path, beat: Callable[[], object]) -> Copy:
        with opened(path) as (geometry, dtype, stream):
            layout = Layout(geometry.shape, dtype)
            self._make_room(layout.size)
            target, partial = self._folder / key, self._folder / f"{key}.partial"
            try:
                samples = write_blocks(stream, partial, layout, beat)
                partial.replace(target)
            except _DAMAGED as error:
                raise NotViewable("the file ends too early") from error
            finally:
                partial.unlink(missing_ok=True)
        if not geometry.is_colour:
            geometry = msgspec.structs.replace(geometry, window=window(geometry, samples))
        return Copy(target, geometry, layout)

    def _make_room(self, size: int) -> None:
        """Remove copies until there is room for one of `size` bytes."""
        if size > self._most:
            raise NotViewable(
                f"the volume has {size >> 20} MiB, the viewer shows at most {self._most >> 20} "
                "MiB; download the file and open it in another viewer"
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        while True:
            free = shutil.disk_usage(self._folder).free - self._minimum_free
            with self._lock:
                held = sum(copy.layout.size for copy in self._held.values())
                if held + size <= self._most and free >= size:
                    return
                if not self._held:
                    break
                _, oldest = self._held.popitem(last=False)
            oldest.path.unlink(missing_ok=True)
        raise NotNow(
            f"the disk has no room for the decompressed copy of {size >> 20} MiB that the viewer "
            "reads; free some space and try again"
        )


def _wait(done: Callable[[float], bool], beat: Callable[[], object]) -> None:
    """Wait for a copy that another request makes.

    Args:
        done: waits for so many seconds; whether it is done.
        beat: called once a second.

    Raises:
        NotNow: it is not done in time.
    """
    for _ in range(_WAIT_SECONDS):
        beat()
        if done(1.0):
            return
    raise NotNow("a volume is being decompressed; try again in a few seconds")


def window(geometry: Geometry, stored: NDArray[Any]) -> tuple[float, float]:
    """The values to draw black and white at first.

    Args:
        geometry: of the volume.
        stored: (n,) some of its stored values.
    """
    sample = np.asarray(stored, dtype=np.float64) * geometry.slope + geometry.intercept
    sample = sample[np.isfinite(sample)]
    lit = sample[sample != sample.min()] if sample.size else sample
    if not lit.size:
        return 0.0, 1.0
    low, high = np.percentile(lit, (1, 99.5))
    black = float(sample.min() if sample.min() >= 0 else low)
    return black, max(float(high), black + 1e-6)
