"""What happened to a series, and what of it is to be delivered to whom. Plain values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from node.core.records import SeriesState, Verdict, address_of


class EventType(StrEnum):
    """What can be told of a series."""

    READY = "ready"  # a revision's files are visible
    SUPERSEDED = "superseded"  # an earlier revision's files were replaced or withdrawn
    NOT_A_VOLUME = "not-a-volume"
    FAILED = "failed"
    HELD = "held"


class DeliveryState(StrEnum):
    """How far a delivery is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"  # given up; `rasnode retry` takes it up again


@dataclass(frozen=True, slots=True)
class SeriesEvent:
    """Something that happened to a series.

    Attributes:
        occasion: tells it from other news of the same kind: the revision, or the series' change
            counter where no revision came of it.
        attributes: what the index keeps of series, study and patient; for rules, not for payloads.
        senders: the AE titles that the series came from.
        files: relative to the output folder.
        replaced: files that were visible until then, some perhaps under names that `files` has.
        part: which of the series that came under its UID, 0 for the first.
    """

    event_type: EventType
    series_uid: str
    study_uid: str
    occasion: str
    revision: int
    at: float
    state: SeriesState
    verdict: Verdict
    reasons: tuple[dict[str, Any], ...] = ()
    files: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    senders: tuple[str, ...] = ()
    part: int = 0

    def key(self, target: str) -> str:
        """The idempotency key: the same for the same news to the same target, for ever."""
        address = address_of(self.series_uid, self.part)
        text = "\n".join((address, self.event_type, self.occasion, target))
        return hashlib.sha256(text.encode()).hexdigest()[:40]


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """Something to tell.

    Attributes:
        key: idempotency key; a delivery whose key is known already is not added again.
        target: the name of an entry of `deliver:` in the settings.
    """

    key: str
    target: str
    event: str
    revision: int
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery as it stands."""

    id: int
    key: str
    series_pk: int
    series_uid: str
    target: str
    event: str
    revision: int
    payload: dict[str, Any]
    state: DeliveryState
    attempts: int
    due: float | None
    created_at: float
    error: str
    part: int = 0

    @property
    def series(self) -> str:
        """The address of its series."""
        return address_of(self.series_uid, self.part)
