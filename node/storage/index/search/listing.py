"""Lists for `ls` and `status`: what the node holds on each level, and totals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Select, func, or_, select

from node.storage.index import totals
from node.storage.index.engine import Index
from node.storage.index.schema import (
    ConflictRow,
    InstanceRow,
    PatientRow,
    SeriesEventRow,
    SeriesRow,
    StudyRow,
)
from node.storage.index.search.selection import Selection, Selector
from node.storage.index.series.namesakes import RECEIVER
from node.storage.index.totals import Total

_ALL = Selection()


class Listing:
    """Yields rows as dictionaries, read in parts: memory does not depend on their number."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._selector = Selector(index)

    def patients(self, selection: Selection = _ALL) -> Iterator[dict[str, Any]]:
        """Patients, without name and birth date."""
        row = PatientRow
        query = select(row.patient_id, row.studies, row.series, row.instances)
        for part in self._selector.patients(selection):
            yield from self._rows(query, row.id, part)

    def studies(self, selection: Selection = _ALL) -> Iterator[dict[str, Any]]:
        """Studies."""
        query = select(
            StudyRow.uid.label("study_instance_uid"),
            StudyRow.date,
            StudyRow.description,
            StudyRow.modalities,
            StudyRow.series,
            StudyRow.instances,
        )
        for part in self._selector.studies(selection):
            yield from self._rows(query, StudyRow.id, part)

    def series(self, selection: Selection = _ALL) -> Iterator[dict[str, Any]]:
        """Series with their states."""
        return self.series_of(self._selector.series(selection))

    def series_of(self, parts: Iterable[list[int]]) -> Iterator[dict[str, Any]]:
        """The series of these rows with their states."""
        query = select(
            SeriesRow.uid.label("series_instance_uid"),
            StudyRow.uid.label("study_instance_uid"),
            SeriesRow.modality,
            SeriesRow.number,
            SeriesRow.description,
            SeriesRow.instances,
            SeriesRow.state,
            SeriesRow.revision,
        ).join(StudyRow, StudyRow.id == SeriesRow.study_pk)
        for part in parts:
            yield from self._rows(query, SeriesRow.id, part)

    def instances(self, selection: Selection = _ALL) -> Iterator[dict[str, Any]]:
        """Files: instances, each followed by its conflicts, which have the same UID."""
        whose = (
            InstanceRow.uid.label("sop_instance_uid"),
            SeriesRow.uid.label("series_instance_uid"),
            StudyRow.uid.label("study_instance_uid"),
        )
        kept = _of_series(select(*whose, InstanceRow.path, InstanceRow.size, InstanceRow.sha256))
        beside = _of_series(
            select(*whose, ConflictRow.path, ConflictRow.size, ConflictRow.sha256).join(
                InstanceRow, InstanceRow.id == ConflictRow.instance_pk
            )
        )
        for part in self._selector.instances(selection):
            yield from self._rows(kept, InstanceRow.id, part)
            for row in self._rows(beside, ConflictRow.instance_pk, part, ConflictRow.id):
                yield {**row, "conflict": True}

    def last_words(self, series: Sequence[int]) -> dict[int, str]:
        """The actor of the last transition of these series, by their rows: a person, or a part
        of the node."""
        event = SeriesEventRow
        newest = (
            select(func.max(event.id))
            .where(
                event.series_pk.in_(series),
                or_(event.from_state != event.to_state, event.actor != RECEIVER),
            )
            .group_by(event.series_pk)
        )
        query = select(event.series_pk, event.actor).where(event.id.in_(newest))
        with self._index.reading() as connection:
            return {row.series_pk: row.actor for row in connection.execute(query)}

    def totals(self) -> dict[str, int]:
        """The totals of the index; series by state as `series_<state>`."""
        with self._index.reading() as connection:
            found = totals.read(connection)
        by_state = {name: found[name] for name in found if name.startswith(f"{Total.SERIES}_")}
        return {str(name): found[name] for name in Total} | by_state

    def _rows(
        self, query: Select[*tuple[Any, ...]], key: Any, part: list[int], order: Any = None
    ) -> list[dict[str, Any]]:
        chosen = query.where(key.in_(part)).order_by(key if order is None else order)
        with self._index.reading() as connection:
            return [dict(row) for row in connection.execute(chosen).mappings()]


def _of_series(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    return query.join(SeriesRow, SeriesRow.id == InstanceRow.series_pk).join(
        StudyRow, StudyRow.id == SeriesRow.study_pk
    )
