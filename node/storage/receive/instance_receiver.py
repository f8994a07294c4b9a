"""Which instances are accepted, which are refused and with what status; no storage of its own."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from node.core import metrics
from node.core.errors import InvalidUID, MalformedDataSet, QuotaReached, Retryable, StorageFull
from node.core.rate_limited_log import RateLimitedLog
from node.core.records import InstanceRecord, Stored, checked_uid
from node.core.sender_addresses import IMPORTED, neighbourhood
from node.dicom import HeaderTemplate, find_data_set
from node.storage.archive import Archive, ArchivedFile, Buffer, file_meta
from node.storage.free_space import FreeSpaceGuard
from node.storage.ingest.registration import Mismatch, Registration
from node.storage.journal import Source
from node.storage.quarantine import Quarantine
from node.storage.spill import Spill

log = logging.getLogger(__name__)

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700  # PS3.4 Table B.2-1
DATA_SET_MISMATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000


class Incoming(msgspec.Struct, frozen=True):
    """One C-STORE request, or one file of an import.

    Attributes:
        sop_class_uid: as the C-STORE command says; None without a command.
        sop_instance_uid: likewise.
        data_set: as the peer encoded it.
        source_ae: AE title of the sender.
        source: the association that carries it; None for an import.
        spill: the file that holds the data set, if it is too large for memory.
        alike: what the association's data sets before were like, from `alike_to_check`.
        received_at: seconds since 1970; None: the time at which it is stored.
    """

    sop_class_uid: str | None
    sop_instance_uid: str | None
    transfer_syntax_uid: str
    data_set: Buffer
    source_ae: str = ""
    source: Source | None = None
    spill: Spill | None = None
    alike: HeaderTemplate | None = None
    received_at: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a C-STORE request.

    Attributes:
        status: PS3.4 Table B.2-1.
        comment: Error Comment, at most 64 characters, without data of the patient.
        stored: how the index took it; None if that is not known yet, or it was refused.
    """

    status: int
    comment: str = ""
    stored: Stored | None = None


