"""Jobs that fetch studies from a peer: their states, and what is known of each row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class JobState(StrEnum):
    """Where a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ItemState(StrEnum):
    """Where a row of a job is, or a study of it."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    NOT_FOUND = "not-found"
    REFUSED = "refused"
    FAILED = "failed"


class Order(StrEnum):
    """What a person wants of a job."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"


OVER = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
"""States in which nothing more will be tried."""
WORST = (
    ItemState.COMPLETE,
    ItemState.INCOMPLETE,
    ItemState.NOT_FOUND,
    ItemState.REFUSED,
    ItemState.FAILED,
)
"""States of what has been tried, the worst one last."""


@dataclass(frozen=True, slots=True)
class NewPull:
    """A job to be made.

    Attributes:
        name: unlike any other job's.
        peer: its name in `dicom.peers`.
        rows: the line of the list and what is asked for, by keyword.
        series: what the series have to match, by keyword; empty: all are fetched.
        by: auto, move or get.
        window: `HH:MM-HH:MM` local time; empty: always.
        rate: `N/min` or `N MiB/s`; empty: as fast as the peer's own limits allow.
        parallel: retrieves at once.
    """

    name: str
    peer: str
    rows: tuple[tuple[int, Mapping[str, str]], ...]
    series: Mapping[str, str] = field(default_factory=dict)
    by: str = "auto"
    window: str = ""
    rate: str = ""
    parallel: int = 2


@dataclass(frozen=True, slots=True)
class PullJob:
    """A job as the index has it; `order` is what a person wants and has not been done yet."""

    pk: int
    name: str
    peer: str
    state: JobState
    order: Order | None
    series: Mapping[str, str]
    by: str
    window: str
    rate: str
    parallel: int
    reason: str
    created_at: float
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class PullItem:
    """A row of a job.

    Attributes:
        tries: how often it was tried and was not complete.
        due: when it may be tried, seconds since 1970.
    """

    pk: int
    job_pk: int
    row: int
    query: Mapping[str, str]
    state: ItemState
    reason: str
    tries: int
    due: float


@dataclass(frozen=True, slots=True)
class PullStudy:
    """A study that a row asks for.

    Attributes:
        expected: instances that the peer says there are; None: it does not say.
        received: how many of them are in the archive.
        missing: their SOP Instance UIDs, or, where the peer does not list them, a number for
            each Series Instance UID.
        missing_count: how many are missing; of a peer that says nothing 0.
        series: of each series `series_instance_uid`, `modality`, `expected` and `received`.
    """

    uid: str
    state: ItemState
    expected: int | None = None
    received: int = 0
    missing: tuple[str, ...] | Mapping[str, Any] = ()
    missing_count: int = 0
    series: tuple[Mapping[str, Any], ...] = ()
    reason: str = ""


def worst(states: list[ItemState]) -> ItemState:
    """The worst of the states of some studies; not found, if there are none."""
    return max(states, key=WORST.index) if states else ItemState.NOT_FOUND
