"""The ingester as a process of its own, started by `IngestSupervisor`.

It reads bytes from stdin, one or more whenever instances were answered, ingests them, and writes a
report of each batch to stdout. When stdin ends it ingests the rest and exits.
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

_NICENESS: Final = 3  # receivers, for which senders wait, come first
_SWITCH_SECONDS: Final = 0.005  # Python's default: no sender waits for a thread of this process
_CONTAINERS: Final = 50_000  # more than a batch has, so that it is freed before a collection


def main() -> None:
    """Ingest with the configuration of `IngestSupervisor`."""
    configuration = interpreters.read_input()
    configure_logging(configuration["log"], Path(configuration["root"]))
    ingest(configuration)


def ingest(configuration: Mapping[str, Any]) -> None:
    """Ingest until stdin ends.

    Args:
        configuration: `root`, `url` of the database, `log` format, and `retention`.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # its parent ends it by closing the pipe
    install_hooks()
    Reporter().start()
    os.nice(_NICENESS)
    sys.setswitchinterval(_SWITCH_SECONDS)
    root = Path(configuration["root"])
    archive, index = Archive(root), Index(configuration["url"], relaxed=True)
    journal = Journal(root)
    hashing, priority = Hashing(), Priority(journal.offsets.last_burst)
    service = IngestService(
        journal,
        Ingester(archive, Store(index), time.time, priority.give_way, hashing),
        archive,
        index,
        wait=partial(_wait, priority),
        ingested=_report,
        retention=_retention(archive, index, configuration["retention"]),
    )
    gc.freeze()  # collections need not look through what is loaded
    gc.set_threshold(_CONTAINERS)
    try:
        service.run()
    finally:
        index.close()


def _retention(
    archive: Archive, index: Index, retention: dict[str, Any] | None
) -> RetentionJob | None:
    if retention is None:
        return None
    days, most = retention["days"], retention["max_size"]
    return RetentionJob(archive, index, days=days, max_size=most, clock=time.time)


def _wait(priority: Priority, seconds: float) -> bool:
    priority.idle()
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    if not ready:
        return True
    return bool(os.read(sys.stdin.fileno(), 65536))


def _report(ingested: Ingested) -> None:
    try:
        os.write(sys.stdout.fileno(), encode(ingested))
    except BrokenPipeError:  # the parent is gone; the rest is ingested all the same
        return
