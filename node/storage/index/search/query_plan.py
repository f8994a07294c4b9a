"""A C-FIND query as one SQL statement, and its rows as records.

SQL matches the keys that have columns, exactly or too widely. The other keys, and those that SQL
matches too widely, are matched by `node.dicom.matching` on the rows that SQL returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, Select, Text, and_, cast, exists, or_, select, true

from node.core.query_keys import Attribute, Level, fold
from node.dicom.matching.conditions import Condition, Empty, Every, Name, Number, OneOf, Range
from node.dicom.matching.conditions import Text as TextCondition
from node.dicom.matching.query import Combined, Key, Query
from node.storage.index.schema import InstanceRow, PatientRow, SeriesRow, StudyModalityRow, StudyRow
from node.storage.index.search import where

_PATIENT: Any = PatientRow.__table__.c
_STUDY: Any = StudyRow.__table__.c
_SERIES: Any = SeriesRow.__table__.c
_INSTANCE: Any = InstanceRow.__table__.c
_MODALITY: Any = StudyModalityRow.__table__.c

TABLES: dict[Level, Any] = {
    Level.PATIENT: PatientRow.__table__,
    Level.STUDY: StudyRow.__table__,
    Level.SERIES: SeriesRow.__table__,
    Level.IMAGE: InstanceRow.__table__,
}
_PARENTS: dict[Level, ColumnElement[bool]] = {
    Level.IMAGE: _SERIES.id == _INSTANCE.series_pk,
    Level.SERIES: _STUDY.id == _SERIES.study_pk,
    Level.STUDY: _PATIENT.id == _STUDY.patient_pk,
}
UNIQUE: dict[Level, Any] = {
    Level.PATIENT: _PATIENT.patient_id,
    Level.STUDY: _STUDY.uid,
    Level.SERIES: _SERIES.uid,
    Level.IMAGE: _INSTANCE.uid,
}
_COLUMNS: dict[str, Any] = {
    "PatientID": _PATIENT.patient_id,
    "IssuerOfPatientID": _PATIENT.issuer,
    "PatientName": _PATIENT.name,
    "PatientBirthDate": _PATIENT.birth_date,
    "PatientSex": _PATIENT.sex,
    "NumberOfPatientRelatedStudies": _PATIENT.studies,
    "NumberOfPatientRelatedSeries": _PATIENT.series,
    "NumberOfPatientRelatedInstances": _PATIENT.instances,
    "StudyInstanceUID": _STUDY.uid,
    "StudyDate": _STUDY.date,
    "StudyTime": _STUDY.time,
    "AccessionNumber": _STUDY.accession,
    "StudyID": _STUDY.study_id,
    "StudyDescription": _STUDY.description,
    "ReferringPhysicianName": _STUDY.referring,
    "ModalitiesInStudy": _STUDY.modalities,
    "SOPClassesInStudy": _STUDY.sop_classes,
    "NumberOfStudyRelatedSeries": _STUDY.series,
    "NumberOfStudyRelatedInstances": _STUDY.instances,
    "SeriesInstanceUID": _SERIES.uid,
    "Modality": _SERIES.modality,
    "SeriesDescription": _SERIES.description,
    "BodyPartExamined": _SERIES.body_part,
    "SeriesDate": _SERIES.date,
    "SeriesTime": _SERIES.time,
    "NumberOfSeriesRelatedInstances": _SERIES.instances,
    "SOPInstanceUID": _INSTANCE.uid,
    "SOPClassUID": _INSTANCE.sop_class_uid,
}
"""Attributes with a column for their text."""
_NUMBERS: dict[str, Any] = {"SeriesNumber": _SERIES.number, "InstanceNumber": _INSTANCE.number}
"""Attributes with a column for their number, which is NULL if the text is not a number."""
_NAME_GROUPS = (_PATIENT.name_alphabetic, _PATIENT.name_ideographic, _PATIENT.name_phonetic)
_NOT_TEXT = frozenset({"ReferringPhysicianName", "ModalitiesInStudy", "SOPClassesInStudy"})
_SELECTIVE = frozenset(
    {
        "PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "StudyDate",
        "AccessionNumber", "StudyID", "SeriesInstanceUID", "SOPInstanceUID",
    }
)  # fmt: skip
"""Keys with an index that select few rows."""
_PREFIX = 3  # characters of a prefix that selects few rows
_FEW_DAYS = 7  # of a range that selects few rows
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Plan:
    """The statement of a query, and how to read its rows.

    Args:
        query: the identifier of a C-FIND.
        sqlite: whether the index is an SQLite file; else it is PostgreSQL.
    """

    def __init__(self, query: Query, *, sqlite: bool) -> None:
        self._sqlite = sqlite
        self._inexact: list[Key | Combined] = []  # to be matched again
        selective = [key for key in query.keys if key.selective]
        self._narrow = bool(query.combined) or any(
            key.attribute.keyword in _SELECTIVE for key in selective
        )
        # Without statistics SQLite assumes that every range of dates selects few rows.
        self._dates_last = sqlite and any(_leaves_few(key) for key in selective)
        clauses = [self._clause(key) for key in selective]
        clauses += [self._combined(pair) for pair in query.combined]
        wanted = {level: _wanted(query, level) for level in Level}
        self._counts: list[tuple[int, str]] = []
        self._texts: list[tuple[int, str]] = []
        self._json: list[int] = []
        columns = self._columns(query, wanted)
        self.statement = _joined(query.level, columns, wanted).where(*clauses)

    def record(self, row: Row[Any]) -> dict[str, Any]:
        """A row as keyword to value."""
        record: dict[str, Any] = {}
        for position in self._json:
            record.update(_decode(row[position]))
        for position, keyword in self._texts:
            record[keyword] = row[position]
        for position, keyword in self._counts:
            record[keyword] = str(row[position])
        return record

    def holds(self, record: dict[str, Any]) -> bool:
        """Whether a record matches the keys that SQL did not match exactly."""
        return all(one.matches(record) for one in self._inexact)

    def _columns(self, query: Query, wanted: dict[Level, set[str]]) -> list[Any]:
        columns: list[Any] = []
        for level, keywords in wanted.items():
            if keywords - _COLUMNS.keys():
                self._json.append(len(columns))
                columns.append(cast(TABLES[level].c.attributes, Text))
            for keyword in sorted(keywords & _COLUMNS.keys()):
                places = self._counts if keyword.startswith("NumberOf") else self._texts
                places.append((len(columns), keyword))
                columns.append(_COLUMNS[keyword])
        return columns or [TABLES[query.level].c.id]

    def _clause(self, key: Key) -> ColumnElement[bool]:
        """The key as SQL; if that is not exact, the key is matched again."""
        found = self._where(key)
        if found is None:
            self._inexact.append(key)
            return true()
        if not found.exact:
            self._inexact.append(key)
        return or_(found.clause, _is_empty(key.attribute)) if key.required else found.clause

    def _where(self, key: Key) -> where.Where | None:
        keyword, condition, sqlite = key.attribute.keyword, key.condition, self._sqlite
        if keyword == "PatientName" and isinstance(condition, Name | Empty):
            return where.name_is(_NAME_GROUPS, condition, sqlite=sqlite)
        if keyword == "ModalitiesInStudy":
            return _modalities(condition, narrow=self._narrow, sqlite=sqlite)
        if keyword == "ReferringPhysicianName":
            return _referring(condition, sqlite=sqlite)
        if keyword in _NUMBERS and isinstance(condition, Number):
            number = _NUMBERS[keyword]
            same = where.number_is(number, condition, sqlite=sqlite)
            return where.Where(or_(same, number.is_(None)), exact=False)
        column = None if keyword in _NOT_TEXT else _COLUMNS.get(keyword)
        if self._dates_last and isinstance(condition, Range) and _is_wide(condition):
            column = None if column is None else column + ""  # which no index answers
        return None if column is None else _of_column(column, condition, sqlite=sqlite)

    def _combined(self, pair: Combined) -> ColumnElement[bool]:
        date, time = _COLUMNS.get(pair.date.keyword), _COLUMNS.get(pair.time.keyword)
        if date is None or time is None:
            self._inexact.append(pair)
            return true()
        inside = where.in_combined_range(date, time, pair.dates, pair.times)
        if not pair.required:
            return inside
        dates = where.in_range(date, Range((pair.dates,)))
        return or_(inside, date == "", and_(dates, time == ""))


def _leaves_few(key: Key) -> bool:
    """Whether a key with an index selects so few rows that no other index is needed."""
    condition = key.condition
    if key.attribute.keyword not in _SELECTIVE:
        return False
    if isinstance(condition, Name):
        patterns = [p for name in condition.patterns for group in name.groups for p in group]
        return all(len(pattern.prefix) >= _PREFIX for pattern in patterns)
    if isinstance(condition, TextCondition):
        return all(len(pattern.prefix) >= _PREFIX for pattern in condition.patterns)
    return isinstance(condition, OneOf)


def _is_wide(condition: Range) -> bool:
    """Whether a range of dates is open or longer than some days."""
    for low, high in condition.bounds:
        if low is None or high is None or not (low.isdecimal() and high[:8].isdecimal()):
            return True
        if int(high[:8]) - int(low) > _FEW_DAYS:
            return True
    return False


def _of_column(column: Any, condition: Condition, *, sqlite: bool) -> where.Where | None:
    if isinstance(condition, Number):
        return where.Where(where.number_is(column, condition, sqlite=sqlite))
    if isinstance(condition, Range):
        return where.Where(where.in_range(column, condition))
    if isinstance(condition, TextCondition | OneOf | Empty):
        return where.text_is(column, condition, sqlite=sqlite)
    return None


def _is_empty(attribute: Attribute) -> ColumnElement[bool]:
    if attribute.keyword == "PatientName":
        # Only the index of the first group may be used: the other groups are mostly empty.
        alphabetic, ideographic, phonetic = _NAME_GROUPS
        return and_(alphabetic == "", ideographic + phonetic == "")
    number = _NUMBERS.get(attribute.keyword)
    return and_(_COLUMNS[attribute.keyword] == "" if number is None else number.is_(None))


def _modalities(condition: Condition, *, narrow: bool, sqlite: bool) -> where.Where | None:
    """ModalitiesInStudy: tested for each study if other keys select few, else searched first."""
    if isinstance(condition, Every):
        parts = [_modalities(part, narrow=True, sqlite=sqlite) for part in condition.conditions]
        clauses = [part.clause for part in parts if part is not None]
        exact = all(part is not None and part.exact for part in parts)
        return where.Where(and_(*clauses), exact)
    if isinstance(condition, Empty):
        return where.Where(_STUDY.modalities == "")
    if not isinstance(condition, TextCondition):
        return None
    found = where.fits(_MODALITY.modality, condition.patterns, sqlite=sqlite)
    if narrow:
        of_study = select(_MODALITY.modality).where(_MODALITY.study_pk == _STUDY.id, found.clause)
        return where.Where(exists(of_study), found.exact)
    literals = [pattern.literal for pattern in condition.patterns]
    if len(literals) == 1 and literals[0] is not None:
        return where.Where(and_(found.clause, _MODALITY.study_pk == _STUDY.id))
    return where.Where(_STUDY.id.in_(select(_MODALITY.study_pk).where(found.clause)), found.exact)


def _referring(condition: Condition, *, sqlite: bool) -> where.Where | None:
    """ReferringPhysicianName by its prefix; names of several groups, which are rare, are all
    selected."""
    if isinstance(condition, Empty):
        return where.Where(_STUDY.referring == "", exact=False)
    if not isinstance(condition, Name) or any(not p.anywhere for p in condition.patterns):
        return None
    key = _STUDY.referring_key  # folded, but with the padding around components
    begins = [
        where.begins(key, fold(pattern.prefix.partition("^")[0]).rstrip())
        for one in condition.patterns
        for pattern in one.groups[0]
    ]
    several = key.op("GLOB" if sqlite else "LIKE")("*=*" if sqlite else "%=%")
    return where.Where(or_(*begins, several), exact=False)


def _wanted(query: Query, level: Level) -> set[str]:
    """Keywords of a level that the response has or that are matched again."""
    return {key.attribute.keyword for key in query.keys if key.attribute.level is level}


def _joined(level: Level, columns: Sequence[Any], wanted: dict[Level, set[str]]) -> Select[Any]:
    """The tables from the query's level up to the highest level that is needed."""
    levels = list(Level)
    depth = levels.index(level)
    top = min([depth, *(levels.index(one) for one, keywords in wanted.items() if keywords)])
    tables = TABLES[level]
    for below in reversed(levels[top + 1 : depth + 1]):
        above = levels[levels.index(below) - 1]
        tables = tables.join(TABLES[above], _PARENTS[below])
    return select(*columns).select_from(tables)
