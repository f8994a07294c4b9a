"""What has changed lately, for pages that are open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from sqlalchemy import func, select

from node.core.records import SeriesState, address_of
from node.storage.index.engine import Index
from node.storage.index.schema import SeriesEventRow, SeriesRow

_MOST: Final = 500  # changes of one look
_AGAIN: Final = 200  # rows of the history that are read again, as a writer may commit later
_LATE_SECONDS: Final = 60.0  # between the receipt of an instance and its place in the index


class Change(NamedTuple):
    """A series that has changed, as it is now."""

    pk: int
    change: int
    series_uid: str
    address: str
    state: SeriesState
    revision: int
    instances: int
    event: int


class Changes:
    """Finds what has changed since it was last asked. For one thread at a time."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._event = 0
        self._seen: dict[int, tuple[int, int]] = {}
        self._begun = False

    def look(self) -> list[Change]:
        """Series that have changed since the last look; nothing at the first one."""
        found = list(self._found())
        fresh = [one for one in found if self._seen.get(one.pk) != (one.change, one.event)]
        # What is not found any more cannot be found again without a change.
        self._seen = {one.pk: (one.change, one.event) for one in found}
        begun, self._begun = self._begun, True
        return fresh if begun else []

    def _found(self) -> Iterator[Change]:
        row, event = SeriesRow, SeriesEventRow
        latest = (
            select(event.series_pk, func.max(event.id).label("event"))
            .where(event.id > self._event - _AGAIN)
            .group_by(event.series_pk)
            .order_by(func.max(event.id).desc())
            .limit(_MOST)
        )
        columns = (
            row.id, row.change, row.uid, row.part, row.state, row.revision, row.instances,
        )  # fmt: skip
        with self._index.reading() as connection:
            if not self._begun:
                self._event = connection.scalar(select(func.max(event.id))) or 0
            events = {one.series_pk: one.event for one in connection.execute(latest)}
            last = connection.scalar(select(func.max(row.last_arrival))) or 0.0
            arrived = connection.scalars(
                select(row.id)
                .where(row.last_arrival > last - _LATE_SECONDS)
                .order_by(row.last_arrival.desc())
                .limit(_MOST)
            ).all()
            keys = sorted({*events, *arrived})
            rows = connection.execute(select(*columns).where(row.id.in_(keys))).all()
        self._event = max([self._event, *events.values()])
        for one in rows:
            yield Change(
                one.id,
                one.change,
                one.uid,
                address_of(one.uid, one.part),
                SeriesState(one.state),
                one.revision,
                one.instances,
                events.get(one.id, 0),
            )
