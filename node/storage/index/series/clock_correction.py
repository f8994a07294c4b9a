"""Corrects times in the future, which were written while the system clock was ahead."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, Update, select, update

from node.core.events import DeliveryState
from node.storage.index.engine import Index
from node.storage.index.schema import (
    ArrivalRow,
    AssociationRow,
    CommitmentRow,
    DeliveryRow,
    RefusalRow,
    SeriesRow,
    StudyRow,
)

_TOLERANCE_SECONDS: Final = 2.0
_LONGEST_WAIT_SECONDS: Final = 86400.0  # the node never plans anything later than that


def correct_future_times(index: Index, now: float) -> int:
    """Set times in the future to now, so that nothing waits for them.

    Args:
        index: the index.
        now: seconds since 1970.

    Returns:
        How many series had been received in the future.
    """
    ahead, never = now + _TOLERANCE_SECONDS, now + _LONGEST_WAIT_SECONDS
    late: tuple[Update, ...] = (
        update(DeliveryRow)
        .where(DeliveryRow.state == DeliveryState.PENDING, DeliveryRow.created_at > ahead)
        .values(created_at=now, due=now),
        update(CommitmentRow).where(CommitmentRow.due > never).values(due=now),
        update(RefusalRow).where(RefusalRow.until > never).values(until=now),
        update(SeriesRow).where(SeriesRow.due > never).values(due=now),
        update(StudyRow).where(StudyRow.due > ahead).values(due=now),
    )
    found = select(SeriesRow.id).where(SeriesRow.due > now, SeriesRow.last_arrival > ahead)
    with index.reading() as connection:
        series = list(connection.scalars(found))
    with index.writing() as connection:
        for one in late:
            connection.execute(one)
        for pk in series:
            _correct_series(connection, pk, now)
    return len(series)


def _correct_series(connection: Connection, pk: int, now: float) -> None:
    connection.execute(
        update(SeriesRow).where(SeriesRow.id == pk).values(last_arrival=now, due=now)
    )
    connection.execute(
        update(ArrivalRow)
        .where(ArrivalRow.series_pk == pk, ArrivalRow.last_at > now)
        .values(last_at=now)
    )
    carried = select(ArrivalRow.association_pk).where(ArrivalRow.series_pk == pk)
    connection.execute(
        update(AssociationRow)
        .where(AssociationRow.id.in_(carried), AssociationRow.ended_at > now)
        .values(ended_at=now)
    )
