"""What people want to find: search text and filters as conditions in SQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import ColumnElement, UnaryExpression, and_, exists, or_, select, true
from sqlalchemy.sql.operators import custom_op

from node.core.query_keys import fold
from node.core.records import SeriesState
from node.storage.index.schema import (
    ArrivalRow,
    AssociationRow,
    PatientRow,
    SeriesRow,
    StudyRow,
)
from node.storage.index.search.narrow import TEXT

MOST_WORDS: Final = 8
"""Of a search; each costs a pass over the index."""
LONGEST_TEXT: Final = 200
"""Characters of a search."""

Condition = ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be found; without values everything is.

    Attributes:
        text: words that all have to occur in what describes the series, its study or, with
            `identifiers`, its patient; upper and lower case are the same.
        identifiers: whether patient ID, name and accession number are searched, too.
        states: only series in one of these.
        modalities: only series of one of these.
        first, last: only series of these days or between them, YYYYMMDD; empty: no limit.
        senders: only series that one of these AE titles sent.
        projects: only series that were sent to one of these AE titles of the node.
    """

    text: str = ""
    identifiers: bool = False
    states: tuple[SeriesState, ...] = ()
    modalities: tuple[str, ...] = ()
    first: str = ""
    last: str = ""
    senders: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """The words of the text, each once."""
        return list(dict.fromkeys(self.text.split()))[:MOST_WORDS]

    @property
    def is_everything(self) -> bool:
        """Whether it excludes nothing."""
        return not self.words and not self.conditions() and not self.senders_and_projects()

    def conditions(self, column: Callable[[Any], Any] = lambda column: column) -> list[Condition]:
        """The conditions on the series itself, without those of the text.

        Args:
            column: returns a column as it is to be written.
        """
        row, found = SeriesRow, list[Condition]()
        state, modality, date = (column(each) for each in (row.state, row.modality, row.date))
        if self.states:
            found.append(state.in_(self.states))
        if self.modalities:
            found.append(modality.in_(self.modalities))
        if self.first:
            found.append(date >= self.first)
        if self.last:
            found.append(date <= self.last)
        if self.first or self.last:
            found.append(date != "")
        return found

    def senders_and_projects(self, key: Any = SeriesRow.id) -> list[Condition]:
        """The conditions on who sent a series, and to which project.

        Args:
            key: of the series.
        """
        return [
            key.in_(_sent(title, titles))
            for title, titles in (
                (AssociationRow.calling_ae, self.senders),
                (AssociationRow.called_ae, self.projects),
            )
            if titles
        ]

    def sent(self, column: Callable[[Any], Any] = lambda column: column) -> list[Condition]:
        """The same conditions, to be asked of each series when there are few to ask of.

        Args:
            column: returns a column as it is to be written.
        """
        arrival, association = ArrivalRow, AssociationRow
        return [
            exists().where(
                arrival.series_pk == SeriesRow.id,
                association.id == arrival.association_pk,
                column(title).in_(titles),
            )
            for title, titles in (
                (association.calling_ae, self.senders),
                (association.called_ae, self.projects),
            )
            if titles
        ]

    def texts(self, *, sqlite: bool) -> list[Condition]:
        """A condition on a series for each word of the text.

        Args:
            sqlite: whether the index is an SQLite file; else it is PostgreSQL.
        """
        return [self._has(word, sqlite=sqlite) for word in self.words]

    def _has(self, word: str, *, sqlite: bool) -> Condition:
        row, study, patient = SeriesRow, StudyRow, PatientRow
        contains = partial(_contains, sqlite=sqlite)
        exact = partial(_contains, sqlite=True)  # nothing to fold, which PostgreSQL is slow at
        of_study = [contains(study.description, word), exact(study.uid, word)]
        if self.identifiers:
            people = select(patient.id).where(
                or_(contains(patient.patient_id, word), exact(patient.name_key, fold(word)))
            )
            of_study += [
                contains(study.accession, word),
                study.patient_pk.in_(people),
            ]
        studies = select(study.id).where(or_(*of_study))
        own = [contains(row.description, word), contains(row.uid, word)]
        if not sqlite:
            own = [TEXT.like(each, escape="\\") for each in _patterns(word, fold_ascii)]
        return or_(*own, row.study_pk.in_(studies))


def _sent(column: Any, titles: tuple[str, ...]) -> Any:
    associations = select(AssociationRow.id).where(column.in_(titles))
    return select(ArrivalRow.series_pk).where(ArrivalRow.association_pk.in_(associations))


def _contains(column: Any, word: str, *, sqlite: bool) -> Condition:
    """A text column that has a word in it, whatever the case; `%` and `_` are letters.

    Databases fold ASCII letters; of others the usual spellings are tried.

    Args:
        column: of text.
        word: the word.
        sqlite: whether LIKE is right: SQLite's folds, and is twice as fast as ILIKE.
    """
    like = column.like if sqlite else column.ilike
    return or_(*(like(pattern, escape="\\") for pattern in _patterns(word)))


def _patterns(word: str, folded: Callable[[str], str] = str) -> list[str]:
    spellings = [word] if word.isascii() else [word, word.lower(), word.upper(), word.title()]
    return [f"%{_escaped(each)}%" for each in dict.fromkeys(map(folded, spellings))]


def fold_ascii(word: str) -> str:
    """A word as PostgreSQL's `lower` writes it in the collation C."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in word)


def _escaped(word: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\%_" else letter for letter in word)


def every(conditions: list[Condition]) -> Condition:
    """All of some conditions."""
    return and_(true(), *conditions)


def unindexed(column: Any) -> Any:
    """A column for which SQLite does not use an index of that column alone.

    It would begin with the first index that has the order or a filter of a query, and then read
    the wide row of each of its entries; so it reads the index that has all that is asked for.

    Args:
        column: a column.
    """
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type)
