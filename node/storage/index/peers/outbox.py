"""The outbox: deliveries, in order for each series and target, until they are delivered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    exists,
    func,
    insert,
    select,
    true,
    update,
)
from sqlalchemy.orm import aliased

from node.core.events import Delivery, DeliveryState, NewDelivery
from node.storage.index import totals
from node.storage.index.engine import Index
from node.storage.index.schema import DeliveryRow, SeriesRow

_PENDING_TARGETS: Final = (
    select(DeliveryRow.target).where(DeliveryRow.state == DeliveryState.PENDING).distinct()
)


def enqueue(
    connection: Connection, series_pk: int, deliveries: Sequence[NewDelivery], now: float
) -> None:
    """Add deliveries in the transaction of the change that they report.

    Args:
        connection: of `Index.writing`.
        series_pk: the row of the series.
        deliveries: the deliveries; those that are there already are not added again.
        now: seconds since 1970.
    """
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
    """Deliveries that are due, and their results."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def add(self, series_pk: int, deliveries: Sequence[NewDelivery], now: float) -> None:
        """Add deliveries in a transaction of their own. Arguments as for `enqueue`."""
        with self._index.writing() as connection:
            enqueue(connection, series_pk, deliveries, now)

    def due(self, now: float, target: str, limit: int = 100) -> list[Delivery]:
        """What a target may get now, oldest first: of each series only the oldest pending delivery.

        Args:
            now: seconds since 1970.
            target: its name.
            limit: of their number.
        """
        query = _deliveries().where(*_first_in_line(target), DeliveryRow.due <= now).limit(limit)
        return self._read(query)

    def next_due(self, target: str) -> float | None:
        """When the next delivery to a target may be tried; None if none waits."""
        query = select(func.min(DeliveryRow.due)).where(*_first_in_line(target))
        with self._index.reading() as connection:
            return connection.scalar(query)

    def targets(self) -> list[str]:
        """Every target with pending deliveries."""
        with self._index.reading() as connection:
            return sorted(connection.scalars(_PENDING_TARGETS))

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
        """Deliveries in one state, oldest first.

        Args:
            state: the state.
            limit: of their number.
        """
        return self._read(_deliveries().where(DeliveryRow.state == state).limit(limit))

    def counts(self) -> dict[str, int]:
        """How many deliveries are in each state."""
        with self._index.reading() as connection:
            found = totals.read(connection)
        return {str(state): n for state in DeliveryState if (n := found[_counted(state)])}

    def hasten(self, target: str, now: float) -> None:
        """Try the pending deliveries of a target at once, as it may be available again.

        Args:
            target: its name.
            now: seconds since 1970.
        """
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
        """Note that a delivery succeeded.

        Args:
            delivery: the delivery.
            now: seconds since 1970.
        """
        with self._index.writing() as connection:
            _end(connection, delivery, DeliveryState.DELIVERED, now, "")

    def failed(self, delivery: Delivery, due: float, error: str) -> None:
        """Note a failed attempt.

        Args:
            delivery: the delivery.
            due: when to try again; seconds since 1970.
            error: why it failed.
        """
        with self._index.writing() as connection:
            _failed(connection, delivery, due, error)

    def postpone(self, delivery: Delivery, due: float, error: str) -> None:
        """Note a failed attempt, and send nothing to its target until `due`.

        All pending deliveries of the target become due together, so that their order is kept.

        Args:
            delivery: the delivery.
            due: seconds since 1970.
            error: why it failed.
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
        """Give up a delivery until a person retries it.

        Args:
            delivery: the delivery.
            now: seconds since 1970.
            error: why it failed.
        """
        with self._index.writing() as connection:
            _end(connection, delivery, DeliveryState.DEAD, now, error)

    def revive(self, now: float, series_pk: int | None = None) -> int:
        """Try dead deliveries again; returns how many.

        Args:
            now: seconds since 1970.
            series_pk: only those of this series; None: all.
        """
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

    def latest(
        self,
        limit: int,
        *,
        before: int | None = None,
        state: DeliveryState | None = None,
        series_pk: int | None = None,
        event: str | None = None,
    ) -> list[Delivery]:
        """Deliveries, the newest first.

        Args:
            limit: of their number.
            before: only those whose row came before this one: the next page.
            state: only those in this state.
            series_pk: only those of this series.
            event: only those of this kind.
        """
        row, query = DeliveryRow, _deliveries()
        wanted = ((row.state, state), (row.series_pk, series_pk), (row.event, event))
        for column, value in wanted:
            if value is not None:
                query = query.where(column == value)
        if before is not None:
            query = query.where(row.id < before)
        with self._index.reading() as connection:
            rows = connection.execute(query.order_by(row.id.desc()).limit(limit)).all()
        return [_delivery(row) for row in rows]

    def again(self, now: float, series_pk: int, event: str) -> int:
        """Deliver the newest delivery of an event to each target again; returns how many.

        Those that are pending stay as they are.

        Args:
            now: seconds since 1970.
            series_pk: the row of the series.
            event: its kind.
        """
        row = DeliveryRow
        newest = (
            select(func.max(row.id))
            .where(row.series_pk == series_pk, row.event == event)
            .group_by(row.target)
        )
        ended = (DeliveryState.DELIVERED, DeliveryState.DEAD)
        count = 0
        with self._index.writing() as connection:
            for state in ended:
                changed = connection.execute(
                    update(row)
                    .where(row.id.in_(newest), row.state == state)
                    .values(state=DeliveryState.PENDING, due=now, attempts=0, ended_at=None)
                ).rowcount
                pending = _counted(DeliveryState.PENDING)
                totals.moved(connection, _counted(state), pending, changed)
                count += changed
        return count

    def one(self, number: int) -> Delivery | None:
        """The delivery of a number; None: there is none."""
        found = self._read(_deliveries().where(DeliveryRow.id == number))
        return found[0] if found else None

    def again_alone(self, delivery: Delivery, now: float, *, newest: bool) -> bool:
        """Make one delivery again that has ended; returns whether it is made.

        Args:
            delivery: as it was read.
            now: seconds since 1970.
            newest: not if its target has a newer one of this kind for the series.
        """
        row, newer = DeliveryRow, aliased(DeliveryRow)
        same = (
            newer.series_pk == row.series_pk,
            newer.target == row.target,
            newer.event == row.event,
            newer.id > row.id,
        )
        ended = row.state == delivery.state, row.state != DeliveryState.PENDING
        is_newest = ~exists(select(newer.id).where(*same)) if newest else true()
        with self._index.writing() as connection:
            changed = connection.execute(
                update(row)
                .where(row.id == delivery.id, *ended, is_newest)
                .values(state=DeliveryState.PENDING, due=now, attempts=0, ended_at=None)
            ).rowcount
            pending = _counted(DeliveryState.PENDING)
            totals.moved(connection, _counted(delivery.state), pending, changed)
        return bool(changed)

    def _read(self, query: Select[*tuple[Any, ...]]) -> list[Delivery]:
        with self._index.reading() as connection:
            rows = connection.execute(query.order_by(DeliveryRow.id)).all()
        return [_delivery(row) for row in rows]


def _first_in_line(target: str) -> tuple[ColumnElement[bool], ...]:
    """The condition for the oldest pending delivery of each series and a target."""
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
        SeriesRow.description,
    ).join(SeriesRow, SeriesRow.id == row.series_pk)
