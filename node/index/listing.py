"""Reading for people: what the node holds, level by level, and figures for `status`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Select, func, select

from node.index.engine import Index
from node.index.schema import (
    ConflictRow,
    InstanceRow,
    PatientRow,
    SeriesEventRow,
    SeriesRow,
    StudyRow,
)

_BATCH = 1000


class Listing:
    """Streams rows as plain mappings, in constant memory."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def patients(self) -> Iterator[dict[str, Any]]:
        """Every patient, without name and birth date."""
        return self._rows(
            select(
                PatientRow.patient_id, PatientRow.studies, PatientRow.series, PatientRow.instances
            ).order_by(PatientRow.id)
        )

    def studies(self) -> Iterator[dict[str, Any]]:
        """Every study."""
        return self._rows(
            select(
                StudyRow.uid.label("study_instance_uid"),
                StudyRow.date,
                StudyRow.description,
                StudyRow.modalities,
                StudyRow.series,
                StudyRow.instances,
            ).order_by(StudyRow.id)
        )

    def last_words(self) -> dict[int, str]:
        """Who made each series' last transition, by its row: a person, or a part of the node."""
        event = SeriesEventRow
        newest = select(func.max(event.id)).group_by(event.series_pk)
        query = select(event.series_pk, event.actor).where(event.id.in_(newest))
        with self._index.reading() as connection:
            return {row.series_pk: row.actor for row in connection.execute(query)}

    def series(self) -> Iterator[dict[str, Any]]:
        """Every series with its state."""
        return self._rows(
            select(
                SeriesRow.uid.label("series_instance_uid"),
                StudyRow.uid.label("study_instance_uid"),
                SeriesRow.modality,
                SeriesRow.number,
                SeriesRow.description,
                SeriesRow.instances,
                SeriesRow.state,
                SeriesRow.revision,
            )
            .join(StudyRow, StudyRow.id == SeriesRow.study_pk)
            .order_by(SeriesRow.id)
        )

    def instances(self) -> Iterator[dict[str, Any]]:
        """Every file: instances first, then conflicts, which carry the same UID once more."""
        whose = (
            InstanceRow.uid.label("sop_instance_uid"),
            SeriesRow.uid.label("series_instance_uid"),
            StudyRow.uid.label("study_instance_uid"),
        )
        kept = select(*whose, InstanceRow.path, InstanceRow.size, InstanceRow.sha256)
        beside = select(*whose, ConflictRow.path, ConflictRow.size, ConflictRow.sha256)
        yield from self._rows(_of_series(kept).order_by(InstanceRow.id))
        yield from (
            {**row, "conflict": True}
            for row in self._rows(
                _of_series(
                    beside.join(InstanceRow, InstanceRow.id == ConflictRow.instance_pk)
                ).order_by(ConflictRow.id)
            )
        )

    def totals(self) -> dict[str, int]:
        """How much of everything there is; series by state as `series_<state>`."""
        by_state = select(SeriesRow.state, func.count()).group_by(SeriesRow.state)
        held = select(
            func.count(PatientRow.id),
            func.coalesce(func.sum(PatientRow.studies), 0),
            func.coalesce(func.sum(PatientRow.series), 0),
            func.coalesce(func.sum(PatientRow.instances), 0),
        )
        conflicts = select(func.count(ConflictRow.id))
        with self._index.reading() as connection:
            patients, studies, series, instances = connection.execute(held).one()
            states = {f"series_{state}": count for state, count in connection.execute(by_state)}
            return {
                "patients": int(patients),
                "studies": int(studies),
                "series": int(series),
                "instances": int(instances),
                "conflicts": int(connection.scalar(conflicts) or 0),
                **states,
            }

    def _rows(self, query: Select[*tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
        with self._index.reading() as connection:
            result = connection.execution_options(yield_per=_BATCH).execute(query)
            for row in result.mappings():
                yield dict(row)


def _of_series(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    return query.join(SeriesRow, SeriesRow.id == InstanceRow.series_pk).join(
        StudyRow, StudyRow.id == SeriesRow.study_pk
    )
