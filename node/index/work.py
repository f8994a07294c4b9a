"""The series on their way to volumes: what is due, and transitions as compare-and-swap."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, Select, insert, select, update

from node.index.engine import Index
from node.index.schema import (
    ArrivalRow,
    AssociationRow,
    ConflictRow,
    HeaderRow,
    InstanceRow,
    OutputRow,
    SeriesEventRow,
    SeriesRow,
    StudyRow,
)
from node.records import Arrival, AssociationEnd, SeriesRecord, SeriesState, StoredInstance


class Work:
    """Reads what is known of series and moves them from state to state."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def due(self, now: float, limit: int = 100) -> list[SeriesRecord]:
        """Series that should be looked at by `now`, longest waiting first."""
        query = _series().where(SeriesRow.due <= now).order_by(SeriesRow.due).limit(limit)
        with self._index.reading() as connection:
            return [_record(row) for row in connection.execute(query)]

    def next_due(self) -> float | None:
        """When the next series becomes due; None if nothing waits."""
        query = (
            select(SeriesRow.due).where(SeriesRow.due.is_not(None)).order_by(SeriesRow.due).limit(1)
        )
        with self._index.reading() as connection:
            return connection.scalar(query)

    def series(self, uid: str) -> SeriesRecord | None:
        """One series by its UID."""
        with self._index.reading() as connection:
            row = connection.execute(_series().where(SeriesRow.uid == uid)).first()
        return _record(row) if row else None

    def in_state(self, *states: SeriesState) -> list[SeriesRecord]:
        """All series in one of `states`, oldest arrival first; without states: all series."""
        query = _series().order_by(SeriesRow.first_arrival)
        if states:
            query = query.where(SeriesRow.state.in_(states))
        with self._index.reading() as connection:
            return [_record(row) for row in connection.execute(query)]

    def arrivals(self, series_pk: int) -> list[Arrival]:
        """What each association brought to the series, in order of its first instance."""
        query = (
            select(
                AssociationRow.calling_ae,
                AssociationRow.address,
                AssociationRow.end,
                AssociationRow.ended_at,
                ArrivalRow.first_at,
                ArrivalRow.last_at,
                ArrivalRow.instances,
            )
            .join(AssociationRow, AssociationRow.id == ArrivalRow.association_pk)
            .where(ArrivalRow.series_pk == series_pk)
            .order_by(ArrivalRow.first_at)
        )
        with self._index.reading() as connection:
            rows = connection.execute(query).all()
        return [
            Arrival(
                calling_ae=row.calling_ae,
                address=row.address,
                end=AssociationEnd(row.end),
                ended_at=row.ended_at,
                first_at=row.first_at,
                last_at=row.last_at,
                instances=row.instances,
            )
            for row in rows
        ]

    def headers(self, series_pk: int) -> list[bytes]:
        """The encoded headers of the series' instances, in no particular order."""
        query = (
            select(HeaderRow.header)
            .join(InstanceRow, InstanceRow.id == HeaderRow.instance_pk)
            .where(InstanceRow.series_pk == series_pk)
        )
        with self._index.reading() as connection:
            return list(connection.scalars(query))

    def instances(self, series_pk: int) -> list[StoredInstance]:
        """Everything that assembly needs of the series' instances, conflicts included."""
        first = (
            select(InstanceRow, HeaderRow.header)
            .join(HeaderRow, HeaderRow.instance_pk == InstanceRow.id)
            .where(InstanceRow.series_pk == series_pk)
            .order_by(InstanceRow.uid)
        )
        others = (
            select(ConflictRow, InstanceRow.uid, InstanceRow.sop_class_uid)
            .join(InstanceRow, InstanceRow.id == ConflictRow.instance_pk)
            .where(InstanceRow.series_pk == series_pk)
            .order_by(InstanceRow.uid, ConflictRow.id)
        )
        with self._index.reading() as connection:
            return [
                *(
                    _stored(row, row.uid, row.sop_class_uid, conflict=False)
                    for row in connection.execute(first)
                ),
                *(
                    _stored(row, row.uid, row.sop_class_uid, conflict=True)
                    for row in connection.execute(others)
                ),
            ]

    def move(
        self,
        series: SeriesRecord,
        to: SeriesState,
        *,
        now: float,
        actor: str,
        detail: dict[str, Any] | None = None,
        due: float | None = None,
        **values: Any,
    ) -> SeriesRecord | None:
        """Move a series to another state if nobody else did anything to it meanwhile.

        Args:
            series: the series as the decision saw it.
            due: when to look again; None: not before the next change.
            values: further columns to set (`owner`, `revision`, `verdict`, `outputs`).

        Returns:
            The series as it is now, or None if it had changed: then nothing was done.
        """
        with self._index.writing() as connection:
            changed = connection.execute(
                update(SeriesRow)
                .where(
                    SeriesRow.id == series.pk,
                    SeriesRow.state == series.state,
                    SeriesRow.change == series.change,
                )
                .values(
                    state=to,
                    state_since=now,
                    change=SeriesRow.change + 1,
                    due=due,
                    **values,
                )
            )
            if changed.rowcount != 1:
                return None
            connection.execute(
                insert(SeriesEventRow).values(
                    series_pk=series.pk,
                    at=now,
                    actor=actor,
                    from_state=series.state,
                    to_state=to,
                    revision=values.get("revision", series.revision),
                    detail=detail or {},
                )
            )
            row = connection.execute(_series().where(SeriesRow.id == series.pk)).one()
        return _record(row)

    def look_again(self, series: SeriesRecord, due: float | None) -> bool:
        """Set when the watcher should look again; False if the series changed meanwhile."""
        with self._index.writing() as connection:
            changed = connection.execute(
                update(SeriesRow)
                .where(SeriesRow.id == series.pk, SeriesRow.change == series.change)
                .values(due=due)
            )
        return changed.rowcount == 1

    def history(self, series_pk: int) -> list[dict[str, Any]]:
        """Every transition of the series, oldest first."""
        query = (
            select(SeriesEventRow)
            .where(SeriesEventRow.series_pk == series_pk)
            .order_by(SeriesEventRow.id)
        )
        with self._index.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return [{key: row[key] for key in row if key not in {"id", "series_pk"}} for row in rows]

    def claim_stem(self, series_pk: int, stem: str) -> bool:
        """Reserve an output name for a series; False if another series has it."""
        with self._index.writing() as connection:
            owner = connection.scalar(select(OutputRow.series_pk).where(OutputRow.stem == stem))
            if owner is None:
                connection.execute(insert(OutputRow).values(stem=stem, series_pk=series_pk))
                return True
            return owner == series_pk


