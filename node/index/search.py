"""Queries against the index: rows are streamed, the first before the last is read.

A query is narrowed by SQL as far as columns go; what only the kept attributes can tell is matched
by `node.matching` on the rows that come out, so that both say the same.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, Select, Text, and_, cast, or_, select, true

from node.attributes import Attribute, Level, fold
from node.index import where
from node.index.engine import Index
from node.index.schema import InstanceRow, PatientRow, SeriesRow, StudyModalityRow, StudyRow
from node.matching.conditions import (
    Condition,
    Empty,
    Every,
    Name,
    Number,
    OneOf,
    Range,
)
from node.matching.conditions import Text as TextCondition
from node.matching.query import Combined, Key, Query, Retrieve

_BATCH = 200  # rows that the database hands over at once
_LOOK = 256  # rows between two looks at whether anybody still wants the answer

_TABLES: dict[Level, type[Any]] = {
    Level.PATIENT: PatientRow,
    Level.STUDY: StudyRow,
    Level.SERIES: SeriesRow,
    Level.IMAGE: InstanceRow,
}
_COLUMNS: dict[str, Any] = {
    "PatientID": PatientRow.patient_id,
    "IssuerOfPatientID": PatientRow.issuer,
    "PatientName": PatientRow.name,
    "PatientBirthDate": PatientRow.birth_date,
    "PatientSex": PatientRow.sex,
    "NumberOfPatientRelatedStudies": PatientRow.studies,
    "NumberOfPatientRelatedSeries": PatientRow.series,
    "NumberOfPatientRelatedInstances": PatientRow.instances,
    "StudyInstanceUID": StudyRow.uid,
    "StudyDate": StudyRow.date,
    "StudyTime": StudyRow.time,
    "AccessionNumber": StudyRow.accession,
    "StudyID": StudyRow.study_id,
    "StudyDescription": StudyRow.description,
    "ReferringPhysicianName": StudyRow.referring,
    "ModalitiesInStudy": StudyRow.modalities,
    "SOPClassesInStudy": StudyRow.sop_classes,
    "NumberOfStudyRelatedSeries": StudyRow.series,
    "NumberOfStudyRelatedInstances": StudyRow.instances,
    "SeriesInstanceUID": SeriesRow.uid,
    "Modality": SeriesRow.modality,
    "SeriesDescription": SeriesRow.description,
    "BodyPartExamined": SeriesRow.body_part,
    "SeriesDate": SeriesRow.date,
    "SeriesTime": SeriesRow.time,
    "NumberOfSeriesRelatedInstances": SeriesRow.instances,
    "SOPInstanceUID": InstanceRow.uid,
    "SOPClassUID": InstanceRow.sop_class_uid,
}
"""Attributes that a column holds as they are."""
_NUMBERS: dict[str, Any] = {
    "SeriesNumber": SeriesRow.number,
    "InstanceNumber": InstanceRow.number,
}
"""Attributes of which a column holds the number, if it is one."""
_NAME_GROUPS: tuple[Any, ...] = (
    PatientRow.name_alphabetic,
    PatientRow.name_ideographic,
    PatientRow.name_phonetic,
)
_NOT_TEXT = ("ReferringPhysicianName", "ModalitiesInStudy", "SOPClassesInStudy")
_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class Sendable:
    """An instance that can be sent: where its data set is, and in what encoding."""

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: str
    size: int
    sha256: str
    data_set_offset: int


def sendable_columns() -> tuple[Any, ...]:
    """The columns of a `Sendable`, in the order of its fields."""
    return (
        InstanceRow.uid,
        InstanceRow.sop_class_uid,
        InstanceRow.transfer_syntax_uid,
        InstanceRow.path,
        InstanceRow.size,
        InstanceRow.sha256,
        InstanceRow.data_set_offset,
    )


class Search:
    """Answers C-FIND, and finds what C-MOVE and C-GET send. Safe for many threads."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def find(
        self, query: Query, stop: Callable[[], bool] = lambda: False
    ) -> Generator[dict[str, Any]]:
        """Every entity that matches, as keyword -> value, in no order that is promised.

        Args:
            stop: asked now and then while rows are read that do not match.

        Raises:
            IndexUnavailable: the database does not answer.
        """
        plan = _Plan(query, sqlite=self._index.is_sqlite)
        with self._index.reading() as connection:
            streaming = connection.execution_options(stream_results=True, max_row_buffer=_BATCH)
            with closing(streaming.execute(plan.statement)) as result:
                for number, row in enumerate(result):
                    record = plan.record(row)
                    if plan.holds(record):
                        yield record
                    elif number % _LOOK == 0 and stop():
                        return

    def select(self, retrieve: Retrieve) -> Sequence[int]:
        """The rows of all instances of a retrieval, series by series in order of their numbers."""
        statement = self._retrieved(retrieve, InstanceRow.id).order_by(
            InstanceRow.series_pk, InstanceRow.number, InstanceRow.id
        )
        with self._index.reading() as connection:
            return array("q", connection.scalars(statement))

    def kinds(self, retrieve: Retrieve) -> list[tuple[str, str]]:
        """SOP classes and transfer syntaxes of a retrieval, each pair once."""
        statement = self._retrieved(
            retrieve, InstanceRow.sop_class_uid, InstanceRow.transfer_syntax_uid
        ).distinct()
        with self._index.reading() as connection:
            return sorted((row[0], row[1]) for row in connection.execute(statement))

    def _retrieved(self, retrieve: Retrieve, *columns: Any) -> Select[Any]:
        statement = (
            select(*columns)
            .join(SeriesRow, SeriesRow.id == InstanceRow.series_pk)
            .join(StudyRow, StudyRow.id == SeriesRow.study_pk)
            .join(PatientRow, PatientRow.id == StudyRow.patient_pk)
        )
        unique: dict[Level, Any] = {
            Level.PATIENT: PatientRow.patient_id,
            Level.STUDY: StudyRow.uid,
            Level.SERIES: SeriesRow.uid,
            Level.IMAGE: InstanceRow.uid,
        }
        for level, uids in retrieve.uids:
            statement = statement.where(
                where.one_of(unique[level], uids, sqlite=self._index.is_sqlite)
            )
        return statement

    def sendable(self, rows: Sequence[int]) -> list[Sendable]:
        """The instances of some rows, in the same order."""
        key: Any = InstanceRow.id
        statement = select(key, *sendable_columns()).where(
            where.one_of(key, list(rows), sqlite=self._index.is_sqlite)
        )
        with self._index.reading() as connection:
            found = {row[0]: Sendable(*row[1:]) for row in connection.execute(statement)}
        return [found[row] for row in rows if row in found]


