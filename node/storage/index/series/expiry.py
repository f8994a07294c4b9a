"""Series that retention may remove, and the removal of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, exists, func, or_, select, tuple_, update
from sqlalchemy.orm import aliased

from node.core.events import DeliveryState
from node.core.records import SeriesState
from node.storage.index import totals
from node.storage.index.engine import Index
from node.storage.index.schema import (
    ConflictRow,
    DamageRow,
    DeliveryRow,
    HeaderRow,
    InstanceRow,
    NamesakeRow,
    OutputRow,
    PatientRow,
    PublicationRow,
    ReferenceRow,
    SeriesEventRow,
    SeriesRow,
    SiblingRow,
    StudyModalityRow,
    StudyRow,
)
from node.storage.index.series.obsolete_evidence import remove_evidence, remove_statements_of_study
from node.storage.index.store import take_turn
from node.storage.index.totals import Total

_AT_REST: Final = (SeriesState.READY, SeriesState.NOT_A_VOLUME, SeriesState.JOINED)
_AT_ONCE: Final = 200  # series that one search examines
_OF_SERIES: Final = (
    SeriesEventRow,
    OutputRow,
    SiblingRow,
    PublicationRow,
    ReferenceRow,
    DeliveryRow,
    DamageRow,
)


@dataclass(frozen=True, slots=True)
class Expendable:
    """A series that may be removed.

    Attributes:
        pk: its row.
        uid: its Series Instance UID.
        change: compared by `remove`, so that a series that has changed meanwhile stays.
        size: bytes of its instances.
    """

    pk: int
    uid: str
    change: int
    size: int


class Place(NamedTuple):
    """The last series that a search has examined."""

    last_arrival: float
    pk: int


BEGINNING: Final = Place(float("-inf"), 0)


class Expiry:
    """Finds and removes series that have been assembled and delivered."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def size(self) -> int:
        """Bytes of all instances."""
        with self._index.reading() as connection:
            return totals.read(connection)[Total.BYTES]

    def expendable(
        self, before: float, limit: int, after: Place = BEGINNING
    ) -> tuple[list[Expendable], Place]:
        """Series that are ready and delivered, without conflicts, unchanged since `before`, in a
        study of which all series are at rest; the oldest first.

        One search examines a limited number, as many old series may have to stay.

        Args:
            before: seconds since 1970.
            limit: of the number of series that are returned.
            after: where an earlier search ended.

        Returns:
            The series, and where the next search begins: `BEGINNING` after the last series.
        """
        series = SeriesRow
        looked_at = (
            select(series.id, series.last_arrival)
            .where(
                series.state == SeriesState.READY,
                series.last_arrival < before,
                tuple_(series.last_arrival, series.id) > tuple_(*after),
            )
            .order_by(series.last_arrival, series.id)
            .limit(_AT_ONCE)
        )
        member = aliased(series)
        own = select(func.coalesce(func.sum(InstanceRow.size), 0)).where(
            InstanceRow.series_pk == series.id
        )
        of_members = select(func.coalesce(func.sum(InstanceRow.size), 0)).where(
            member.run_pk == series.id, InstanceRow.series_pk == member.id
        )
        size = own.scalar_subquery() + of_members.scalar_subquery()
        with self._index.reading() as connection:
            places = [Place(at, pk) for pk, at in connection.execute(looked_at)]
            found = connection.execute(
                select(series.id, series.uid, series.change, size, series.last_arrival)
                .where(
                    series.id.in_([place.pk for place in places]),
                    series.state_since < before,
                    *_removable(),
                )
                .order_by(series.last_arrival, series.id)
                .limit(limit)
            ).all()
        expendable = [Expendable(*row[:4]) for row in found]
        if len(found) == limit:
            return expendable, Place(found[-1].last_arrival, found[-1].id)
        return expendable, places[-1] if len(places) == _AT_ONCE else BEGINNING

    def remove(self, expendable: Expendable) -> list[str]:
        """Remove the rows of a series, and rows that are needed for no other series.

        With a series that stands for a run, the other series of the run are removed, too.

        Returns:
            The paths of its files, which the index does not list any more; empty if the series has
            changed.
        """
        series = SeriesRow
        with self._index.writing() as connection:
            take_turn(connection)
            study = connection.scalar(
                update(series)
                .where(
                    series.id == expendable.pk,
                    series.change == expendable.change,
                    series.state == SeriesState.READY,
                    *_removable(),
                )
                .values(change=series.change + 1)
                .returning(series.study_pk)
            )
            if study is None:
                return []
            run = connection.execute(
                select(series.id, series.uid, series.state).where(
                    or_(series.id == expendable.pk, series.run_pk == expendable.pk)
                )
            ).all()
            return [path for one in run for path in _remove(connection, study, *one)]


