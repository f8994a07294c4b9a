"""Events of series and their deliveries, as plain values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from node.core.conditions.values import ConditionValues
from node.core.records import SeriesState, Verdict, address_of


class EventType(StrEnum):
    """Types of events that deliveries are made for."""

    READY = "ready"  # a revision's files are visible
    SUPERSEDED = "superseded"  # an earlier revision's files were replaced or withdrawn
    NOT_A_VOLUME = "not-a-volume"
    FAILED = "failed"
    HELD = "held"
    STUDY_READY = "study-ready"  # all known series of a study are at rest
    PROTOCOL_DRIFT = "protocol-drift"  # parameters differ from the protocol, or series are missing


class DeliveryState(StrEnum):
    """State of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"  # given up; `rasnode retry` takes it up again


@dataclass(frozen=True, slots=True)
class SeriesEvent:
    """An event of a series.

    Attributes:
        occasion: distinguishes events of one type: the revision, or the series' change counter if
            there is no new revision.
        attributes: attributes of series, study and patient in the index; for conditions, not for
            payloads.
        senders: AE titles of the peers that sent the series.
        files: paths relative to the output folder.
        replaced: files that were visible until then; some may have a name that is also in `files`.
        part: number of the series among those with its UID, 0 for the first.
        quality: figures of motion, tSNR and spikes of each volume, by its stem.
        drift: the parameters that differ from the expected protocols.
        called: AE titles under which they called the node.
        peers: names of the peers that sent it or that it was fetched from.
        pull_jobs: names of the jobs that fetched it.
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
    quality: dict[str, Any] = field(default_factory=dict)
    drift: tuple[dict[str, Any], ...] = ()
    called: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    pull_jobs: tuple[str, ...] = ()

    @property
    def condition_values(self) -> ConditionValues:
        """What the conditions of deliveries are compared with."""
        return ConditionValues(
            attributes=self.attributes,
            calling=self.senders,
            called=self.called,
            peers=self.peers,
            pull_jobs=self.pull_jobs,
            verdict=str(self.verdict),
        )

    def key(self, target: str) -> str:
        """Return the idempotency key: always the same for the same event and target."""
        address = address_of(self.series_uid, self.part)
        text = "\n".join((address, self.event_type, self.occasion, target))
        return hashlib.sha256(text.encode()).hexdigest()[:40]


@dataclass(frozen=True, slots=True)
class StudySeriesTold:
    """A series as an event of its study tells of it.

    Attributes:
        told: `series_instance_uid`, `address`, `state`, `verdict`, `revision`, `instances` and
            `outputs`, the files relative to the output folder.
        values: what conditions are compared with.
    """

    told: dict[str, Any]
    values: ConditionValues


@dataclass(frozen=True, slots=True)
class StudyEvent:
    """An event of a study: `study-ready`, `superseded` for an earlier one, or `protocol-drift`.

    Attributes:
        event_type: STUDY_READY, SUPERSEDED or PROTOCOL_DRIFT.
        study_uid: Study Instance UID.
        address: of its first series, as studies of several patients may share the UID.
        revision: of the study that the event is about.
        at: seconds since 1970.
        verdict: of the study.
        reasons: the evidence.
        series: at that revision.
        drift: the series of expected protocols that it lacks; `compared` has the addresses of the
            series that the conditions of the protocol choose.
    """

    event_type: EventType
    study_uid: str
    address: str
    revision: int
    at: float
    verdict: Verdict
    reasons: tuple[dict[str, Any], ...] = ()
    series: tuple[StudySeriesTold, ...] = ()
    drift: tuple[dict[str, Any], ...] = ()

    def key(self, target: str) -> str:
        """Return the idempotency key: always the same for the same event and target."""
        parts = ("study", self.study_uid, self.address, self.event_type, str(self.revision), target)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:40]


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A delivery to be added to the outbox.

    Attributes:
        key: idempotency key; a delivery with a known key is not added again.
        target: name of an entry of `deliver:` in the settings.
    """

    key: str
    target: str
    event: str
    revision: int
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery in the outbox; `description` is that of its series."""

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
    description: str = ""

    @property
    def series(self) -> str:
        """The address of its series: UID, and part if there are several."""
        return address_of(self.series_uid, self.part)
