"""What one process needs to serve the DICOM port."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from node.core.settings.model import Dicom, Settings
from node.dimse.scp.application_entity import StorageSCP
from node.dimse.scp.associations import Associations
from node.dimse.scp.services import Services
from node.dimse.upper_layer.association_server import Shared
from node.storage.archive import Archive
from node.storage.index.engine import Index
from node.storage.index.series.conflicts import Conflicts
from node.storage.journal import Journal, JournalWriter
from node.storage.journal.segment import count_for, size_for
from node.storage.quarantine import Quarantine
from node.storage.quarantine.quotas import Quotas
from node.storage.receive.journal_receiver import JournalReceiver


class Receiver:
    """Receives into one partition of the journal, and answers queries.

    Args:
        settings: the node's.
        archive: the archive.
        index: the index.
        journal: the journal.
        run: identifies this run of the node.
        partition: of the journal; no other process writes to it.
        wake_ingester: tells the ingester that there are new records.
        listening: the socket that the receivers share; None: it opens its own.

    Raises:
        StorageFull: the journal cannot be opened.
    """

    def __init__(
        self,
        settings: Settings,
        archive: Archive,
        index: Index,
        journal: Journal,
        *,
        run: str,
        partition: int,
        wake_ingester: Callable[[], None],
        listening: socket.socket | None = None,
    ) -> None:
        self._dicom = settings.dicom
        offsets, free = journal.offsets, archive.free_bytes()
        self._writer = JournalWriter(
            journal.folder, partition, offsets, size_for(free), wake_ingester, most=count_for(free)
        )
        kept = settings.storage.quarantine
        quarantine = Quarantine(archive.quarantine, per_peer=kept.per_peer, days=kept.days)
        self._quotas = Quotas(quarantine, Conflicts(index), settings.storage.conflicts.per_peer)
        receiver = JournalReceiver(
            archive,
            journal,
            self._writer,
            minimum_free=settings.storage.minimum_free,
            clock=time.time,
            quarantine=quarantine,
            quotas=self._quotas,
        )
        self._services = Services(index, archive, lambda: self._dicom, time.time)
        self._scp = StorageSCP(
            settings.dicom,
            receiver,
            Associations(receiver.ended, process=run, clock=time.time),
            services=self._services.services,
            handlers=self._services.handlers,
            shared=None
            if listening is None
            else Shared(
                listening,
                elsewhere=lambda: offsets.all_associations() - offsets.associations(partition),
                counted=lambda count: offsets.set_associations(partition, count),
            ),
        )

    @property
    def port(self) -> int:
        """The DICOM port, once started."""
        return self._scp.port

    def start(self) -> None:
        """Open the port.

        Raises:
            ConfigError: the port is in use or not allowed, or a certificate cannot be used.
        """
        self._quotas.start()
        self._services.start()
        self._scp.start()

    def allow(self, dicom: Dicom) -> None:
        """Apply changed peers, rules and certificates."""
        self._dicom = dicom
        self._scp.allow(dicom)

    def stop(self, seconds: float) -> None:
        """Accept no more associations, let open C-STOREs answer for so many seconds, and end."""
        self._scp.stop(seconds)
        self._services.stop()
        self._quotas.stop()
        self._writer.close()
