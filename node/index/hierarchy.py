"""Patients, studies and series of a batch: found in few statements, made where they are new."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, insert, select, update

from node.attributes import BY_LEVEL, Level, fold
from node.index import totals
from node.index.schema import PatientRow, SeriesRow, StudyModalityRow, StudyRow
from node.index.totals import Total, count
from node.records import InstanceRecord, SeriesState

_AT_ONCE: Final = 500
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,12}")

_COUNT_STUDY: Final = (
    update(StudyRow.__table__)  # type: ignore[arg-type]
    .where(StudyRow.id == bindparam("pk"))
    .values(
        series=StudyRow.series + bindparam("more_series"),
        instances=StudyRow.instances + bindparam("more_instances"),
        modalities=bindparam("now_modalities"),
        sop_classes=bindparam("now_sop_classes"),
    )
)
_COUNT_PATIENT: Final = (
    update(PatientRow.__table__)  # type: ignore[arg-type]
    .where(PatientRow.id == bindparam("pk"))
    .values(
        studies=PatientRow.studies + bindparam("more_studies"),
        series=PatientRow.series + bindparam("more_series"),
        instances=PatientRow.instances + bindparam("more_instances"),
    )
)


@dataclass
class KnownStudy:
    """A study's row, and what is written to it at the end."""

    pk: int
    patient_pk: int
    modalities: list[str]
    sop_classes: list[str]


@dataclass
class KnownSeries:
    """A series' row as it was before the batch."""

    pk: int
    study: KnownStudy
    state: str
    state_since: float
    revision: int
    last_arrival: float


