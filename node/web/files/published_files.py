"""Published files are served only if they are undamaged."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fastapi import HTTPException

from node.lifecycle.verification.damage_reporter import DamageReporter
from node.lifecycle.verification.published_digests import digests_of
from node.storage.index.engine import Index
from node.storage.index.series.verification import Inventory
from node.storage.integrity import Damage, check_published

_REMEMBERED: Final = 4096  # files that were compared
_State = tuple[str, int, int, int, int, str]


class PublishedFiles:
    """Compares files with their recorded checksums; again only when they have changed.

    Args:
        index: has the checksums.
        root: `storage.root`.
        folder: the output folder.
        clock: seconds since 1970, UTC.
    """

    def __init__(
        self, index: Index, root: Path, folder: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self._inventory = Inventory(index)
        self._reporter = DamageReporter(index, root, clock)
        self._folder = folder.absolute()
        self._undamaged: OrderedDict[_State, None] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, series_pk: int, file: Path) -> None:
        """Check that a published file is undamaged.

        Args:
            series_pk: the key of the series in the index.
            file: a file in the output folder.

        Raises:
            HTTPException: 503, the file is damaged or is being replaced.
            Retryable: the index or the output folder cannot be read at present.
        """
        outputs = self._inventory.outputs_of(series_pk)
        name = file.relative_to(self._folder).as_posix()
        digests = {} if outputs is None else digests_of(outputs, self._folder)
        if outputs is None or name not in digests:
            raise HTTPException(503, "the file is being replaced; try again")
        try:
            self._compare(file, digests[name])
        except Damage as damage:
            if not self._reporter.record_output(outputs, name, damage):
                raise HTTPException(503, "the file is being replaced; try again") from damage
            raise HTTPException(
                503, f"{damage.reason}: {damage.sentence}; the node makes it again from the archive"
            ) from damage

    def _compare(self, file: Path, digest: str) -> None:
        try:
            now = file.stat()
        except OSError:
            check_published(file, digest)
            return
        state = (str(file), now.st_mtime_ns, now.st_ctime_ns, now.st_ino, now.st_size, digest)
        with self._lock:
            if state in self._undamaged:
                self._undamaged.move_to_end(state)
                return
        check_published(file, digest)
        with self._lock:
            self._undamaged[state] = None
            while len(self._undamaged) > _REMEMBERED:
                self._undamaged.popitem(last=False)
