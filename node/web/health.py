"""The checks of `/health`: port, index, disk, and every thread and process of the node."""

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
from node.storage.index_completeness import check_running
from node.web.http.deadlines import Checks

FRESH_SECONDS = 2.0
"""A result is used again for so long: frequent requests must not become a load."""
_NAMED = 3
"""Damaged files that are listed; `rasnode verify` lists all."""
SLOW_SECONDS = 3.0
"""A disk that takes longer is failing or overloaded; some senders give up after ten seconds."""


class HealthCheck:
    """Runs the checks, at most once in `FRESH_SECONDS`.

    Args:
        index, archive: of the node.
        echo: sends a C-ECHO to the node's own port; raises NodeError if that is not answered.
        outputs: the folder that volumes are published in.
        minimum_free: bytes; with less the node refuses instances.
        ingest_blocked: whether received instances cannot be ingested at present.
        signs: the heartbeats of all threads and processes of the node.
        clock: seconds, monotonic.
        executor: why no volume can be made at present; None: volumes can be made.
        journal: what is wrong with the instances that are not ingested yet; None: nothing.
    """

    def __init__(
        self,
        index: Index,
        archive: Archive,
        outputs: Path,
        minimum_free: int,
        echo: Callable[[], None],
        ingest_blocked: Callable[[], bool],
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
                "ingest": lambda: _check_ingest(ingest_blocked),
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
        """The faults by the check's name; empty if the node is healthy."""
        with self._lock:
            if self._found is None or self._clock() - self._found[0] > FRESH_SECONDS:
                faults = self._checks.faults()
                if "index" in faults:  # the index has the list of damaged files
                    faults.pop("damage", None)
                self._found = (self._clock(), faults)
            found = self._found[1]
        return found | {sign.name: sign.fault for sign in self._signs() if sign.fault}

    def ages(self) -> dict[str, float]:
        """Seconds since each loop of the node last finished a step."""
        return {sign.name: round(sign.age, 1) for sign in self._signs()}


class _Unfit(NodeError):
    """The node cannot do its work, or senders wait too long."""


def _check_disk(archive: Archive, minimum_free: int) -> None:
    seconds = archive.check_writable()
    free = archive.free_bytes()
    if free < minimum_free:
        raise _Unfit(
            f"{free >> 20} MiB are free on the disk of storage.root; "
            f"storage.minimum_free is {minimum_free >> 20} MiB"
        )
    if seconds > SLOW_SECONDS:
        raise _Unfit(
            f"the disk of storage.root takes {seconds:.1f} s to write a few bytes: every C-STORE "
            "waits as long; look for an overloaded or failing disk"
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
        raise _Unfit(f"{named}{more} (`rasnode verify` lists all and checks again)")


def _check_output(outputs: Path) -> None:
    if fault := output_writable(outputs):
        raise _Unfit(f"no volume can be published: {fault}; received series are kept until it can")


def _check_ingest(ingest_blocked: Callable[[], bool]) -> None:
    if ingest_blocked():
        raise _Unfit(
            "received instances cannot be ingested, so C-STORE is answered 0xA700; the log "
            "says whether the disk or the database is the cause"
        )


def _check_assembly(executor: Callable[[], str | None]) -> None:
    fault = executor()
    if fault is not None:
        raise _Unfit(fault)
