"""Access of an import to the journal: beside a running node, or, without one, with an ingester of
its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed
from tenacity.stop import stop_when_event_set

from node.core.errors import ConfigError, NodeError
from node.core.settings.model import Settings
from node.core.supervision import background
from node.storage import index_completeness
from node.storage.archive import Archive
from node.storage.identity import claim, refuse_foreign
from node.storage.index.engine import Index
from node.storage.index.store import Store
from node.storage.ingest.ingester import Ingester
from node.storage.ingest.recovery import recover
from node.storage.ingest.service import IngestService
from node.storage.journal import Journal
from node.storage.journal.import_partitions import claimed_partition
from node.storage.root_lock import RootInUse, is_serving, sole_owner

_BUSY_SECONDS: Final = 60.0  # for a node that starts, or for another import
_POLL_SECONDS: Final = 0.2


class RootBusy(NodeError):
    """Another process holds the storage root, and an import cannot write to the journal yet."""


@dataclass(frozen=True, slots=True)
class Access:
    """The journal, and a partition that this process alone writes to.

    Attributes:
        journal: the journal.
        index: the index.
        partition: its number.
        wake_ingester: tells the ingester that there are new records.
        has_node: whether a running node ingests them, and makes volumes.
    """

    journal: Journal
    index: Index
    partition: int
    wake_ingester: Callable[[], None]
    has_node: bool


@contextmanager
def journal_access(settings: Settings, stopping: threading.Event) -> Iterator[Access]:
    """A partition of the journal for an import, until the block ends.

    Args:
        settings: the node's.
        stopping: once it is set, the wait for other processes ends.

    Raises:
        ConfigError: the root cannot be used, or not by this user.
        RootBusy: a node is starting, an index is being rebuilt, or too many imports are running.
    """
    with ExitStack() as stack:
        _check_user(settings)
        access = Retrying(
            retry=retry_if_exception_type(RootBusy),
            stop=stop_after_delay(_BUSY_SECONDS) | stop_when_event_set(stopping),
            wait=wait_fixed(_POLL_SECONDS),
            reraise=True,
        )(_open, settings, stack)
        yield access


def _open(settings: Settings, stack: ExitStack) -> Access:
    root = settings.storage.root
    with ExitStack() as undo:
        wake, has_node = None, True
        try:
            undo.enter_context(sole_owner(root, patience=0.0))
        except RootInUse:
            index = Index(settings.database_url())
        else:
            index, has_node = Index(settings.database_url(), relaxed=True), False
        undo.callback(index.close)
        refuse_foreign(index, root)
        index_completeness.check(index, root)
        journal = Journal(root)
        undo.callback(journal.close)
        if not has_node:
            wake = undo.enter_context(_own_ingester(settings, journal, index))
        partition = undo.enter_context(claimed_partition(journal.folder))
        if partition is None:
            raise RootBusy(
                "the largest number of imports is running already; start this one again when "
                "another one has ended"
            )
        # Only after the claim: a node that starts from here on leaves the partition alone.
        if has_node and not is_serving(root):
            raise RootBusy(
                f"another rasnode process holds storage.root {root} and does not ingest: a node "
                "that is starting or is of another version, an import without a node, or "
                "`rasnode reindex`; try again when it is done"
            )
        stack.enter_context(undo.pop_all())
    return Access(journal, index, partition, wake or _nothing, has_node)


@contextmanager
def _own_ingester(
    settings: Settings, journal: Journal, index: Index
) -> Iterator[Callable[[], None]]:
    """Ingest in a thread until the block ends; yields a function that wakes it."""
    archive = Archive(settings.storage.root)
    archive.prepare()
    index.migrate()
    claim(index, settings.storage.root)
    ingester = Ingester(archive, Store(index), time.time)
    recover(journal, ingester, archive, index, time.time)
    index_completeness.begin(index, settings.storage.root)
    woken, stopping = threading.Event(), threading.Event()

    def wait(seconds: float) -> bool:
        woken.wait(seconds)
        woken.clear()
        return not stopping.is_set()

    service = IngestService(journal, ingester, archive, index, wait=wait, ingested=_nothing)
    thread = background("ingester", service.run)
    try:
        yield woken.set
    finally:
        stopping.set()
        woken.set()
        thread.join(_BUSY_SECONDS)


def _check_user(settings: Settings) -> None:
    """Refuse another user: the node could not read that user's files in the journal."""
    root = settings.storage.root
    try:
        owner = (root / "journal").stat().st_uid
    except OSError:
        return  # there is none yet
    if owner != os.geteuid():
        raise ConfigError(
            f"{root} belongs to a node of another user (uid {owner}); import as that user, "
            f"such as with: sudo -u '#{owner}' rasnode import …"
        )


def _nothing(*_: object) -> None:
    """Do nothing: nobody needs the call."""
