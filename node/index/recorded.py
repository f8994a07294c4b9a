"""How series came, as the index remembers it, and what was learned of it by sender."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from node.completion.timing import Gap, Moment, Percentiles
from node.index.engine import Index
from node.index.schema import ArrivalRow, AssociationRow, InstanceRow, SeriesRow, TimingRow
from node.records import Arrival, AssociationEnd


@dataclass(frozen=True, slots=True)
class Trace:
    """How one series came.

    Attributes:
        moments: of its instances, in the order in which they came.
        arrivals: by the association's row.
    """

    pk: int
    uid: str
    moments: tuple[Moment, ...]
    arrivals: dict[int, Arrival]


class Recordings:
    """Reads what was recorded, and keeps what was learned."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def senders(self) -> list[str]:
        """Every AE title that ever sent something."""
        with self._index.reading() as connection:
            query = select(AssociationRow.calling_ae).distinct().order_by(AssociationRow.calling_ae)
            return list(connection.scalars(query))

    def series(self, sender: str | None = None, since: float = 0.0, limit: int = 500) -> list[int]:
        """The series that came last, of one sender or all, latest first."""
        query = select(SeriesRow.id).where(SeriesRow.last_arrival >= since)
        if sender is not None:
            query = query.where(
                SeriesRow.id.in_(
                    select(ArrivalRow.series_pk)
                    .join(AssociationRow, AssociationRow.id == ArrivalRow.association_pk)
                    .where(AssociationRow.calling_ae == sender)
                )
            )
        query = query.order_by(SeriesRow.last_arrival.desc()).limit(limit)
        with self._index.reading() as connection:
            return list(connection.scalars(query))

    def trace(self, series_pk: int) -> Trace:
        """How a series came."""
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
        """What is known of each sender's silences."""
        with self._index.reading() as connection:
            rows = connection.execute(select(TimingRow)).all()
        return {
            (row.calling_ae, Gap(row.kind)): Percentiles(
                row.samples, row.median, row.p90, row.p99, row.longest
            )
            for row in rows
        }

    def learn(self, sender: str, kind: Gap, found: Percentiles, now: float) -> None:
        """Keep what was found of a sender in place of what was known."""
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
