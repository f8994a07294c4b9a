"""Instances stored and ingested in this process, without a journal, for later stages' tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from node.core.records import Stored
from node.storage.archive import Archive
from node.storage.index.store import Store
from node.storage.ingest.ingester import Ingester
from node.storage.ingest.registration import check
from node.storage.journal import Entry, JournalRecord
from node.storage.receive.instance_receiver import Incoming, InstanceReceiver


class DirectReception(InstanceReceiver):
    """Files an instance before it is answered."""

    def __init__(
        self, archive: Archive, store: Store, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(archive, minimum_free=0, clock=clock)
        self._ingester = Ingester(archive, store, clock)
        self._turn = threading.Lock()

    def _take(self, incoming: Incoming) -> Stored:
        uids = check(
            incoming.data_set,
            incoming.transfer_syntax_uid,
            sop_class_uid=incoming.sop_class_uid,
            sop_instance_uid=incoming.sop_instance_uid,
        )
        entry = Entry(
            uids["sop_class_uid"],
            uids["sop_instance_uid"],
            incoming.transfer_syntax_uid,
            self._clock(),
            None,
            source_ae=incoming.source_ae,
        )
        with self._turn:
            ingested = self._ingester.ingest(
                [JournalRecord(entry, memoryview(incoming.data_set), 0)]
            )
        return ingested.outcomes[0][0]
