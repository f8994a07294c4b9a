"""Patients of a batch: found by ID, or without an ID by name and birth date; or added."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from node.core.query_keys import BY_LEVEL, Level, fold, name_groups
from node.core.records import InstanceRecord
from node.dicom.persons import Person, differ
from node.storage.index.column_types import indexed
from node.storage.index.schema import PatientRow
from node.storage.index.totals import Total, count

_MOST: Final = 500  # patients of one ID that are compared


class Patients:
    """The rows of patients.

    Args:
        connection: of `Index.writing`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[Person, int] = {}

    def row_of(self, record: InstanceRecord, person: Person) -> int:
        """The row of a patient; it is added if there is none.

        Args:
            record: an instance of the patient.
            person: who the record says the patient is.
        """
        found = self._known.get(person)
        if found is None:
            found = self._found(person)
            if found is None:
                found = self._new(record, person)
            self._known[person] = found
        return found

    def fill(self, patient_pk: int, record: InstanceRecord) -> None:
        """Add the attributes of a record that a patient's row lacks.

        Args:
            patient_pk: the row.
            record: an instance of the patient.
        """
        row = self._connection.execute(select(PatientRow).where(PatientRow.id == patient_pk)).one()
        values = level_of(record, Level.PATIENT)
        known = {key: value for key, value in row.attributes.items() if value}
        name = row.name or values.get("PatientName", "")
        groups = name_groups(name)
        self._connection.execute(
            update(PatientRow)
            .where(PatientRow.id == patient_pk)
            .values(
                name=name,
                name_key=fold(name),
                name_alphabetic=groups[0],
                name_ideographic=groups[1],
                name_phonetic=groups[2],
                birth_date=row.birth_date or values.get("PatientBirthDate", ""),
                sex=row.sex or values.get("PatientSex", ""),
                attributes={**row.attributes, **values, **known},
            )
        )

    def _found(self, person: Person) -> int | None:
        """The first patient of that ID, without an ID of that name, who does not differ."""
        row = PatientRow
        query = (
            select(row.id, row.name, row.birth_date)
            .where(row.patient_id == person.patient_id, row.issuer == person.issuer)
            .order_by(row.id)
            .limit(_MOST)
        )
        if not person.patient_id:
            query = query.where(
                row.name_key == fold(person.name), row.birth_date == person.birth_date
            )
        for found in self._connection.execute(query):
            known = Person(person.patient_id, person.issuer, found.name, found.birth_date)
            if not differ(known, person):
                return int(found.id)
        return None

    def _new(self, record: InstanceRecord, person: Person) -> int:
        own = level_of(record, Level.PATIENT)
        values = {**own, **{key: one for key, one in _values(person).items() if not own.get(key)}}
        pk = inserted(
            self._connection,
            PatientRow,
            patient_id=person.patient_id,
            issuer=person.issuer,
            name=person.name,
            name_key=fold(person.name),
            birth_date=person.birth_date,
            sex=values.get("PatientSex", ""),
            attributes=values,
        )
        count(self._connection, Total.PATIENTS)
        return pk


def person_of(record: InstanceRecord) -> Person:
    """The patient of a record, as the columns of its row say it."""
    value = record.attributes.get
    return Person(
        indexed(value("PatientID", "")),
        indexed(value("IssuerOfPatientID", "")),
        value("PatientName", ""),
        indexed(value("PatientBirthDate", "")),
    )


def _values(person: Person) -> dict[str, str]:
    values = {
        "PatientID": person.patient_id,
        "IssuerOfPatientID": person.issuer,
        "PatientName": person.name,
        "PatientBirthDate": person.birth_date,
    }
    return {key: value for key, value in values.items() if value}


def level_of(record: InstanceRecord, level: Level) -> dict[str, Any]:
    """The attributes of a record that belong to a level: keyword to value.

    Args:
        record: the record.
        level: of the hierarchy.
    """
    values = record.attributes
    return {a.keyword: values[a.keyword] for a in BY_LEVEL[level] if a.keyword in values}


def inserted(connection: Connection, table: type[Any], **values: Any) -> int:
    """Insert one row.

    Args:
        connection: of `Index.writing`.
        table: the table.
        values: by column.

    Returns:
        The key of the row.
    """
    key = connection.execute(insert(table).values(**values)).inserted_primary_key
    assert key is not None  # noqa: S101  both dialects return it
    return int(key[0])
