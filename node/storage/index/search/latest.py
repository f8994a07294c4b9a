"""The list of series for the page: newest first, page by page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Select, func, literal_column, select

from node.core.records import SeriesState
from node.storage.index.engine import Index
from node.storage.index.schema import SeriesRow, StudyRow
from node.storage.index.series.namesakes import addressed


class Latest:
    """Reads what the page shows, without the patient level."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def series(
        self, limit: int, *, before: int | None = None, states: Collection[SeriesState] = ()
    ) -> list[dict[str, Any]]:
        """Series, the newest first.

        Args:
            limit: of their number.
            before: only series whose row came before this one: the next page.
            states: only series in these states; all if there are none.
        """
        query = _rows()
        if before is not None:
            query = query.where(SeriesRow.id < before)
        query = query.order_by(SeriesRow.id.desc()).limit(limit)
        # One query for each state reads a range of an index; one for several would sort all rows.
        parts = [query.where(SeriesRow.state == state) for state in set(states)] or [query]
        with self._index.reading() as connection:
            rows = [dict(row) for part in parts for row in connection.execute(part).mappings()]
        return sorted(rows, key=lambda row: -row["id"])[:limit]

    def of(self, keys: Sequence[int]) -> list[dict[str, Any]]:
        """The series of these rows, as `series` returns them, in this order."""
        with self._index.reading() as connection:
            found = connection.execute(_rows().where(SeriesRow.id.in_(keys))).mappings()
            rows = {row["id"]: dict(row) for row in found}
        return [rows[pk] for pk in keys if pk in rows]

    def one(self, address: str) -> dict[str, Any] | None:
        """One series, as `series` returns them, by its UID or address."""
        query = select(SeriesRow.id).where(addressed(address)).order_by(SeriesRow.part).limit(1)
        with self._index.reading() as connection:
            pk = connection.scalar(query)
        found = self.series(1, before=pk + 1) if pk is not None else []
        return found[0] if found else None

    def waiting_since(self) -> float | None:
        """Since when the longest waiting series waits to be assembled; None: none waits."""
        query = select(func.min(SeriesRow.state_since)).where(
            SeriesRow.state == literal_column(f"'{SeriesState.SETTLED}'")
        )
        with self._index.reading() as connection:
            return connection.scalar(query)

    def last_arrival(self) -> float | None:
        """When the newest instance was received, seconds since 1970; None if there is none."""
        with self._index.reading() as connection:
            return connection.scalar(select(func.max(SeriesRow.last_arrival)))


def _rows() -> Select[*tuple[Any, ...]]:
    return select(
        SeriesRow.id,
        SeriesRow.uid.label("series_instance_uid"),
        SeriesRow.part,
        StudyRow.uid.label("study_instance_uid"),
        SeriesRow.modality,
        SeriesRow.number,
        SeriesRow.description,
        SeriesRow.body_part,
        SeriesRow.date,
        SeriesRow.time,
        SeriesRow.instances,
        SeriesRow.state,
        SeriesRow.state_since,
        SeriesRow.revision,
        SeriesRow.first_arrival,
        SeriesRow.last_arrival,
        SeriesRow.verdict,
        SeriesRow.outputs,
    ).join(StudyRow, StudyRow.id == SeriesRow.study_pk)