class _Plan:
    """The statement of a query, and how to read its rows."""

    def __init__(self, query: Query, *, sqlite: bool) -> None:
        self._sqlite = sqlite
        self._unsettled: list[Key | Combined] = []
        clauses = [self._clause(key) for key in query.keys if key.selective]
        clauses += [self._combined(pair) for pair in query.combined]
        wanted = {level: _wanted(query, level, self._unsettled) for level in Level}
        self._counts: list[tuple[int, str]] = []
        self._texts: list[tuple[int, str]] = []
        self._json: list[int] = []
        columns = self._columns(query, wanted)
        self.statement = _joined(query, columns, clauses, wanted)

    def record(self, row: Row[Any]) -> dict[str, Any]:
        """A row as keyword -> value."""
        record: dict[str, Any] = {}
        for position in self._json:
            record.update(_decode(row[position]))
        for position, keyword in self._texts:
            record[keyword] = row[position]
        for position, keyword in self._counts:
            record[keyword] = str(row[position])
        return record

    def holds(self, record: dict[str, Any]) -> bool:
        """Whether what SQL could not settle matches."""
        return all(one.matches(record) for one in self._unsettled)

    def _columns(self, query: Query, wanted: dict[Level, set[str]]) -> list[Any]:
        columns: list[Any] = []
        for level, keywords in wanted.items():
            if keywords - _COLUMNS.keys():
                self._json.append(len(columns))
                columns.append(cast(_TABLES[level].attributes, Text))
            for keyword in sorted(keywords & _COLUMNS.keys()):
                places = self._counts if keyword.startswith("NumberOf") else self._texts
                places.append((len(columns), keyword))
                columns.append(_COLUMNS[keyword])
        return columns or [_TABLES[query.level].id]

    def _clause(self, key: Key) -> ColumnElement[bool]:
        """The key in SQL; if that is not exact, the key is left to be matched again."""
        found = self._where(key)
        if found is None:
            self._unsettled.append(key)
            return true()
        if not found.exact:
            self._unsettled.append(key)
        return or_(found.clause, _is_empty(key.attribute)) if key.required else found.clause

    def _where(self, key: Key) -> where.Where | None:  # noqa: PLR0911 - one line a kind
        keyword, condition, sqlite = key.attribute.keyword, key.condition, self._sqlite
        if keyword == "PatientName" and isinstance(condition, Name | Empty):
            return where.name_is(_NAME_GROUPS, condition, sqlite=sqlite)
        if keyword == "ModalitiesInStudy":
            return _modalities(condition, sqlite=sqlite)
        if keyword == "ReferringPhysicianName":
            return _referring(condition, sqlite=sqlite)
        column = _COLUMNS.get(keyword)
        if column is None or keyword in _NOT_TEXT:
            if keyword in _NUMBERS and isinstance(condition, Number):
                number = _NUMBERS[keyword]
                same = where.number_is(number, condition, sqlite=sqlite)
                return where.Where(or_(same, number.is_(None)), exact=False)
            return None
        if isinstance(condition, Number):
            return where.Where(where.number_is(column, condition, sqlite=sqlite))
        if isinstance(condition, Range):
            return where.Where(where.in_range(column, condition))
        if isinstance(condition, TextCondition | OneOf | Empty):
            return where.text_is(column, condition, sqlite=sqlite)
        return None

    def _combined(self, pair: Combined) -> ColumnElement[bool]:
        date, time = _COLUMNS.get(pair.date.keyword), _COLUMNS.get(pair.time.keyword)
        if date is None or time is None:
            self._unsettled.append(pair)
            return true()
        inside = where.in_combined_range(date, time, pair.dates, pair.times)
        if not pair.required:
            return inside
        dates = where.in_range(date, Range((pair.dates,)))
        return or_(inside, date == "", and_(dates, time == ""))


