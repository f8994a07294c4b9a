"""Patients, studies and series of a batch: found in few statements, added where they are new.

An instance belongs to the series of its UID in its study, and the series to the study of its UID of
its patient. An attribute of the patient that an instance lacks fits every patient; one that the
study lacks is added to it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Row, Select, bindparam, delete, insert, select, update

from node.core.query_keys import Level, fold
from node.core.records import InstanceRecord, SeriesState, Shared
from node.dicom.persons import Person, differ
from node.storage.index import totals
from node.storage.index.patients import Patients, inserted, level_of, person_of
from node.storage.index.schema import PatientRow, SeriesRow, StudyModalityRow, StudyRow
from node.storage.index.series.namesakes import Pair
from node.storage.index.totals import Total, count

_AT_ONCE: Final = 500
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,12}")
_T = TypeVar("_T")

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


_OF_STUDY: Final = (
    StudyRow.uid.label("study_uid"),
    StudyRow.patient_pk,
    StudyRow.modalities,
    StudyRow.sop_classes,
    PatientRow.patient_id,
    PatientRow.issuer,
    PatientRow.name,
    PatientRow.birth_date,
)
_STUDIES: Final = select(StudyRow.id, *_OF_STUDY).join(
    PatientRow, PatientRow.id == StudyRow.patient_pk
)
_ROWS: Final[Select[*tuple[Any, ...]]] = (
    select(
        SeriesRow.id,
        SeriesRow.uid,
        SeriesRow.part,
        SeriesRow.study_pk,
        SeriesRow.state,
        SeriesRow.state_since,
        SeriesRow.revision,
        SeriesRow.last_arrival,
        *_OF_STUDY,
    )
    .join(StudyRow, StudyRow.id == SeriesRow.study_pk)
    .join(PatientRow, PatientRow.id == StudyRow.patient_pk)
    .with_for_update(of=SeriesRow, key_share=True)
)
"""Series, locked until the transaction ends: on PostgreSQL, too, no other transaction changes a
state between reading it here and moving it."""


@dataclass
class KnownStudy:
    """A study's row, with the changes that are written at the end."""

    pk: int
    uid: str
    patient_pk: int
    person: Person
    modalities: list[str]
    sop_classes: list[str]


@dataclass
class KnownSeries:
    """The row of a series before the batch."""

    pk: int
    study: KnownStudy
    state: str
    state_since: float
    revision: int
    last_arrival: float
    part: int


