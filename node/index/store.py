"""Writing: instances, associations and what they brought, in one transaction a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, case, func, insert, select, update

from node.attributes import BY_LEVEL, Level, fold
from node.index.engine import Index
from node.index.schema import (
    ArrivalRow,
    AssociationRow,
    ConflictRow,
    HeaderRow,
    InstanceRow,
    PatientRow,
    SeriesEventRow,
    SeriesRow,
    StudyModalityRow,
    StudyRow,
)
from node.records import AssociationEnd, InstanceRecord, SeriesState, Stored


class _Series(NamedTuple):
    pk: int
    study_pk: int
    patient_pk: int


class Store:
    """Adds what arrives. Every method is one transaction, durable when it returns."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def add(self, items: Sequence[tuple[InstanceRecord, int | None]]) -> list[Stored]:
        """Index instances whose files are on stable storage already.

        Args:
            items: records, each with the row of the association that brought it (None: import).

        Returns:
            For each record what became of it. A conflict is kept beside the first instance.

        Raises:
            StorageFull, IndexUnavailable: nothing of the batch was indexed.
        """
        with self._index.writing() as connection:
            return [_add(connection, record, association) for record, association in items]

    def open_association(
        self, calling_ae: str, called_ae: str, address: str, now: float, process: str
    ) -> int:
        """Note that an association began to carry instances; returns its row."""
        with self._index.writing() as connection:
            return _inserted(
                connection,
                AssociationRow,
                calling_ae=calling_ae,
                called_ae=called_ae,
                address=address,
                opened_at=now,
                end=AssociationEnd.OPEN,
                process=process,
            )

    def end_association(self, association: int, end: AssociationEnd, now: float) -> None:
        """Note how an association ended, and wake the series that it brought something to."""
        with self._index.writing() as connection:
            connection.execute(
                update(AssociationRow)
                .where(AssociationRow.id == association)
                .values(end=end, ended_at=now)
            )
            _wake(connection, [association], now)

    def end_lost_associations(self, process: str, now: float) -> int:
        """After an unclean end: whatever an earlier run of `process` left open is lost."""
        with self._index.writing() as connection:
            rows = connection.scalars(
                select(AssociationRow.id).where(
                    AssociationRow.end == AssociationEnd.OPEN, AssociationRow.process != process
                )
            ).all()
            connection.execute(
                update(AssociationRow)
                .where(AssociationRow.id.in_(rows))
                .values(end=AssociationEnd.LOST, ended_at=now)
            )
            _wake(connection, rows, now)
            return len(rows)


def _wake(connection: Connection, associations: Sequence[int], now: float) -> None:
    brought = select(ArrivalRow.series_pk).where(ArrivalRow.association_pk.in_(associations))
    connection.execute(
        update(SeriesRow)
        .where(SeriesRow.id.in_(brought), SeriesRow.state == SeriesState.RECEIVING)
        .values(due=now)
    )


def _inserted(connection: Connection, table: type[Any], **values: Any) -> int:
    key = connection.execute(insert(table).values(**values)).inserted_primary_key
    assert key is not None  # noqa: S101  both dialects return it
    return int(key[0])


def _add(connection: Connection, record: InstanceRecord, association: int | None) -> Stored:
    known = connection.execute(
        select(InstanceRow.id, InstanceRow.sha256, InstanceRow.series_pk).where(
            InstanceRow.uid == record.sop_instance_uid
        )
    ).first()
    if known is not None:
        if known.sha256 == record.sha256:
            return Stored.SAME
        return _add_conflict(connection, record, known.id, known.series_pk, association)

    series = _series(connection, record)
    pk = _inserted(
        connection,
        InstanceRow,
        uid=record.sop_instance_uid,
        series_pk=series.pk,
        sop_class_uid=record.sop_class_uid,
        number=_integer(record.attributes.get("InstanceNumber")),
        attributes=_level(record, Level.IMAGE),
        association_pk=association,
        **_bytes_of(record),
    )
    connection.execute(insert(HeaderRow).values(instance_pk=pk, header=record.header))
    connection.execute(
        update(StudyRow)
        .where(StudyRow.id == series.study_pk)
        .values(instances=StudyRow.instances + 1)
    )
    connection.execute(
        update(PatientRow)
        .where(PatientRow.id == series.patient_pk)
        .values(instances=PatientRow.instances + 1)
    )
    _add_sop_class(connection, series.study_pk, record.sop_class_uid)
    _arrived(connection, series.pk, record, association, instances=1)
    return Stored.NEW


