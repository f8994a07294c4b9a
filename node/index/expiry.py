"""Series that the archive need not keep any longer, and their rows' end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, delete, exists, func, select, update
from sqlalchemy.orm import aliased

from node.deliveries import DeliveryState
from node.index.engine import Index
from node.index.schema import (
    ArrivalRow,
    ConflictRow,
    DeliveryRow,
    HeaderRow,
    InstanceRow,
    OutputRow,
    PatientRow,
    PublicationRow,
    ReferenceRow,
    SeriesEventRow,
    SeriesRow,
    StudyModalityRow,
    StudyRow,
)
from node.records import SeriesState

_AT_REST: Final = (SeriesState.READY, SeriesState.NOT_A_VOLUME)
_OF_SERIES: Final = (
    ArrivalRow,
    SeriesEventRow,
    OutputRow,
    PublicationRow,
    ReferenceRow,
    DeliveryRow,
)


@dataclass(frozen=True, slots=True)
class Expendable:
    """A series that may go.

    Attributes:
        change: what `remove` compares, so that nothing goes that has changed meanwhile.
        size: bytes of its instances.
    """

    pk: int
    uid: str
    change: int
    size: int


class Expiry:
    """Finds and removes what has been assembled and delivered."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def size(self) -> int:
        """Bytes of all instances."""
        with self._index.reading() as connection:
            return connection.scalar(select(func.coalesce(func.sum(InstanceRow.size), 0))) or 0

    def expendable(self, before: float, limit: int) -> list[Expendable]:
        """Series that are ready, delivered to all who get them, without conflict, in a study in
        which nothing is going on, and have not changed since `before`; the oldest first."""
        series = SeriesRow
        size = (
            select(func.coalesce(func.sum(InstanceRow.size), 0))
            .where(InstanceRow.series_pk == series.id)
            .scalar_subquery()
        )
        query = (
            select(series.id, series.uid, series.change, size)
            .where(
                series.state == SeriesState.READY,
                series.last_arrival < before,
                series.state_since < before,
                *_unfinished(),
            )
            .order_by(series.last_arrival)
            .limit(limit)
        )
        with self._index.reading() as connection:
            return [Expendable(*row) for row in connection.execute(query)]

    def remove(self, expendable: Expendable) -> list[str]:
        """Forget a series.

        Returns:
            The paths of its files, which nothing speaks of any more; none if it has changed.
        """
        series = SeriesRow
        with self._index.writing() as connection:
            study = connection.scalar(
                update(series)
                .where(
                    series.id == expendable.pk,
                    series.change == expendable.change,
                    series.state == SeriesState.READY,
                    *_unfinished(),
                )
                .values(change=series.change + 1)
                .returning(series.study_pk)
            )
            if study is None:
                return []
            mine = select(InstanceRow.id).where(InstanceRow.series_pk == expendable.pk)
            paths = connection.scalars(
                select(InstanceRow.path).where(InstanceRow.series_pk == expendable.pk)
            ).all()
            connection.execute(delete(HeaderRow).where(HeaderRow.instance_pk.in_(mine)))
            connection.execute(delete(InstanceRow).where(InstanceRow.series_pk == expendable.pk))
            for row in _OF_SERIES:
                connection.execute(delete(row).where(row.series_pk == expendable.pk))
            connection.execute(delete(series).where(series.id == expendable.pk))
            _count_again(connection, study)
            return list(paths)


def _unfinished() -> tuple[ColumnElement[bool], ...]:
    """Reasons to keep a series, each denied."""
    sibling = aliased(SeriesRow)
    undelivered = exists().where(
        DeliveryRow.series_pk == SeriesRow.id, DeliveryRow.state != DeliveryState.DELIVERED
    )
    going_on = exists().where(
        sibling.study_pk == SeriesRow.study_pk, sibling.state.not_in(_AT_REST)
    )
    conflicting = exists().where(
        InstanceRow.series_pk == SeriesRow.id, ConflictRow.instance_pk == InstanceRow.id
    )
    return ~undelivered, ~going_on, ~conflicting


def _count_again(connection: Connection, study_pk: int) -> None:
    """Bring study and patient up to what is left; they go with their last series."""
    patient_pk = connection.scalar(select(StudyRow.patient_pk).where(StudyRow.id == study_pk))
    left = connection.execute(
        select(SeriesRow.modality, SeriesRow.instances).where(SeriesRow.study_pk == study_pk)
    ).all()
    modalities = sorted({modality for modality, _ in left if modality})
    gone = StudyModalityRow.study_pk == study_pk
    if not left:
        connection.execute(delete(StudyModalityRow).where(gone))
        connection.execute(delete(StudyRow).where(StudyRow.id == study_pk))
    else:
        connection.execute(
            delete(StudyModalityRow).where(gone, StudyModalityRow.modality.not_in(modalities))
        )
        classes = connection.scalars(
            select(InstanceRow.sop_class_uid)
            .join(SeriesRow, SeriesRow.id == InstanceRow.series_pk)
            .where(SeriesRow.study_pk == study_pk)
            .distinct()
        )
        connection.execute(
            update(StudyRow)
            .where(StudyRow.id == study_pk)
            .values(
                series=len(left),
                instances=sum(count for _, count in left),
                modalities="\\".join(modalities),
                sop_classes="\\".join(classes),
            )
        )
    studies = connection.execute(
        select(StudyRow.series, StudyRow.instances).where(StudyRow.patient_pk == patient_pk)
    ).all()
    if not studies:
        connection.execute(delete(PatientRow).where(PatientRow.id == patient_pk))
        return
    connection.execute(
        update(PatientRow)
        .where(PatientRow.id == patient_pk)
        .values(
            studies=len(studies),
            series=sum(series for series, _ in studies),
            instances=sum(instances for _, instances in studies),
        )
    )