class Hierarchy:
    """Patients, studies and series of one batch.

    Args:
        connection: of `Index.writing`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._resolved: dict[tuple[str, str, Person], KnownSeries] = {}
        self._series: defaultdict[str, list[KnownSeries]] = defaultdict(list)
        self._series_by_pk: dict[int, KnownSeries] = {}
        self._studies: dict[str, list[KnownStudy]] = {}
        self._studies_by_pk: dict[int, KnownStudy] = {}
        self._patients = Patients(connection)
        self._left: set[int] = set()
        self.namesakes: list[Pair] = []
        self._counts: defaultdict[tuple[type[Any], int], Counter[str]] = defaultdict(Counter)

    def load(self, records: Iterable[InstanceRecord]) -> None:
        """Read the series of a batch."""
        uids = list({record.series_instance_uid for record in records})
        for at in range(0, len(uids), _AT_ONCE):
            part = uids[at : at + _AT_ONCE]
            for row in self._connection.execute(
                _ROWS.where(SeriesRow.uid.in_(part)).order_by(SeriesRow.id)
            ):
                self._remember(row)

    def series_of_instance(self, pk: int) -> KnownSeries:
        """The series of a row: an instance may belong to another series than a record says."""
        if pk not in self._series_by_pk:
            self._remember(self._connection.execute(_ROWS.where(SeriesRow.id == pk)).one())
        return self._series_by_pk[pk]

    def series(self, record: InstanceRecord) -> KnownSeries:
        """The series of a record; it is added if it is new."""
        person = person_of(record)
        key = record.series_instance_uid, record.study_instance_uid, person
        known = self._resolved.get(key)
        if known is None:
            candidates = [
                series
                for series in self._series[record.series_instance_uid]
                if series.study.uid == record.study_instance_uid
            ]
            known = _whose(person, candidates, lambda series: series.study.person)
            known = known or self._new_series(record, person)
            self._complete(known.study, record, person)
            self._resolved[key] = known
        return known

    def count_instance(self, series: KnownSeries, sop_class_uid: str) -> None:
        """Count one more instance of a series.

        Args:
            series: the series.
            sop_class_uid: of the instance.
        """
        study = series.study
        if sop_class_uid not in study.sop_classes:
            study.sop_classes.append(sop_class_uid)
        self._count(StudyRow, study.pk, "instances")
        self._count(PatientRow, study.patient_pk, "instances")

    def write_counts(self) -> None:
        """Write the counts, each row once."""
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
        for pk in sorted(self._left):
            gone = self._connection.execute(
                delete(PatientRow).where(PatientRow.id == pk, PatientRow.studies == 0)
            )
            count(self._connection, Total.PATIENTS, -gone.rowcount)

    def _count(self, table: type[Any], pk: int, what: str) -> None:
        self._counts[table, pk][what] += 1

    def _remember(self, row: Row[*tuple[Any, ...]]) -> None:
        if row.id in self._series_by_pk:
            return
        study = self._remembered(row, row.study_pk)
        series = KnownSeries(
            row.id, study, row.state, row.state_since, row.revision, row.last_arrival, row.part
        )
        self._series[row.uid].append(series)
        self._series_by_pk[series.pk] = series

    def _remembered(self, row: Row[*tuple[Any, ...]], pk: int) -> KnownStudy:
        if pk not in self._studies_by_pk:
            self._studies_by_pk[pk] = KnownStudy(
                pk,
                row.study_uid,
                row.patient_pk,
                Person(row.patient_id, row.issuer, row.name, row.birth_date),
                _values(row.modalities),
                _values(row.sop_classes),
            )
        return self._studies_by_pk[pk]

    def _new_series(self, record: InstanceRecord, person: Person) -> KnownSeries:
        study = self._study(record, person)
        others = self._series[record.series_instance_uid]
        part = 1 + max((series.part for series in others), default=-1)
        values = record.attributes
        modality = values.get("Modality", "")
        at = record.received_at
        pk = inserted(
            self._connection,
            SeriesRow,
            uid=record.series_instance_uid,
            part=part,
            study_pk=study.pk,
            modality=modality,
            number=integer_of(values.get("SeriesNumber")),
            description=values.get("SeriesDescription", ""),
            body_part=values.get("BodyPartExamined", ""),
            date=values.get("SeriesDate", ""),
            time=values.get("SeriesTime", ""),
            attributes=level_of(record, Level.SERIES),
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
        if others:
            self.namesakes.append(Pair(pk, others[0].pk, Shared.SERIES_UID))
        series = KnownSeries(pk, study, SeriesState.RECEIVING, at, 0, at, part)
        self._series_by_pk[pk] = series
        others.append(series)
        return series

    def _study(self, record: InstanceRecord, person: Person) -> KnownStudy:
        uid = record.study_instance_uid
        if uid not in self._studies:
            found = self._connection.execute(
                _STUDIES.where(StudyRow.uid == uid).order_by(StudyRow.id)
            ).all()
            self._studies[uid] = [self._remembered(row, row.id) for row in found]
        studies = self._studies[uid]
        known = _whose(person, studies, lambda study: study.person)
        if known is None:
            known = self._new_study(record, person)
            studies.append(known)
        return known

    def _new_study(self, record: InstanceRecord, person: Person) -> KnownStudy:
        patient_pk = self._patients.row_of(record, person)
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
            attributes=level_of(record, Level.STUDY),
        )
        count(self._connection, Total.STUDIES)
        self._count(PatientRow, patient_pk, "studies")
        study = KnownStudy(pk, record.study_instance_uid, patient_pk, person, [], [])
        self._studies_by_pk[pk] = study
        return study

    def _complete(self, study: KnownStudy, record: InstanceRecord, person: Person) -> None:
        """Add the attributes of the patient that a record has and the study lacks."""
        whole = study.person.with_more(person)
        if whole == study.person:
            return
        study.person = whole
        patient_pk = self._patients.row_of(record, whole)
        if patient_pk == study.patient_pk:
            self._patients.fill(patient_pk, record)
            return
        before = self._connection.execute(
            select(StudyRow.series, StudyRow.instances).where(StudyRow.id == study.pk)
        ).one()
        self._connection.execute(
            update(StudyRow).where(StudyRow.id == study.pk).values(patient_pk=patient_pk)
        )
        counted = self._counts[StudyRow, study.pk]
        moved = {
            "studies": 1,
            "series": before.series + counted["series"],
            "instances": before.instances + counted["instances"],
        }
        self._counts[PatientRow, patient_pk].update(moved)
        self._counts[PatientRow, study.patient_pk].subtract(moved)
        self._left.add(study.patient_pk)
        study.patient_pk = patient_pk


def _whose(person: Person, known: Sequence[_T], of: Callable[[_T], Person]) -> _T | None:
    """The one that is this person's: by equal attributes, or else by none that differs."""
    exact = [one for one in known if of(one) == person]
    return next(iter(exact), None) or next(
        (one for one in known if not differ(of(one), person)), None
    )


def _values(joined: str) -> list[str]:
    return joined.split("\\") if joined else []


def integer_of(value: object) -> int | None:
    """A number from text; None if that is not an Integer String (PS3.5 6.2: 32 bits)."""
    text = str(value).strip()
    found = int(text) if _WHOLE.fullmatch(text) else None
    return found if found is not None and -(2**31) <= found < 2**31 else None
