"""Instances that come by C-GET: into the journal, as those of a C-STORE."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from node.core.errors import Retryable
from node.core.settings.model import Storage
from node.dimse.scu.retrieve import Received
from node.storage.importing.partition_receiver import partition_receiver
from node.storage.journal import Journal
from node.storage.journal.import_partitions import claimed_partition
from node.storage.receive.instance_receiver import Incoming
from node.storage.receive.journal_receiver import JournalReceiver


class GetReceiving:
    """A partition of the journal, as long as somebody fetches by C-GET. For many threads.

    Args:
        storage: the settings.
        journal: the node's.
        ring: wakes the ingester.
    """

    def __init__(self, storage: Storage, journal: Journal, ring: Callable[[], None]) -> None:
        self._storage = storage
        self._journal = journal
        self._ring = ring
        self._lock = threading.Lock()
        self._users = 0
        self._open = ExitStack()
        self._receiver: JournalReceiver | None = None

    @contextmanager
    def store(self, sender: str) -> Iterator[Callable[[Received], int]]:
        """What makes an instance durable and returns the status of its C-STORE response.

        Args:
            sender: AE title of the peer.

        Raises:
            Retryable: as many imports are under way as there may be, or the disk is full.
        """
        receiver = self._enter()
        try:
            yield lambda received: _stored(receiver, received, sender)
        finally:
            self._leave()

    def _enter(self) -> JournalReceiver:
        with self._lock:
            if self._receiver is None:
                self._receiver = self._opened()
            self._users += 1
            return self._receiver

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._receiver = None
                self._open.close()

    def _opened(self) -> JournalReceiver:
        with ExitStack() as undo:
            number = undo.enter_context(claimed_partition(self._journal.folder))
            if number is None:
                raise Retryable("as many imports are under way as there may be at once")
            receiver = undo.enter_context(
                partition_receiver(self._storage, self._journal, number, self._ring)
            )
            self._open = undo.pop_all()
        return receiver


def _stored(receiver: JournalReceiver, received: Received, sender: str) -> int:
    outcome = receiver.store(
        Incoming(
            sop_class_uid=received.sop_class_uid,
            sop_instance_uid=received.sop_instance_uid,
            transfer_syntax_uid=received.transfer_syntax_uid,
            data_set=received.data_set,
            source_ae=sender,
        )
    )
    return outcome.status