class Hierarchy:
    """What is above the instances of one batch. Its transaction holds the write lock."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._series: dict[str, KnownSeries] = {}
        self._series_by_pk: dict[int, KnownSeries] = {}
        self._studies: dict[str, KnownStudy] = {}
        self._studies_by_pk: dict[int, KnownStudy] = {}
        self._patients: dict[tuple[str, str], int] = {}
        self._counts: defaultdict[tuple[type[Any], int], Counter[str]] = defaultdict(Counter)

    def load(self, records: Iterable[InstanceRecord]) -> None:
        """Find the series of a batch in one go."""
        uids = list({record.series_instance_uid for record in records})
        for at in range(0, len(uids), _AT_ONCE):
            part = uids[at : at + _AT_ONCE]
            for row in self._connection.execute(
                _rows().where(SeriesRow.uid.in_(part)).order_by(SeriesRow.id)
            ):
                self._remember(row)

    def series_of_instance(self, pk: int) -> KnownSeries:
        """The series by its key: an instance may lie in another one than a record says."""
        if pk not in self._series_by_pk:
            self._remember(self._connection.execute(_rows().where(SeriesRow.id == pk)).one())
        return self._series_by_pk[pk]

    def series(self, record: InstanceRecord) -> KnownSeries:
        """The series of a record, made if it is new."""
        known = self._series.get(record.series_instance_uid)
        return known or self._new_series(record)

    def count_instance(self, series: KnownSeries, sop_class_uid: str) -> None:
        """One more instance in a series."""
        study = series.study
        if sop_class_uid not in study.sop_classes:
            study.sop_classes.append(sop_class_uid)
        self._count(StudyRow, study.pk, "instances")
        self._count(PatientRow, study.patient_pk, "instances")

    def write_counts(self) -> None:
        """Write what was counted, each row once."""
        studies, patients = [], []
        for (table, pk), counter in sorted(self._counts.items(), key=lambda item: item[0][1]):
            row: dict[str, Any] = {
                "pk": pk,
                "more_series": counter["series"],
                "more_instances": counter["instances"],
            }
            if table is PatientRow:
                patients.append({**row, "more_studies": counter["studies"]})
                continue
            study = self._studies_by_pk[pk]
            row["now_modalities"] = "\\".join(sorted(study.modalities))
            row["now_sop_classes"] = "\\".join(study.sop_classes)
            studies.append(row)
        if studies:
            self._connection.execute(_COUNT_STUDY, studies)
        if patients:
            self._connection.execute(_COUNT_PATIENT, patients)

    def _count(self, table: type[Any], pk: int, what: str) -> None:
        self._counts[table, pk][what] += 1

    def _remember(self, row: Row[*tuple[Any, ...]]) -> None:
        study = self._studies_by_pk.get(row.study_pk)
        if study is None:
            study = KnownStudy(
                row.study_pk, row.patient_pk, _values(row.modalities), _values(row.sop_classes)
            )
            self._studies[row.study_uid] = self._studies_by_pk[study.pk] = study
        series = KnownSeries(
            row.id, study, row.state, row.state_since, row.revision, row.last_arrival
        )
        self._series[row.uid] = self._series_by_pk[series.pk] = series

    def _new_series(self, record: InstanceRecord) -> KnownSeries:
        study = self._study(record)
        values = record.attributes
        modality = values.get("Modality", "")
        at = record.received_at
        pk = inserted(
            self._connection,
            SeriesRow,
            uid=record.series_instance_uid,
            study_pk=study.pk,
            modality=modality,
            number=integer_of(values.get("SeriesNumber")),
            description=values.get("SeriesDescription", ""),
            body_part=values.get("BodyPartExamined", ""),
            date=values.get("SeriesDate", ""),
            time=values.get("SeriesTime", ""),
            attributes=_level(record, Level.SERIES),
            state=SeriesState.RECEIVING,
            state_since=at,
            first_arrival=at,
            last_arrival=at,
        )
        count(self._connection, Total.SERIES)
        count(self._connection, totals.in_state(SeriesState.RECEIVING))
        self._count(StudyRow, study.pk, "series")
        self._count(PatientRow, study.patient_pk, "series")
        if modality and modality not in study.modalities:
            study.modalities.append(modality)
            self._connection.execute(
                insert(StudyModalityRow).values(study_pk=study.pk, modality=modality)
            )
        series = KnownSeries(pk, study, SeriesState.RECEIVING, at, 0, at)
        self._series[record.series_instance_uid] = self._series_by_pk[pk] = series
        return series

    def _study(self, record: InstanceRecord) -> KnownStudy:
        uid = record.study_instance_uid
        if uid not in self._studies:
            row = self._connection.execute(
                select(
                    StudyRow.id, StudyRow.patient_pk, StudyRow.modalities, StudyRow.sop_classes
                ).where(StudyRow.uid == uid)
            ).first()
            study = (
                self._new_study(record)
                if row is None
                else KnownStudy(
                    row.id, row.patient_pk, _values(row.modalities), _values(row.sop_classes)
                )
            )
            self._studies[uid] = self._studies_by_pk[study.pk] = study
        return self._studies[uid]

    def _new_study(self, record: InstanceRecord) -> KnownStudy:
        patient_pk = self._patient(record)
        values = record.attributes
        referring = values.get("ReferringPhysicianName", "")
        pk = inserted(
            self._connection,
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
        count(self._connection, Total.STUDIES)
        self._count(PatientRow, patient_pk, "studies")
        return KnownStudy(pk, patient_pk, [], [])

    def _patient(self, record: InstanceRecord) -> int:
        values = record.attributes
        key = values.get("PatientID", ""), values.get("IssuerOfPatientID", "")
        if key in self._patients:
            return self._patients[key]
        found = self._connection.scalar(
            select(PatientRow.id).where(
                PatientRow.patient_id == key[0], PatientRow.issuer == key[1]
            )
        )
        if found is None:
            name = values.get("PatientName", "")
            found = inserted(
                self._connection,
                PatientRow,
                patient_id=key[0],
                issuer=key[1],
                name=name,
                name_key=fold(name),
                birth_date=values.get("PatientBirthDate", ""),
                sex=values.get("PatientSex", ""),
                attributes=_level(record, Level.PATIENT),
            )
            count(self._connection, Total.PATIENTS)
        self._patients[key] = found
        return found


def inserted(connection: Connection, table: type[Any], **values: Any) -> int:
    """Insert one row; returns its key."""
    key = connection.execute(insert(table).values(**values)).inserted_primary_key
    assert key is not None  # noqa: S101  both dialects return it
    return int(key[0])


def _rows() -> Select[*tuple[Any, ...]]:
    """Series as they stay until the transaction ends: on PostgreSQL, too, nobody moves one of them
    from the state that is read here before the batch has moved it."""
    found = select(
        SeriesRow.id,
        SeriesRow.uid,
        SeriesRow.study_pk,
        SeriesRow.state,
        SeriesRow.state_since,
        SeriesRow.revision,
        SeriesRow.last_arrival,
        StudyRow.uid.label("study_uid"),
        StudyRow.patient_pk,
        StudyRow.modalities,
        StudyRow.sop_classes,
    ).join(StudyRow, StudyRow.id == SeriesRow.study_pk)
    return found.with_for_update(of=SeriesRow, key_share=True)


def _values(joined: str) -> list[str]:
    return joined.split("\\") if joined else []


def _level(record: InstanceRecord, level: Level) -> dict[str, Any]:
    values = record.attributes
    return {a.keyword: values[a.keyword] for a in BY_LEVEL[level] if a.keyword in values}


def integer_of(value: object) -> int | None:
    """A number that a peer wrote as text; None if it is no IS (PS3.5 6.2: 32 bits)."""
    text = str(value).strip()
    found = int(text) if _WHOLE.fullmatch(text) else None
    return found if found is not None and -(2**31) <= found < 2**31 else None
