"""Can the node take an instance now: port, index, disk, and what files the instances."""

from __future__ import annotations

import threading
from collections.abc import Callable

from node.archive import Archive
from node.errors import NodeError
from node.index.engine import Index
from node.index.inspection import check_writable

FRESH_SECONDS = 2.0
"""A finding is used again for so long: asking often must not become a load of its own."""
SLOW_SECONDS = 3.0
"""A disk that takes so long is failing or overloaded; some senders give up after ten of them."""


class HealthCheck:
    """Finds out, at most once in `FRESH_SECONDS`.

    Args:
        echo: sends a C-ECHO to the node's own port; raises NodeError if that is not answered.
        minimum_free: bytes; with less the node refuses instances.
        stuck: whether what was received cannot be filed for the time being.
        clock: seconds, monotonic.
        executor: why no volume can be made for the time being; None: they can.
    """

    def __init__(
        self,
        index: Index,
        archive: Archive,
        minimum_free: int,
        echo: Callable[[], None],
        stuck: Callable[[], bool],
        clock: Callable[[], float],
        executor: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._checks: dict[str, Callable[[], None]] = {
            "dicom": echo,
            "index": lambda: check_writable(index),
            "disk": lambda: _check_disk(archive, minimum_free),
            "filing": lambda: _check_filing(stuck),
            "assembly": lambda: _check_assembly(executor),
        }
        self._clock = clock
        self._lock = threading.Lock()
        self._found: tuple[float, dict[str, str]] | None = None

    def faults(self) -> dict[str, str]:
        """What is wrong, by the check's name; empty if all is well."""
        with self._lock:
            if self._found is None or self._clock() - self._found[0] > FRESH_SECONDS:
                self._found = (self._clock(), self._look())
            return self._found[1]

    def _look(self) -> dict[str, str]:
        faults = {}
        for name, check in self._checks.items():
            try:
                check()
            except (NodeError, OSError) as error:
                faults[name] = str(error)
        return faults


class _Unfit(NodeError):
    """The node refuses instances, or lets senders wait for too long."""


def _check_disk(archive: Archive, minimum_free: int) -> None:
    seconds = archive.check_writable()
    free = archive.free_bytes()
    if free < minimum_free:
        raise _Unfit(
            f"{free >> 20} MiB are free below storage.root; "
            f"storage.minimum_free keeps {minimum_free >> 20} MiB"
        )
    if seconds > SLOW_SECONDS:
        raise _Unfit(
            f"the disk of storage.root takes {seconds:.1f} s to write a few bytes: senders wait "
            "as long for each answer"
        )


def _check_filing(stuck: Callable[[], bool]) -> None:
    if stuck():
        raise _Unfit(
            "what was received cannot be filed, so that C-STORE is answered 0xA700; the log says "
            "whether the disk or the database is to blame"
        )


def _check_assembly(executor: Callable[[], str | None]) -> None:
    fault = executor()
    if fault is not None:
        raise _Unfit(fault)
