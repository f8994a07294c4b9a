"""Storage commitment requests: kept until they are reported, also over restarts (PS3.4 J.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, func, insert, select, update

from node.storage.index.engine import Index
from node.storage.index.schema import CommitmentRow, InstanceRow, SeriesRow
from node.storage.index.search import where
from node.storage.index.search.search import Sendable, sendable_columns

LEASE_SECONDS = 900.0  # after which an attempt that did not end is repeated
_MOST_AT_ONCE = 500  # references looked up in one statement
_NEXT_DUE: Final = select(func.min(CommitmentRow.due))


@dataclass(frozen=True, slots=True)
class Commitment:
    """A request that waits for its report.

    Attributes:
        pk: its row.
        peer: AE title of the requestor.
        instances: SOP Class UID and SOP Instance UID of each.
        requested_at: seconds since 1970.
        attempts: how many reports were tried, this one included.
    """

    pk: int
    peer: str
    transaction_uid: str
    instances: tuple[tuple[str, str], ...]
    requested_at: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Held:
    """An instance in the index, and the series that it belongs to."""

    instance: Sendable
    series_uid: str


class Commitments:
    """The queue of reports."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def add(
        self, peer: str, transaction_uid: str, instances: Sequence[tuple[str, str]], now: float
    ) -> None:
        """Add a request; it replaces an earlier one of the same transaction.

        Args:
            peer: AE title of the requestor.
            transaction_uid: of the request.
            instances: SOP Class UID and SOP Instance UID of each.
            now: seconds since 1970.
        """
        row = CommitmentRow
        with self._index.writing() as connection:
            connection.execute(
                delete(row).where(row.peer == peer, row.transaction_uid == transaction_uid)
            )
            connection.execute(
                insert(row).values(
                    peer=peer,
                    transaction_uid=transaction_uid,
                    instances=[list(pair) for pair in instances],
                    requested_at=now,
                    due=now,
                )
            )

    def claim(self, now: float) -> Commitment | None:
        """The request that waits longest; no other caller gets it until its lease ends."""
        row = CommitmentRow
        with self._index.writing() as connection:
            found = connection.execute(
                select(row)
                .where(row.due <= now)
                .order_by(row.due)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).first()
            if found is None:
                return None
            connection.execute(
                update(row)
                .where(row.id == found.id)
                .values(due=now + LEASE_SECONDS, attempts=row.attempts + 1)
            )
        return Commitment(
            pk=found.id,
            peer=found.peer,
            transaction_uid=found.transaction_uid,
            instances=tuple((pair[0], pair[1]) for pair in found.instances),
            requested_at=found.requested_at,
            attempts=found.attempts + 1,
        )

    def next_due(self) -> float | None:
        """When the next report is to be tried; None if none waits."""
        with self._index.reading() as connection:
            return connection.scalar(_NEXT_DUE)

    def postpone(self, commitment: Commitment, due: float, error: str) -> None:
        """Note a failed report.

        Args:
            commitment: the request.
            due: when to try again; seconds since 1970.
            error: why it failed.
        """
        row = CommitmentRow
        with self._index.writing() as connection:
            connection.execute(
                update(row).where(row.id == commitment.pk).values(due=due, error=error)
            )

    def close(self, commitment: Commitment) -> None:
        """Remove a request that was reported or given up."""
        with self._index.writing() as connection:
            connection.execute(delete(CommitmentRow).where(CommitmentRow.id == commitment.pk))

    def held(self, sop_instance_uids: Sequence[str]) -> dict[str, list[Held]]:
        """The instances that the index has, by SOP Instance UID, copies included."""
        found: dict[str, list[Held]] = {}
        sqlite = self._index.is_sqlite
        key: Any = InstanceRow.uid
        with self._index.reading() as connection:
            for begin in range(0, len(sop_instance_uids), _MOST_AT_ONCE):
                batch = sop_instance_uids[begin : begin + _MOST_AT_ONCE]
                statement = (
                    select(SeriesRow.uid, *sendable_columns())
                    .join(SeriesRow, SeriesRow.id == InstanceRow.series_pk)
                    .where(where.one_of(key, batch, sqlite=sqlite))
                )
                for series_uid, *values in connection.execute(statement):
                    instance = Sendable(*values)
                    held = found.setdefault(instance.sop_instance_uid, [])
                    held.append(Held(instance, series_uid))
        return found