class InstanceReceiver(ABC):
    """Accepts instances, or refuses them by name. Safe for many threads.

    Args:
        archive: where large data sets are written to.
        minimum_free: bytes; with less on the disk nothing is accepted.
        clock: seconds since 1970, UTC.
        quarantine: for refused instances; None: one with the usual limits.
    """

    def __init__(
        self,
        archive: Archive,
        *,
        minimum_free: int,
        clock: Callable[[], float],
        quarantine: Quarantine | None = None,
    ) -> None:
        self._archive = archive
        self._quarantine = quarantine or Quarantine(archive.quarantine, clock=clock)
        self._free_space = FreeSpaceGuard(archive.free, minimum_free, self._backlog)
        self._clock = clock
        self._limited_log = RateLimitedLog(log)

    @abstractmethod
    def _take(self, incoming: Incoming) -> Stored | None:
        """Check an instance and make it durable.

        Raises:
            Mismatch, MalformedDataSet, InvalidUID: it is refused for good.
            QuotaReached, Retryable: it is refused for now.
        """

    def _backlog(self) -> int:
        """Bytes that were accepted and will still need room in the archive."""
        return 0

    def settle(self) -> bool:
        """Wait until everything answered by now is in the index; False if it takes too long."""
        return True

    def store(self, incoming: Incoming) -> Outcome:
        """Make one instance durable and return the answer: 0x0000 only after that."""
        try:
            return self.store_or_raise(incoming)
        except QuotaReached as error:
            self._limited_log.say(str(error), f"the node answers 0xA700: {error}")
            metrics.refused(OUT_OF_RESOURCES)
            return Outcome(OUT_OF_RESOURCES, error.comment)
        except Retryable as error:
            self._limited_log.say(type(error).__name__, f"the node answers 0xA700: {error}")
            metrics.refused(OUT_OF_RESOURCES)
            return Outcome(OUT_OF_RESOURCES, "out of resources, try again later")

    def store_or_raise(self, incoming: Incoming) -> Outcome:
        """As `store`, but what may succeed later is raised.

        Raises:
            Retryable: there is no room, or the ingester does not keep up.
            QuotaReached: the sender has reached a limit.
        """
        try:
            stored = self._take(incoming)
        except Mismatch as error:
            return self._refuse(incoming, DATA_SET_MISMATCH, "mismatch", str(error))
        except MalformedDataSet as error:
            return self._refuse(incoming, CANNOT_UNDERSTAND, "malformed-data-set", str(error))
        except InvalidUID as error:
            return self._refuse(incoming, CANNOT_UNDERSTAND, "invalid-uid", str(error))
        return Outcome(SUCCESS, stored=stored)

    def store_together(
        self, incoming: Sequence[Incoming], meanwhile: Callable[[], None] = lambda: None
    ) -> Sequence[bool]:
        """Make several instances durable with one sync, waiting for nothing but the disk.

        Args:
            incoming: the instances.
            meanwhile: called once, while the disk writes.

        Returns:
            For each, whether it may be answered 0x0000; if not, `store` says what to answer.
        """
        meanwhile()
        return [False] * len(incoming)

    def answered(self) -> None:  # noqa: B027  there may be nothing to do
        """The instances of `store_together` were answered."""

    def spill(
        self, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae: str
    ) -> Spill:
        """Begin a file for a data set that is too large for memory.

        Args:
            sop_class_uid: as the C-STORE command says.
            sop_instance_uid: likewise.
            transfer_syntax_uid: of the data set.
            source_ae: AE title of the sender.

        Raises:
            StorageFull: there is no room for it.
        """
        self._check_space(0)
        meta = file_meta(
            _safe_uid(sop_class_uid), _safe_uid(sop_instance_uid), transfer_syntax_uid, source_ae
        )
        return self._archive.spill(meta, self._check_space)

    def _check_space(self, size: int, files: int = 1) -> None:
        self._free_space.take(size, files)

    def _refuse(self, incoming: Incoming, status: int, name: str, sentence: str) -> Outcome:
        now = datetime.fromtimestamp(self._clock(), UTC)
        kept = None
        if len(incoming.data_set) and self._has_room(len(incoming.data_set)):
            kept = self._quarantine.refused(
                sender_of(incoming.source),
                file_meta(
                    _safe_uid(incoming.sop_class_uid),
                    _safe_uid(incoming.sop_instance_uid),
                    incoming.transfer_syntax_uid,
                    incoming.source_ae,
                ),
                incoming.data_set,
                {
                    "reason": name,
                    "sentence": sentence,
                    "status": f"0x{status:04X}",
                    "from": incoming.source_ae,
                    "received": now.isoformat(),
                    "transfer_syntax": incoming.transfer_syntax_uid,
                },
            )
        log.warning(
            "an instance from %s was refused with 0x%04X, %s: %s; %s",
            incoming.source_ae or "an unnamed sender",
            status,
            name,
            sentence,
            f"quarantine/{kept} has its bytes" if kept else "its bytes were not kept",
            extra={"peer": incoming.source_ae, "instance": _safe_uid(incoming.sop_instance_uid)},
        )
        metrics.refused(status)
        return Outcome(status, sentence[:64])

    def _has_room(self, size: int) -> bool:
        try:
            self._check_space(size)
        except StorageFull:
            return False
        return True


def sender_of(source: Source | None) -> str:
    """The sender that an instance counts for in quotas; an import if it has no association."""
    return neighbourhood(source.address) if source is not None else IMPORTED


def record_of(
    registration: Registration, transfer_syntax_uid: str, placed: ArchivedFile, now: float
) -> InstanceRecord:
    """The index's record of an instance that has its archive file.

    Args:
        registration: what was read of its header.
        transfer_syntax_uid: of its data set.
        placed: its archive file.
        now: when it was received; seconds since 1970, UTC.
    """
    return InstanceRecord(
        sop_instance_uid=registration.sop_instance_uid,
        sop_class_uid=registration.sop_class_uid,
        series_instance_uid=registration.series_instance_uid,
        study_instance_uid=registration.study_instance_uid,
        transfer_syntax_uid=transfer_syntax_uid,
        path=placed.path,
        size=placed.size,
        sha256=registration.sha256,
        data_set_offset=placed.data_set_offset,
        pixel_offset=registration.pixel_offset,
        pixel_length=registration.pixel_length,
        attributes=registration.attributes,
        header=registration.header,
        received_at=now,
        crc32=registration.crc32,
        fresh=placed.fresh,
    )


def incoming_from_file(data: bytes | memoryview) -> Incoming:
    """The content of a Part 10 file as a C-STORE request: its meta information is the command.

    Raises:
        MalformedDataSet: it is not a DICOM file.
    """
    start = find_data_set(data)
    return Incoming(
        sop_class_uid=start.sop_class_uid,
        sop_instance_uid=start.sop_instance_uid,
        transfer_syntax_uid=start.transfer_syntax_uid,
        data_set=memoryview(data)[start.offset :],
        source_ae=start.source_ae,
    )


def _safe_uid(value: str | None) -> str:
    try:
        return checked_uid(value or "", "UID")
    except InvalidUID:
        return ""