def _add_conflict(
    connection: Connection,
    record: InstanceRecord,
    instance_pk: int,
    series_pk: int,
    association: int | None,
) -> Stored:
    same = connection.scalar(
        select(ConflictRow.id).where(
            ConflictRow.instance_pk == instance_pk, ConflictRow.sha256 == record.sha256
        )
    )
    if same is not None:
        return Stored.SAME
    connection.execute(
        insert(ConflictRow).values(
            instance_pk=instance_pk, header=record.header, **_bytes_of(record)
        )
    )
    _arrived(connection, series_pk, record, association, instances=0)
    return Stored.CONFLICT


def _bytes_of(record: InstanceRecord) -> dict[str, Any]:
    return {
        "transfer_syntax_uid": record.transfer_syntax_uid,
        "path": record.path,
        "size": record.size,
        "sha256": record.sha256,
        "data_set_offset": record.data_set_offset,
        "pixel_offset": record.pixel_offset,
        "pixel_length": record.pixel_length,
        "received_at": record.received_at,
    }


def _arrived(
    connection: Connection,
    series_pk: int,
    record: InstanceRecord,
    association: int | None,
    instances: int,
) -> None:
    """Count the arrival, take the series back to `receiving`, and wake the watcher."""
    at = record.received_at
    before = connection.execute(
        select(SeriesRow.state, SeriesRow.revision).where(SeriesRow.id == series_pk)
    ).one()
    moved = before.state != SeriesState.RECEIVING
    connection.execute(
        update(SeriesRow)
        .where(SeriesRow.id == series_pk)
        .values(
            instances=SeriesRow.instances + instances,
            change=SeriesRow.change + 1,
            last_arrival=case((SeriesRow.last_arrival < at, at), else_=SeriesRow.last_arrival),
            due=at,
            state=SeriesState.RECEIVING,
            owner="",
            **({"state_since": at} if moved else {}),
        )
    )
    if moved:
        connection.execute(
            insert(SeriesEventRow).values(
                series_pk=series_pk,
                at=at,
                actor="receiver",
                from_state=before.state,
                to_state=SeriesState.RECEIVING,
                revision=before.revision,
                detail={"why": "another instance came" if instances else "a conflict came"},
            )
        )
    if association is None:
        return
    changed = connection.execute(
        update(ArrivalRow)
        .where(ArrivalRow.series_pk == series_pk, ArrivalRow.association_pk == association)
        .values(last_at=at, instances=ArrivalRow.instances + 1)
    )
    if changed.rowcount == 0:
        connection.execute(
            insert(ArrivalRow).values(
                series_pk=series_pk,
                association_pk=association,
                first_at=at,
                last_at=at,
                instances=1,
            )
        )