def _series() -> Select[*tuple[Any, ...]]:
    return select(
        SeriesRow.id,
        SeriesRow.uid,
        StudyRow.uid.label("study_uid"),
        SeriesRow.modality,
        SeriesRow.number,
        SeriesRow.description,
        SeriesRow.instances,
        SeriesRow.state,
        SeriesRow.state_since,
        SeriesRow.change,
        SeriesRow.revision,
        SeriesRow.first_arrival,
        SeriesRow.last_arrival,
        SeriesRow.due,
        SeriesRow.owner,
        SeriesRow.verdict,
        SeriesRow.outputs,
    ).join(StudyRow, StudyRow.id == SeriesRow.study_pk)


def _record(row: Row[*tuple[Any, ...]]) -> SeriesRecord:
    return SeriesRecord(
        pk=row.id,
        uid=row.uid,
        study_uid=row.study_uid,
        modality=row.modality,
        number=row.number,
        description=row.description,
        instances=row.instances,
        state=SeriesState(row.state),
        state_since=row.state_since,
        change=row.change,
        revision=row.revision,
        first_arrival=row.first_arrival,
        last_arrival=row.last_arrival,
        due=row.due,
        owner=row.owner,
        verdict=row.verdict,
        outputs=tuple(row.outputs or ()),
    )


def _stored(row: Row[*tuple[Any, ...]], uid: str, sop_class_uid: str, *, conflict: bool) -> StoredInstance:
    return StoredInstance(
        sop_instance_uid=uid,
        sop_class_uid=sop_class_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        path=row.path,
        size=row.size,
        sha256=row.sha256,
        data_set_offset=row.data_set_offset,
        pixel_offset=row.pixel_offset,
        pixel_length=row.pixel_length,
        received_at=row.received_at,
        header=row.header,
        conflict=conflict,
    )
