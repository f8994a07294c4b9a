"""The ingester as a process of its own: a copy of the node's, or, in the place of one that died,
a new one, both started by `IngestSupervisor`.

It reads bytes from stdin, one or more whenever something was answered, files what there is, and
writes to stdout what became of it. When stdin ends it files the rest and exits.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from node.core.logs import configure_logging
from node.core.supervision import Reporter, install_hooks
from node.core.system import interpreters
from node.storage.archive import Archive
from node.storage.index.engine import Index
from node.storage.index.store import Store
from node.storage.ingest.hashing import Hashing
from node.storage.ingest.ingester import Ingested, Ingester
from node.storage.ingest.priority import Priority
from node.storage.ingest.report import encode
from node.storage.ingest.retention import RetentionJob
from node.storage.ingest.service import IngestService
from node.storage.journal import Journal

_NICENESS: Final = 3  # a sender that waits for its answer comes first
_SWITCH_SECONDS: Final = 0.005  # Python's own: no thread here has anybody waiting for it
_CONTAINERS: Final = 50_000  # more than a batch has: it is gone before cycles are looked for in it


def main() -> None:
    """File as `IngestSupervisor` says."""
    said = interpreters.read_input()
    configure_logging(said["log"])
    file(said)


def file(said: Mapping[str, Any]) -> None:
    """File until stdin ends.

    Args:
        said: `root`, `url` of the database, `log` format, and `retention`.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # its parent says when it is time
    install_hooks()
    Reporter().start()
    os.nice(_NICENESS)
    sys.setswitchinterval(_SWITCH_SECONDS)
    root = Path(said["root"])
    archive, index = Archive(root), Index(said["url"], relaxed=True)
    journal = Journal(root)
    hashing, priority = Hashing(), Priority(journal.offsets.pressed)
    service = IngestService(
        journal,
        Ingester(archive, Store(index), time.time, priority.breathe, hashing),
        archive,
        index,
        wait=partial(_wait, priority),
        ingested=_report,
        retirement=_retirement(archive, index, said["retention"]),
    )
    gc.freeze()  # what is loaded stays: never looked through again
    gc.set_threshold(_CONTAINERS)
    try:
        service.run()
    finally:
        index.close()


def _retirement(
    archive: Archive, index: Index, retention: dict[str, Any] | None
) -> RetentionJob | None:
    if retention is None:
        return None
    days, most = retention["days"], retention["max_size"]
    return RetentionJob(archive, index, days=days, max_size=most, clock=time.time)


def _wait(priority: Priority, seconds: float) -> bool:
    priority.caught_up()
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    if not ready:
        return True
    return bool(os.read(sys.stdin.fileno(), 65536))


def _report(ingested: Ingested) -> None:
    try:
        os.write(sys.stdout.fileno(), encode(ingested))
    except BrokenPipeError:  # nobody listens any more: the filing goes on nevertheless
        return
