"""The outbox: what is to be delivered, in order per series and target, until it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, exists, func, insert, select, update
from sqlalchemy.orm import aliased

from node.deliveries import Delivery, DeliveryState, NewDelivery
from node.index.engine import Index
from node.index.schema import DeliveryRow, SeriesRow


def enqueue(
    connection: Connection, series_pk: int, deliveries: Sequence[NewDelivery], now: float
) -> None:
    """Add deliveries within the transaction that makes what they tell of true."""
    for item in deliveries:
        known = connection.scalar(select(DeliveryRow.id).where(DeliveryRow.key == item.key))
        if known is None:
            connection.execute(
                insert(DeliveryRow).values(
                    key=item.key,
                    series_pk=series_pk,
                    target=item.target,
                    event=item.event,
                    revision=item.revision,
                    payload=item.payload,
                    state=DeliveryState.PENDING,
                    due=now,
                    created_at=now,
                )
            )


class Outbox:
    """Deliveries that are due, and what became of them."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def add(self, series_pk: int, deliveries: Sequence[NewDelivery], now: float) -> None:
        """Add deliveries by themselves."""
        with self._index.writing() as connection:
            enqueue(connection, series_pk, deliveries, now)

    def due(self, now: float, limit: int = 100) -> list[Delivery]:
        """What may be delivered now: of each series and target only the oldest that is pending."""
        earlier = aliased(DeliveryRow)
        behind = exists(
            select(earlier.id).where(
                earlier.series_pk == DeliveryRow.series_pk,
                earlier.target == DeliveryRow.target,
                earlier.id < DeliveryRow.id,
                earlier.state == DeliveryState.PENDING,
            )
        )
        query = (
            _deliveries()
            .where(DeliveryRow.state == DeliveryState.PENDING, DeliveryRow.due <= now, ~behind)
            .order_by(DeliveryRow.id)
            .limit(limit)
        )
        return self._read(query)

    def next_due(self) -> float | None:
        """When the next delivery may be tried; None if none waits."""
        query = select(func.min(DeliveryRow.due)).where(DeliveryRow.state == DeliveryState.PENDING)
        with self._index.reading() as connection:
            return connection.scalar(query)

    def of_series(self, series_pk: int) -> list[Delivery]:
        """Every delivery of a series, oldest first."""
        return self._read(_deliveries().where(DeliveryRow.series_pk == series_pk))

    def in_state(self, state: DeliveryState, limit: int = 1000) -> list[Delivery]:
        """Deliveries in one state, oldest first."""
        return self._read(_deliveries().where(DeliveryRow.state == state).limit(limit))

    def counts(self) -> dict[str, int]:
        """How many deliveries are in each state."""
        query = select(DeliveryRow.state, func.count()).group_by(DeliveryRow.state)
        with self._index.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def delivered(self, delivery: Delivery, now: float) -> None:
        """Note success; what waits for the same target's return is due at once."""
        with self._index.writing() as connection:
            _end(connection, delivery, DeliveryState.DELIVERED, now, "")
            connection.execute(
                update(DeliveryRow)
                .where(
                    DeliveryRow.state == DeliveryState.PENDING,
                    DeliveryRow.target == delivery.target,
                    DeliveryRow.due > now,
                )
                .values(due=now)
            )

    def failed(self, delivery: Delivery, due: float, error: str) -> None:
        """Note a failed attempt, and when to try again."""
        with self._index.writing() as connection:
            connection.execute(
                update(DeliveryRow)
                .where(DeliveryRow.id == delivery.id)
                .values(attempts=DeliveryRow.attempts + 1, due=due, error=error)
            )

    def bury(self, delivery: Delivery, now: float, error: str) -> None:
        """Give up on a delivery until a person says otherwise."""
        with self._index.writing() as connection:
            _end(connection, delivery, DeliveryState.DEAD, now, error)

    def revive(self, now: float, series_pk: int | None = None) -> int:
        """Take up dead deliveries again, of one series or all; returns how many."""
        query = update(DeliveryRow).where(DeliveryRow.state == DeliveryState.DEAD)
        if series_pk is not None:
            query = query.where(DeliveryRow.series_pk == series_pk)
        with self._index.writing() as connection:
            changed = connection.execute(
                query.values(state=DeliveryState.PENDING, due=now, attempts=0, ended_at=None)
            )
        return changed.rowcount

    def _read(self, query: Select[*tuple[Any, ...]]) -> list[Delivery]:
        with self._index.reading() as connection:
            rows = connection.execute(query.order_by(DeliveryRow.id)).all()
        return [_delivery(row) for row in rows]


def _end(
    connection: Connection, delivery: Delivery, state: DeliveryState, now: float, error: str
) -> None:
    connection.execute(
        update(DeliveryRow)
        .where(DeliveryRow.id == delivery.id)
        .values(state=state, attempts=DeliveryRow.attempts + 1, due=None, ended_at=now, error=error)
    )


def _delivery(row: Row[*tuple[Any, ...]]) -> Delivery:
    return Delivery(**{**row._mapping, "state": DeliveryState(row.state)})


def _deliveries() -> Select[*tuple[Any, ...]]:
    row = DeliveryRow
    return select(
        row.id,
        row.key,
        row.series_pk,
        SeriesRow.uid.label("series_uid"),
        row.target,
        row.event,
        row.revision,
        row.payload,
        row.state,
        row.attempts,
        row.due,
        row.created_at,
        row.error,
    ).join(SeriesRow, SeriesRow.id == row.series_pk)
