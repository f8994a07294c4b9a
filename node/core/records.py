"""Frozen values that rooms hand to each other. No behaviour beyond what the value itself says."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from node.core.errors import InvalidUID

MAX_UID_LENGTH = 64  # PS3.5 9.1
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


def checked_uid(value: str, what: str) -> str:
    """Return `value` if it can safely name a file, else raise.

    Leading zeros in a component, which PS3.5 9.1 forbids and scanners send, are let through.

    Raises:
        InvalidUID: empty, longer than 64 characters, or with other than digits and dots.
    """
    if not value:
        raise InvalidUID(f"{what} is empty")
    if len(value) > MAX_UID_LENGTH:
        raise InvalidUID(f"{what} has {len(value)} characters; 64 is the most (PS3.5 9.1)")
    if not _UID.fullmatch(value):
        raise InvalidUID(f"{what} has other characters than digits and dots (PS3.5 9.1)")
    return value


class SeriesState(StrEnum):
    """Where a series is on its way to a volume."""

    RECEIVING = "receiving"
    SETTLED = "settled"
    ASSEMBLING = "assembling"
    READY = "ready"
    NOT_A_VOLUME = "not-a-volume"
    FAILED = "failed"
    HELD = "held"


class Verdict(StrEnum):
    """What the evidence says of a series."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    UNKNOWN = "unknown"


class AssociationEnd(StrEnum):
    """How an association came to its end, as far as the index knows."""

    OPEN = "open"
    RELEASED = "released"
    ABORTED = "aborted"
    LOST = "lost"  # the connection broke, or the node was not there to see the end


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of an association."""

    calling_ae: str
    called_ae: str
    address: str
    association: int  # its row in the index


def conflict_name(sop_uid: str, sha256: str) -> str:
    """The file name of other bytes under a SOP Instance UID that has a file."""
    return f"{sop_uid}.{sha256[:16]}.dcm"


class InstanceRecord(msgspec.Struct, frozen=True):
    """One SOP Instance: what the archive holds and what the index says of it.

    Attributes:
        path: relative to the archive folder.
        size: bytes of the whole file.
        sha256: of the data set's bytes as they were received (not of the file's meta group).
        data_set_offset: where the data set begins in the file.
        pixel_offset: where the pixel data element's value begins, counted from the data set's
            first byte; None without pixel data and for deflated data sets.
        pixel_length: its length in bytes; None if undefined (encapsulated).
        attributes: keyword -> value for every kept attribute that the instance has (see
            `node.core.query_keys`); sequences as lists of such mappings.
        header: the encoded `InstanceHeader` that assembly works from.
        received_at: seconds since 1970, UTC.
        crc32: of the data set; None: not known.
        fresh: its file was not there before, or held something else.
    """

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    path: str
    size: int
    sha256: str
    data_set_offset: int
    pixel_offset: int | None
    pixel_length: int | None
    attributes: dict[str, Any] = field(repr=False)
    header: bytes = field(repr=False)
    received_at: float = 0.0
    crc32: int | None = None
    fresh: bool = False


class Stored(StrEnum):
    """What became of an instance that was handed to the index."""

    NEW = "new"
    SAME = "same"  # the very same bytes were there already: nothing changed
    CONFLICT = "conflict"  # other bytes under the same SOP Instance UID: both are kept


@dataclass(frozen=True, slots=True)
class Arrival:
    """What one association brought to one series.

    Attributes:
        ended_at: seconds since 1970; None while the association is open.
        last_at: when its last new instance of this series was stored.
        instances: new ones; 0 if it only brought again what was there.
        repeated: it was cut, and later associations brought all of its instances again.
    """

    calling_ae: str
    address: str
    end: AssociationEnd
    ended_at: float | None
    first_at: float
    last_at: float
    instances: int
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """A series as the index knows it, without its instances.

    Attributes:
        part: which of the series that came under its UID, 0 for the first.
        change: compare-and-swap token; grows with every instance and every decision.
        revision: the published revision; 0 before the first.
        due: when the watcher should look again, seconds since 1970; None: after the next change.
        verdict: the last decision's verdict with its reasons, as it was written.
    """

    pk: int
    uid: str
    study_uid: str
    modality: str
    number: int | None
    description: str
    instances: int
    state: SeriesState
    state_since: float
    change: int
    revision: int
    first_arrival: float
    last_arrival: float
    due: float | None
    owner: str
    verdict: dict[str, Any] | None
    outputs: tuple[str, ...]
    part: int = 0

    @property
    def address(self) -> str:
        """What commands and URLs call it: no other series is called so."""
        return address_of(self.uid, self.part)


def address_of(uid: str, part: int) -> str:
    """What a series is called: its UID, and with `~1` the next that came under the same UID."""
    return f"{uid}~{part}" if part else uid


class Shared(StrEnum):
    """What two series have in common that should be the one's alone."""

    SERIES_UID = "series-uid"  # the Series Instance UID, under another study or patient
    INSTANCE_UIDS = "instance-uids"  # SOP Instance UIDs: one may be a copy of the other


class StoredInstance(msgspec.Struct, frozen=True):
    """Where an instance's bytes are, and the header that was read on arrival.

    Thousands of them go to another process at once, which this kind of value does the fastest.
    """

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: str  # relative to the archive folder
    size: int
    sha256: str
    data_set_offset: int
    pixel_offset: int | None
    pixel_length: int | None
    received_at: float
    header: bytes
    crc32: int | None = None  # of the data set; None: it came before that was kept
    conflict: bool = False

    def __repr__(self) -> str:
        return f"StoredInstance({self.sop_instance_uid})"  # the header tells of a person
