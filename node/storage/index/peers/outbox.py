"""The outbox: what is to be delivered, in order per series and target, until it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, exists, func, insert, select, update
from sqlalchemy.orm import aliased

from node.core.events import Delivery, DeliveryState, NewDelivery
from node.storage.index import totals
from node.storage.index.engine import Index
from node.storage.index.schema import DeliveryRow, SeriesRow


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
            totals.count(connection, _counted(DeliveryState.PENDING))


class Outbox:
    """Deliveries that are due, and what became of them."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def add(self, series_pk: int, deliveries: Sequence[NewDelivery], now: float) -> None:
        """Add deliveries by themselves."""
        with self._index.writing() as connection:
            enqueue(connection, series_pk, deliveries, now)

    def due(self, now: float, target: str, limit: int = 100) -> list[Delivery]:
        """What a target may get now, oldest first: of each series only the oldest pending."""
        query = _deliveries().where(*_first_in_line(target), DeliveryRow.due <= now).limit(limit)
        return self._read(query)

    def next_due(self, target: str) -> float | None:
        """When the next delivery to a target may be tried; None if none waits."""
        query = select(func.min(DeliveryRow.due)).where(*_first_in_line(target))
        with self._index.reading() as connection:
            return connection.scalar(query)

    def targets(self) -> list[str]:
        """Every target that something waits for."""
        query = select(DeliveryRow.target).where(DeliveryRow.state == DeliveryState.PENDING)
        with self._index.reading() as connection:
            return sorted(connection.scalars(query.distinct()))

    def of_series(self, series_pk: int) -> list[Delivery]:
        """Every delivery of a series, oldest first."""
        return self._read(_deliveries().where(DeliveryRow.series_pk == series_pk))

    def with_keys(self, keys: Sequence[str]) -> list[Delivery]:
        """The deliveries of some idempotency keys, oldest first; unknown keys are left out."""
        return self._read(_deliveries().where(DeliveryRow.key.in_(keys)))

    def of_study(self, series_pk: int, event: str) -> list[Delivery]:
        """The deliveries of one kind of event of all series of a series' study, oldest first."""
        study = select(SeriesRow.study_pk).where(SeriesRow.id == series_pk).scalar_subquery()
        return self._read(
            _deliveries().where(SeriesRow.study_pk == study, DeliveryRow.event == event)
        )

    def in_state(self, state: DeliveryState, limit: int = 1000) -> list[Delivery]:
        """Deliveries in one state, oldest first."""
        return self._read(_deliveries().where(DeliveryRow.state == state).limit(limit))

    def counts(self) -> dict[str, int]:
        """How many deliveries are in each state."""
        with self._index.reading() as connection:
            found = totals.read(connection)
        return {str(state): n for state in DeliveryState if (n := found[_counted(state)])}

    def hasten(self, target: str, now: float) -> None:
        """Everything that waits for a target may be tried at once: it may be back."""
        with self._index.writing() as connection:
            connection.execute(
                update(DeliveryRow)
                .where(
                    DeliveryRow.state == DeliveryState.PENDING,
                    DeliveryRow.target == target,
                    DeliveryRow.due > now,
                )
                .values(due=now)
            )

    def delivered(self, delivery: Delivery, now: float) -> None:
        """Note success."""
        with self._index.writing() as connection:
            _end(connection, delivery, DeliveryState.DELIVERED, now, "")

    def failed(self, delivery: Delivery, due: float, error: str) -> None:
        """Note a failed attempt at one delivery, and when to try again."""
        with self._index.writing() as connection:
            _failed(connection, delivery, due, error)

    def postpone(self, delivery: Delivery, due: float, error: str) -> None:
        """Note a failed attempt, and leave its target alone until `due`.

        Everything that waits for the target becomes due together, so that its order is kept.
        """
        with self._index.writing() as connection:
            _failed(connection, delivery, due, error)
            connection.execute(
                update(DeliveryRow)
                .where(
                    DeliveryRow.state == DeliveryState.PENDING,
                    DeliveryRow.target == delivery.target,
                )
                .values(due=due)
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
            dead, pending = _counted(DeliveryState.DEAD), _counted(DeliveryState.PENDING)
            totals.moved(connection, dead, pending, changed.rowcount)
        return changed.rowcount

    def _read(self, query: Select[*tuple[Any, ...]]) -> list[Delivery]:
        with self._index.reading() as connection:
            rows = connection.execute(query.order_by(DeliveryRow.id)).all()
        return [_delivery(row) for row in rows]


def _first_in_line(target: str) -> tuple[ColumnElement[bool], ...]:
    """Of a target's pending deliveries the oldest of each series: the others wait behind it."""
    earlier = aliased(DeliveryRow)
    behind = exists(
        select(earlier.id).where(
            earlier.series_pk == DeliveryRow.series_pk,
            earlier.target == DeliveryRow.target,
            earlier.id < DeliveryRow.id,
            earlier.state == DeliveryState.PENDING,
        )
    )
    row = DeliveryRow
    return (row.state == DeliveryState.PENDING, row.target == target, ~behind)


def _failed(connection: Connection, delivery: Delivery, due: float, error: str) -> None:
    connection.execute(
        update(DeliveryRow)
        .where(DeliveryRow.id == delivery.id)
        .values(attempts=DeliveryRow.attempts + 1, due=due, error=error)
    )


def _end(
    connection: Connection, delivery: Delivery, state: DeliveryState, now: float, error: str
) -> None:
    before = connection.scalar(
        select(DeliveryRow.state).where(DeliveryRow.id == delivery.id).with_for_update()
    )
    if before is not None:
        totals.moved(connection, _counted(before), _counted(state))
    connection.execute(
        update(DeliveryRow)
        .where(DeliveryRow.id == delivery.id)
        .values(state=state, attempts=DeliveryRow.attempts + 1, due=None, ended_at=now, error=error)
    )


def _counted(state: DeliveryState | str) -> str:
    """The name under which deliveries in a state are counted."""
    return totals.in_state(state, of="deliveries")


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
        SeriesRow.part,
    ).join(SeriesRow, SeriesRow.id == row.series_pk)