def _series(connection: Connection, record: InstanceRecord) -> _Series:
    found = connection.execute(
        select(SeriesRow.id, SeriesRow.study_pk, StudyRow.patient_pk)
        .join(StudyRow, StudyRow.id == SeriesRow.study_pk)
        .where(SeriesRow.uid == record.series_instance_uid)
    ).first()
    if found is not None:
        return _Series(*found)
    study_pk, patient_pk = _study(connection, record)
    values = record.attributes
    modality = values.get("Modality", "")
    pk = _inserted(
        connection,
        SeriesRow,
        uid=record.series_instance_uid,
        study_pk=study_pk,
        modality=modality,
        number=_integer(values.get("SeriesNumber")),
        description=values.get("SeriesDescription", ""),
        body_part=values.get("BodyPartExamined", ""),
        date=values.get("SeriesDate", ""),
        time=values.get("SeriesTime", ""),
        attributes=_level(record, Level.SERIES),
        state=SeriesState.RECEIVING,
        state_since=record.received_at,
        first_arrival=record.received_at,
        last_arrival=record.received_at,
    )
    connection.execute(
        update(StudyRow).where(StudyRow.id == study_pk).values(series=StudyRow.series + 1)
    )
    connection.execute(
        update(PatientRow).where(PatientRow.id == patient_pk).values(series=PatientRow.series + 1)
    )
    if modality:
        _add_modality(connection, study_pk, modality)
    return _Series(pk, study_pk, patient_pk)


def _study(connection: Connection, record: InstanceRecord) -> tuple[int, int]:
    found = connection.execute(
        select(StudyRow.id, StudyRow.patient_pk).where(StudyRow.uid == record.study_instance_uid)
    ).first()
    if found is not None:
        return found.id, found.patient_pk
    patient_pk = _patient(connection, record)
    values = record.attributes
    referring = values.get("ReferringPhysicianName", "")
    pk = _inserted(
        connection,
        StudyRow,
        uid=record.study_instance_uid,
        patient_pk=patient_pk,
        date=values.get("StudyDate", ""),
        time=values.get("StudyTime", ""),
        accession=values.get("AccessionNumber", ""),
        study_id=values.get("StudyID", ""),
        description=values.get("StudyDescription", ""),
        referring=referring,
        referring_key=fold(referring),
        modalities="",
        sop_classes="",
        attributes=_level(record, Level.STUDY),
    )
    connection.execute(
        update(PatientRow).where(PatientRow.id == patient_pk).values(studies=PatientRow.studies + 1)
    )
    return pk, patient_pk


def _patient(connection: Connection, record: InstanceRecord) -> int:
    values = record.attributes
    patient_id = values.get("PatientID", "")
    issuer = values.get("IssuerOfPatientID", "")
    found = connection.scalar(
        select(PatientRow.id).where(
            PatientRow.patient_id == patient_id, PatientRow.issuer == issuer
        )
    )
    if found is not None:
        return found
    name = values.get("PatientName", "")
    return _inserted(
        connection,
        PatientRow,
        patient_id=patient_id,
        issuer=issuer,
        name=name,
        name_key=fold(name),
        birth_date=values.get("PatientBirthDate", ""),
        sex=values.get("PatientSex", ""),
        attributes=_level(record, Level.PATIENT),
    )


def _add_modality(connection: Connection, study_pk: int, modality: str) -> None:
    row = StudyModalityRow
    known = connection.scalars(select(row.modality).where(row.study_pk == study_pk)).all()
    if modality in known:
        return
    connection.execute(insert(row).values(study_pk=study_pk, modality=modality))
    connection.execute(
        update(StudyRow)
        .where(StudyRow.id == study_pk)
        .values(modalities="\\".join(sorted([*known, modality])))
    )


def _add_sop_class(connection: Connection, study_pk: int, sop_class_uid: str) -> None:
    # Backslashes at both ends: one substring test finds a whole value.
    known = func.instr("\\" + StudyRow.sop_classes + "\\", "\\" + sop_class_uid + "\\")
    if connection.dialect.name != "sqlite":
        known = func.strpos("\\" + StudyRow.sop_classes + "\\", "\\" + sop_class_uid + "\\")
    connection.execute(
        update(StudyRow)
        .where(StudyRow.id == study_pk, known == 0)
        .values(
            sop_classes=case(
                (StudyRow.sop_classes == "", sop_class_uid),
                else_=StudyRow.sop_classes + "\\" + sop_class_uid,
            )
        )
    )


def _level(record: InstanceRecord, level: Level) -> dict[str, Any]:
    values = record.attributes
    return {a.keyword: values[a.keyword] for a in BY_LEVEL[level] if a.keyword in values}


def _integer(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None