def _is_empty(attribute: Attribute) -> ColumnElement[bool]:
    if attribute.keyword == "PatientName":
        return and_(*(group == "" for group in _NAME_GROUPS))
    number = _NUMBERS.get(attribute.keyword)
    return and_(_COLUMNS[attribute.keyword] == "" if number is None else number.is_(None))


def _modalities(condition: Condition, *, sqlite: bool) -> where.Where | None:
    if isinstance(condition, Every):
        parts = [_modalities(part, sqlite=sqlite) for part in condition.conditions]
        clauses = [part.clause for part in parts if part is not None]
        exact = all(part is not None and part.exact for part in parts)
        return where.Where(and_(*clauses), exact)
    if isinstance(condition, Empty):
        return where.Where(StudyRow.modalities == "")
    if not isinstance(condition, TextCondition):
        return None
    modality: Any = StudyModalityRow.modality
    found = where.fits(modality, condition.patterns, sqlite=sqlite)
    studies = select(StudyModalityRow.study_pk).where(found.clause)
    return where.Where(StudyRow.id.in_(studies), found.exact)


def _referring(condition: Condition, *, sqlite: bool) -> where.Where | None:
    """By the key's beginning where a name has one group, which hardly any has more of."""
    if isinstance(condition, Empty):
        return where.Where(StudyRow.referring == "", exact=False)
    if not isinstance(condition, Name) or any(not p.anywhere for p in condition.patterns):
        return None
    key: Any = StudyRow.referring_key  # folded, but with the padding around components
    begins = [
        where.begins(key, fold(pattern.prefix.partition("^")[0]).rstrip())
        for one in condition.patterns
        for pattern in one.groups[0]
    ]
    several = key.op("GLOB" if sqlite else "LIKE")("*=*" if sqlite else "%=%")
    return where.Where(or_(*begins, several), exact=False)


def _wanted(query: Query, level: Level, unsettled: Sequence[Key | Combined]) -> set[str]:
    """Keywords of a level that a response carries or that have to be matched again."""
    attributes = [key.attribute for key in query.keys]
    for one in unsettled:
        attributes += [one.attribute] if isinstance(one, Key) else [one.date, one.time]
    return {attribute.keyword for attribute in attributes if attribute.level is level}


def _joined(
    query: Query,
    columns: Sequence[Any],
    clauses: Sequence[ColumnElement[bool]],
    wanted: dict[Level, set[str]],
) -> Select[Any]:
    """The tables from the query's level up to the highest that is needed."""
    levels = list(Level)
    depth = levels.index(query.level)
    top = min([depth, *(levels.index(level) for level, keywords in wanted.items() if keywords)])
    statement = select(*columns).select_from(_TABLES[query.level])
    parents = {
        Level.IMAGE: (SeriesRow, SeriesRow.id == InstanceRow.series_pk),
        Level.SERIES: (StudyRow, StudyRow.id == SeriesRow.study_pk),
        Level.STUDY: (PatientRow, PatientRow.id == StudyRow.patient_pk),
    }
    for level in reversed(levels[top + 1 : depth + 1]):
        table, condition = parents[level]
        statement = statement.join(table, condition)
    return statement.where(*clauses)
