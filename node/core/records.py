"""Frozen values that rooms exchange, without behaviour of their own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import msgspec

from node.core.errors import InvalidUID

MAX_UID_LENGTH = 64  # PS3.5 9.1
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


def checked_uid(value: str, what: str) -> str:
    """Return a UID if it can safely name a file (PS3.5 9.1).

    Leading zeros in a component, which the standard forbids and scanners send, are accepted.

    Args:
        value: the UID.
        what: name of the attribute, for the error.

    Raises:
        InvalidUID: it is empty, longer than 64 characters, or has other characters than digits
            and dots.
    """
    if not value:
        raise InvalidUID(f"{what} is empty")
    if len(value) > MAX_UID_LENGTH:
        raise InvalidUID(f"{what} has {len(value)} characters; 64 is the most (PS3.5 9.1)")
    if not _UID.fullmatch(value):
        raise InvalidUID(f"{what} has other characters than digits and dots (PS3.5 9.1)")
    return value


class SeriesState(StrEnum):
    """State of a series on its way to a volume."""

    RECEIVING = "receiving"
    SETTLED = "settled"
    ASSEMBLING = "assembling"
    READY = "ready"
    NOT_A_VOLUME = "not-a-volume"
    FAILED = "failed"
    HELD = "held"
    JOINED = "joined"  # its images are a volume of a run under another series


AT_REST: Final = (
    SeriesState.READY,
    SeriesState.NOT_A_VOLUME,
    SeriesState.FAILED,
    SeriesState.HELD,
    SeriesState.JOINED,
)
"""States in which nothing more is done with a series unless something happens to it."""


class StudyState(StrEnum):
    """State of a study; the table of transitions is in docs/completion.md."""

    RECEIVING = "receiving"  # a series of it is not at rest
    WAITING = "waiting"  # its series are at rest; announced ones, or silence, are waited for
    READY = "ready"  # all known series are at rest, and that was told of


class Verdict(StrEnum):
    """What the evidence says about the completeness of a series."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    UNKNOWN = "unknown"


class AssociationEnd(StrEnum):
    """How an association ended, as far as the index knows."""

    OPEN = "open"
    RELEASED = "released"
    ABORTED = "aborted"
    LOST = "lost"  # the connection broke, or the node was not there to see the end


@dataclass(frozen=True, slots=True)
class Peer:
    """The peer of an association: AE titles, address, and the association's row in the index."""

    calling_ae: str
    called_ae: str
    address: str
    association: int  # its row in the index


def conflict_name(sop_uid: str, sha256: str) -> str:
    """Return the file name of another version of an instance that is archived already.

    Args:
        sop_uid: SOP Instance UID.
        sha256: of the other version's data set, hexadecimal.
    """
    return f"{sop_uid}.{sha256[:16]}.dcm"


class InstanceRecord(msgspec.Struct, frozen=True):
    """One SOP Instance in archive and index.

    Attributes:
        path: relative to the archive folder.
        size: bytes of the whole file.
        sha256: of the data set as received, without the file's meta group; hexadecimal.
        data_set_offset: byte of the file at which the data set begins.
        pixel_offset: byte of the data set at which the value of the pixel data begins; None without
            pixel data and for deflated data sets.
        pixel_length: its length in bytes; None if undefined (encapsulated).
        attributes: keyword -> value of the instance's attributes that the index keeps (see
            `node.core.query_keys`); sequences as lists of such mappings.
        header: the encoded `InstanceHeader` for assembly.
        received_at: seconds since 1970, UTC.
        crc32: of the data set; None if not known.
        fresh: its file did not exist before, or had another content.
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
    """Outcome of storing an instance in the index."""

    NEW = "new"
    SAME = "same"  # the same bytes are archived already: nothing changed
    CONFLICT = "conflict"  # other bytes under the same SOP Instance UID: both are kept


@dataclass(frozen=True, slots=True)
class Arrival:
    """The instances of one series that one association sent.

    Attributes:
        ended_at: seconds since 1970; None while the association is open.
        first_at, last_at: when its first and last new instance of the series was stored.
        instances: number of new instances; 0 if all were archived already.
        repeated: the association broke, and later ones sent all of its instances again.
        called_ae: the AE title under which the node was called.
    """

    calling_ae: str
    address: str
    end: AssociationEnd
    ended_at: float | None
    first_at: float
    last_at: float
    instances: int
    repeated: bool = False
    called_ae: str = ""


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """A series in the index, without its instances.

    Attributes:
        part: number of the series among those with its UID, 0 for the first.
        change: compare-and-swap token; grows with every instance and every decision.
        revision: the published revision; 0 before the first.
        due: when the watcher looks again, seconds since 1970; None: after the next change.
        verdict: verdict and reasons of the last decision.
        run: the row of the series whose volume has the images of this one; None: it has its own.
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
    run: int | None = None

    @property
    def address(self) -> str:
        """Its unique name in commands and URLs."""
        return address_of(self.uid, self.part)


def address_of(uid: str, part: int) -> str:
    """Return the address of a series: its UID, with `~1` for the next series under that UID.

    Args:
        uid: Series Instance UID.
        part: number of the series among those with its UID, 0 for the first.

    Examples:
        >>> address_of("1.2.3", 0), address_of("1.2.3", 1)
        ('1.2.3', '1.2.3~1')
    """
    return f"{uid}~{part}" if part else uid


class Shared(StrEnum):
    """Identifiers that two series share although each should be unique."""

    SERIES_UID = "series-uid"  # the Series Instance UID, under another study or patient
    INSTANCE_UIDS = "instance-uids"  # SOP Instance UIDs: one may be a copy of the other


class StoredInstance(msgspec.Struct, frozen=True):
    """Where an instance's bytes are, and the header that was read on receipt.

    Thousands of them are sent to another process at once, for which msgspec is the fastest.
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
    crc32: int | None = None  # of the data set; None: received by a version that kept none
    conflict: bool = False

    def __repr__(self) -> str:
        return f"StoredInstance({self.sop_instance_uid})"  # the header has patient data