def _remove(
    connection: Connection, study_pk: int, series_pk: int, uid: str, state: str
) -> list[str]:
    """Remove one series; the paths of its files."""
    mine = select(InstanceRow.id).where(InstanceRow.series_pk == series_pk)
    files = connection.execute(
        select(InstanceRow.path, InstanceRow.size).where(InstanceRow.series_pk == series_pk)
    ).all()
    connection.execute(delete(HeaderRow).where(HeaderRow.instance_pk.in_(mine)))
    connection.execute(delete(InstanceRow).where(InstanceRow.series_pk == series_pk))
    deliveries = connection.scalar(select(func.count()).where(DeliveryRow.series_pk == series_pk))
    for row in _OF_SERIES:
        connection.execute(delete(row).where(row.series_pk == series_pk))
    pair = NamesakeRow
    connection.execute(
        delete(pair).where(or_(pair.series_pk == series_pk, pair.other_pk == series_pk))
    )
    remove_evidence(connection, series_pk, uid)
    connection.execute(delete(SeriesRow).where(SeriesRow.id == series_pk))
    delivered = totals.in_state(DeliveryState.DELIVERED, of="deliveries")
    totals.count(connection, delivered, -(deliveries or 0))
    totals.count(connection, totals.in_state(state), -1)
    totals.count(connection, Total.SERIES, -1)
    totals.count(connection, Total.INSTANCES, -len(files))
    totals.count(connection, Total.BYTES, -sum(size for _, size in files))
    _count_again(connection, study_pk, len(files))
    return [path for path, _ in files]


def _removable() -> tuple[ColumnElement[bool], ...]:
    """Conditions for removing a series."""
    sibling, member = aliased(SeriesRow), aliased(SeriesRow)
    of_member = member.run_pk == SeriesRow.id
    open_deliveries = DeliveryRow.state != DeliveryState.DELIVERED
    conflicts = ConflictRow.instance_pk == InstanceRow.id
    return (
        ~exists().where(DeliveryRow.series_pk == SeriesRow.id, open_deliveries),
        ~exists().where(of_member, DeliveryRow.series_pk == member.id, open_deliveries),
        ~exists().where(sibling.study_pk == SeriesRow.study_pk, sibling.state.not_in(_AT_REST)),
        ~exists().where(InstanceRow.series_pk == SeriesRow.id, conflicts),
        ~exists().where(of_member, InstanceRow.series_pk == member.id, conflicts),
    )


def _count_again(connection: Connection, study_pk: int, instances: int) -> None:
    """Update the counts of study and patient; remove them with their last series."""
    patient_pk = connection.scalar(select(StudyRow.patient_pk).where(StudyRow.id == study_pk))
    left = connection.execute(
        select(SeriesRow.modality, SeriesRow.instances).where(SeriesRow.study_pk == study_pk)
    ).all()
    modalities = sorted({modality for modality, _ in left if modality})
    gone = StudyModalityRow.study_pk == study_pk
    if not left:
        connection.execute(delete(StudyModalityRow).where(gone))
        uid = connection.scalar(select(StudyRow.uid).where(StudyRow.id == study_pk)) or ""
        connection.execute(delete(StudyRow).where(StudyRow.id == study_pk))
        remove_statements_of_study(connection, uid)
        totals.count(connection, Total.STUDIES, -1)
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
    # Subtracted, not counted again: a patient without an ID may have very many studies.
    studies = connection.scalar(
        update(PatientRow)
        .where(PatientRow.id == patient_pk)
        .values(
            studies=PatientRow.studies - int(not left),
            series=PatientRow.series - 1,
            instances=PatientRow.instances - instances,
        )
        .returning(PatientRow.studies)
    )
    if studies == 0:
        connection.execute(delete(PatientRow).where(PatientRow.id == patient_pk))
        totals.count(connection, Total.PATIENTS, -1)
