"""Can the node do its work now: port, index, disk, and every thread and process of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from node.core.errors import NodeError
from node.core.supervision import LoopState
from node.core.system.disk import output_writable
from node.storage.archive import Archive
from node.storage.index.engine import Index
from node.storage.index.inspection import check_writable
from node.storage.index.series.damages import Damages
from node.storage.index_holdings import check_running
from node.web.deadlines import Checks

FRESH_SECONDS = 2.0
"""A finding is used again for so long: asking often must not become a load of its own."""
_NAMED = 3
"""Damaged files that are named; `rasnode verify` names all."""
SLOW_SECONDS = 3.0
"""A disk that takes so long is failing or overloaded; some senders give up after ten of them."""


class HealthCheck:
    """Finds out, at most once in `FRESH_SECONDS`.

    Args:
        echo: sends a C-ECHO to the node's own port; raises NodeError if that is not answered.
        outputs: the folder that volumes are published in.
        minimum_free: bytes; with less the node refuses instances.
        stuck: whether what was received cannot be ingested for the time being.
        signs: how the loops of all threads and processes of the node are.
        clock: seconds, monotonic.
        executor: why no volume can be made for the time being; None: they can.
        journal: what is wrong with what was answered and is not ingested yet; None: nothing.
    """

    def __init__(
        self,
        index: Index,
        archive: Archive,
        outputs: Path,
        minimum_free: int,
        echo: Callable[[], None],
        stuck: Callable[[], bool],
        signs: Callable[[], Sequence[LoopState]],
        clock: Callable[[], float],
        executor: Callable[[], str | None] = lambda: None,
        journal: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._checks = Checks(
            {
                "dicom": echo,
                "index": lambda: _check_index(index, archive.root.parent),
                "journal": lambda: _check_journal(journal),
                "disk": lambda: _check_disk(archive, minimum_free),
                "ingest": lambda: _check_ingest(stuck),
                "assembly": lambda: _check_assembly(executor),
                "output": lambda: _check_output(outputs),
                "damage": lambda: _check_damage(Damages(index)),
            }
        )
        self._signs = signs
        self._clock = clock
        self._lock = threading.Lock()
        self._found: tuple[float, dict[str, str]] | None = None

    def faults(self) -> dict[str, str]:
        """What is wrong, by the check's name; empty if all is well."""
        with self._lock:
            if self._found is None or self._clock() - self._found[0] > FRESH_SECONDS:
                faults = self._checks.faults()
                if "index" in faults:  # what is damaged is known there
                    faults.pop("damage", None)
                self._found = (self._clock(), faults)
            found = self._found[1]
        return found | {sign.name: sign.fault for sign in self._signs() if sign.fault}

    def ages(self) -> dict[str, float]:
        """Seconds since each loop of the node last finished a step."""
        return {sign.name: round(sign.age, 1) for sign in self._signs()}


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


def _check_index(index: Index, root: Path) -> None:
    check_writable(index)
    check_running(index, root)


def _check_journal(journal: Callable[[], str | None]) -> None:
    if fault := journal():
        raise _Unfit(fault)


def _check_damage(damages: Damages) -> None:
    if count := sum(damages.count().values()):
        named = "; ".join(map(str, damages.all(_NAMED)))
        more = f" and {count - _NAMED} more" if count > _NAMED else ""
        raise _Unfit(f"{named}{more} (`rasnode verify` looks again)")


def _check_output(outputs: Path) -> None:
    if fault := output_writable(outputs):
        raise _Unfit(f"no volume can be published: {fault}; what is received is kept, and waits")


def _check_ingest(stuck: Callable[[], bool]) -> None:
    if stuck():
        raise _Unfit(
            "what was received cannot be ingested, so C-STORE is answered 0xA700; the log says "
            "whether the disk or the database is to blame"
        )


def _check_assembly(executor: Callable[[], str | None]) -> None:
    fault = executor()
    if fault is not None:
        raise _Unfit(fault)
