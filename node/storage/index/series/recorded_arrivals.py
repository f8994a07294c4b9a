"""How series were received, as the index recorded it, and what was learned of each sender."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select

from node.completion.silences import Gap, Moment, Percentiles
from node.core.records import Arrival, AssociationEnd
from node.storage.index.engine import Index
from node.storage.index.schema import ArrivalRow, AssociationRow, InstanceRow, SeriesRow, TimingRow
from node.storage.index.search.where import one_of

_AT_ONCE: Final = 500  # associations of one query
_MOST_ASSOCIATIONS: Final = 20_000
"""Of one sender, the newest: some senders open an association for each instance."""


@dataclass(frozen=True, slots=True)
class Trace:
    """How one series was received.

    Attributes:
        pk: its row.
        uid: its Series Instance UID.
        moments: when its instances were received, in that order.
        arrivals: by the association's row.
    """

    pk: int
    uid: str
    moments: tuple[Moment, ...]
    arrivals: dict[int, Arrival]


class Recordings:
    """Reads recorded arrivals, and keeps what was learned from them."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def senders(self) -> list[str]:
        """Every AE title that ever sent instances."""
        with self._index.reading() as connection:
            # Each query finds the next title: DISTINCT would read every association.
            found: list[str] = []
            title: Any = AssociationRow.calling_ae
            known = connection.scalar(select(func.min(title)))
            while known is not None:
                found.append(known)
                known = connection.scalar(select(func.min(title)).where(title > known))
            return found

    def series(self, sender: str | None = None, since: float = 0.0, limit: int = 500) -> list[int]:
        """The series that were received last, latest first.

        Args:
            sender: an AE title; None: all senders.
            since: seconds since 1970.
            limit: of their number.
        """
        query = select(SeriesRow.id).where(SeriesRow.last_arrival >= since)
        with self._index.reading() as connection:
            if sender is not None:
                key: Any = SeriesRow.id
                query = query.where(
                    one_of(key, _sent_last(connection, sender, limit), sqlite=self._index.is_sqlite)
                )
            query = query.order_by(SeriesRow.last_arrival.desc()).limit(limit)
            return list(connection.scalars(query))

    def trace(self, series_pk: int) -> Trace:
        """How a series was received."""
        row, association = InstanceRow, AssociationRow
        moments = (
            select(row.received_at, row.association_pk)
            .where(row.series_pk == series_pk)
            .order_by(row.id)
        )
        carriers = (
            select(
                association.id,
                association.calling_ae,
                association.address,
                association.end,
                association.ended_at,
                ArrivalRow.first_at,
                ArrivalRow.last_at,
                ArrivalRow.instances,
            )
            .join(ArrivalRow, ArrivalRow.association_pk == association.id)
            .where(ArrivalRow.series_pk == series_pk)
        )
        with self._index.reading() as connection:
            uid = connection.scalars(select(SeriesRow.uid).where(SeriesRow.id == series_pk)).one()
            came = [Moment(*found) for found in connection.execute(moments)]
            known = connection.execute(carriers).all()
        arrivals = {
            found.id: Arrival(
                calling_ae=found.calling_ae,
                address=found.address,
                end=AssociationEnd(found.end),
                ended_at=found.ended_at,
                first_at=found.first_at,
                last_at=found.last_at,
                instances=found.instances,
            )
            for found in known
        }
        return Trace(series_pk, uid, tuple(came), arrivals)

    def learned(self) -> dict[tuple[str, Gap], Percentiles]:
        """What was learned of the gaps of each sender."""
        with self._index.reading() as connection:
            rows = connection.execute(select(TimingRow)).all()
        return {
            (row.calling_ae, Gap(row.kind)): Percentiles(
                row.samples, row.median, row.p90, row.p99, row.longest
            )
            for row in rows
        }

    def learn(self, sender: str, kind: Gap, found: Percentiles, now: float) -> None:
        """Replace what was learned of a sender.

        Args:
            sender: its AE title.
            kind: which gaps.
            found: their percentiles.
            now: seconds since 1970.
        """
        row = TimingRow
        with self._index.writing() as connection:
            connection.execute(delete(row).where(row.calling_ae == sender, row.kind == kind))
            connection.execute(
                insert(row).values(
                    calling_ae=sender,
                    kind=kind,
                    samples=found.samples,
                    median=found.median,
                    p90=found.p90,
                    p99=found.p99,
                    longest=found.longest,
                    at=now,
                )
            )


def _sent_last(connection: Connection, sender: str, limit: int) -> list[int]:
    """Series that were received by a sender's latest associations, about `limit` of them."""
    found: set[int] = set()
    row, before = AssociationRow, None
    for _ in range(_MOST_ASSOCIATIONS // _AT_ONCE):
        query = select(row.id).where(row.calling_ae == sender)
        if before is not None:
            query = query.where(row.id < before)
        part = list(connection.scalars(query.order_by(row.id.desc()).limit(_AT_ONCE)))
        if not part:
            break
        before = part[-1]
        brought = select(ArrivalRow.series_pk).where(ArrivalRow.association_pk.in_(part))
        found.update(connection.scalars(brought))
        if len(found) >= limit:
            break
    return sorted(found)
