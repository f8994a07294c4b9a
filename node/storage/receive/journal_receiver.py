"""Receiving instances into the journal: one write and one sync, and then the answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from node.core.errors import Permanent, Retryable, StorageFull
from node.core.records import AssociationEnd
from node.core.system.disk import sync_folders
from node.storage.archive import Archive, file_meta
from node.storage.ingest.registration import check
from node.storage.journal import AssociationEnded, Draft, Entry, Journal, JournalWriter, Source
from node.storage.quarantine import Quarantine
from node.storage.quarantine.quotas import Quotas
from node.storage.receive.instance_receiver import Incoming, InstanceReceiver, sender_of
from node.storage.spill import Spill

_SETTLE_SECONDS: Final = 10.0


class JournalReceiver(InstanceReceiver):
    """Answers an instance once it is in the journal; the ingester does the rest.

    Args:
        archive: where data sets go that are too large for the journal.
        journal: says how far the ingester is.
        writer: of this process' partition.
        minimum_free: bytes; with less on the disk nothing is accepted.
        clock: seconds since 1970, UTC.
        quarantine: for refused instances; None: one with the usual limits.
        quotas: which senders have reached their limits; None: no limits.
    """

    def __init__(
        self,
        archive: Archive,
        journal: Journal,
        writer: JournalWriter,
        *,
        minimum_free: int,
        clock: Callable[[], float],
        quarantine: Quarantine | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        super().__init__(archive, minimum_free=minimum_free, clock=clock, quarantine=quarantine)
        self._quotas = quotas
        self._copies = threading.Lock()
        self._journal = journal
        self._writer = writer

    def ended(self, source: Source, end: AssociationEnd, at: float) -> None:
        """Note the end of an association by which instances were received.

        Args:
            source: the association.
            end: how it ended.
            at: when; seconds since 1970, UTC.

        Raises:
            Retryable: the journal does not take it.
        """
        self._writer.note(AssociationEnded(source, end, at))

    def settle(self) -> bool:
        """Wait until everything that any process has answered by now is in the index."""
        return self._journal.settle(_SETTLE_SECONDS)

    def store_together(
        self, incoming: Sequence[Incoming], meanwhile: Callable[[], None] = lambda: None
    ) -> Sequence[bool]:
        """As `InstanceReceiver.store_together`; instances are checked while the disk writes them.

        Args:
            incoming: the instances.
            meanwhile: called once, while the disk writes.

        Returns:
            For each, whether it may be answered 0x0000; if not, `store` says what to answer.
        """
        fits = [
            one.spill is None
            and len(one.data_set) <= self._writer.largest
            and not (self._quotas is not None and self._quotas.limits(one.source))
            for one in incoming
        ]
        draft = self._draft(incoming) if incoming and all(fits) else None
        try:
            good = [fit and _passes_check(one) for fit, one in zip(fits, incoming, strict=True)]
            ready = [one for one, is_good in zip(incoming, good, strict=True) if is_good]
            may = self._may_take(ready)
            meanwhile()
        except BaseException:
            if draft is not None:
                draft.drop()
            raise
        if draft is not None:
            if may and all(good):
                return [draft.keep()] * len(incoming)
            draft.drop()
        if not may:
            return [False] * len(incoming)
        done = self._writer.append_together([(self._entry(one), one.data_set) for one in ready])
        written = iter([True] * done + [False] * (len(ready) - done))
        return [is_good and next(written) for is_good in good]

    def answered(self) -> None:
        """The instances of `store_together` were answered: wake the ingester."""
        self._writer.wake_ingester()

    def _draft(self, incoming: Sequence[Incoming]) -> Draft | None:
        return self._writer.draft([(self._entry(one), one.data_set) for one in incoming])

    def _may_take(self, ready: Sequence[Incoming]) -> bool:
        if not ready or self._journal.offsets.ingest_blocked:
            return False
        try:
            self._check_space(sum(len(one.data_set) for one in ready), len(ready))
        except StorageFull:
            return False
        return True

    def _take(self, incoming: Incoming) -> None:
        _check(incoming)
        if self._journal.offsets.ingest_blocked:
            raise Retryable("the node cannot ingest earlier instances at the moment")
        self._check_space(len(incoming.data_set))
        with self._within_quotas(incoming):
            self._append(incoming)

    @contextmanager
    def _within_quotas(self, incoming: Incoming) -> Iterator[None]:
        """Check the sender's limits for one instance; the block stores it.

        Raises:
            QuotaReached: the sender has reached a limit.
            Retryable: the limits cannot be checked now.
        """
        quotas = self._quotas
        if quotas is None or not quotas.limits(incoming.source):
            yield
            return
        sender = sender_of(incoming.source)
        quotas.check_sender(sender)
        if not quotas.limits_copies(sender):
            yield
            return
        with self._copies:  # two versions checked at once would both pass
            if not self.settle():
                raise Retryable("earlier instances are not ingested yet")
            quotas.check_copy(sender, incoming.sop_instance_uid or "", incoming.data_set)
            yield

    def _append(self, incoming: Incoming) -> None:
        if incoming.spill is not None:
            self._append_file(incoming, incoming.spill)
        elif len(incoming.data_set) > self._writer.largest:
            spill = self._spilled(incoming)
            try:
                self._append_file(incoming, spill)
            finally:
                spill.close()
        else:
            self._writer.append(self._entry(incoming), incoming.data_set)

    def _append_file(self, incoming: Incoming, spill: Spill) -> None:
        spill.sync()
        try:
            sync_folders([spill.path.parent])
        except OSError as error:
            raise Retryable(f"the archive cannot be synced: {error.strerror}") from error
        self._writer.append(self._entry(incoming, spill), b"")
        spill.keep()

    def _spilled(self, incoming: Incoming) -> Spill:
        meta = file_meta(
            incoming.sop_class_uid or "",
            incoming.sop_instance_uid or "",
            incoming.transfer_syntax_uid,
            incoming.source_ae,
        )
        spill = self._archive.spill(meta, self._check_space)
        spill.write(memoryview(incoming.data_set))
        return spill

    def _entry(self, incoming: Incoming, spill: Spill | None = None) -> Entry:
        return Entry(
            incoming.sop_class_uid or "",
            incoming.sop_instance_uid or "",
            incoming.transfer_syntax_uid,
            self._clock() if incoming.received_at is None else incoming.received_at,
            incoming.source,
            spill.path.name if spill else "",
            spill.offset if spill else 0,
            "" if incoming.source else incoming.source_ae,
            spill.crc if spill else None,
        )

    def _backlog(self) -> int:
        return self._writer.backlog()


def _passes_check(incoming: Incoming) -> bool:
    try:
        _check(incoming)
    except Permanent:
        return False
    return True


def _check(incoming: Incoming) -> None:
    check(
        incoming.data_set,
        incoming.transfer_syntax_uid,
        sop_class_uid=incoming.sop_class_uid,
        sop_instance_uid=incoming.sop_instance_uid,
        alike=incoming.alike,
    )
