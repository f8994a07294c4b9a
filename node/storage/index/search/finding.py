"""Finds series and studies page by page, each of them once, whatever arrives meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sqlalchemy import Select, Subquery, any_, exists, func, select, tuple_

from node.storage.index.engine import Index
from node.storage.index.schema import AssociationRow, PatientRow, SeriesRow, StudyRow
from node.storage.index.search.narrow import DATE, TITLE, narrow
from node.storage.index.search.wanted import Condition, Wanted, every, unindexed


class Sort(StrEnum):
    """An order of series or studies; with a minus the last comes first."""

    RECEIVED = "received"
    LAST_RECEIVED = "-received"
    DATE = "date"
    LAST_DATE = "-date"
    DESCRIPTION = "description"
    LAST_DESCRIPTION = "-description"

    @property
    def backwards(self) -> bool:
        """Whether the last comes first."""
        return self.startswith("-")

    @property
    def key(self) -> str:
        """The column, without its direction."""
        return self.removeprefix("-")


class Place(NamedTuple):
    """Where a page ended: the value of its last row, and its key."""

    value: str
    pk: int


class Page(NamedTuple):
    """Keys of the rows of a page, in order, and where it ended; None: it was the last one."""

    keys: list[int]
    end: Place | None


_MOST_VALUES: Final = 200  # of a filter's choice
_FIRST: Final = 1000
"""Rows of SQLite that are looked at one by one, before all that fit are listed."""
_COLUMNS: Final[dict[Any, dict[str, Any]]] = {
    SeriesRow: {"date": SeriesRow.date, "description": SeriesRow.description},
    StudyRow: {"date": StudyRow.date, "description": StudyRow.description},
}


class Finder:
    """Finds series and studies. For many threads."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def series(self, wanted: Wanted, sort: Sort, limit: int, after: Place | None = None) -> Page:
        """A page of series.

        Args:
            wanted: what is to be found.
            sort: their order.
            limit: of their number.
            after: where the page before ended.
        """
        if wanted.words and not self._index.is_sqlite:
            return self._of_words(wanted, sort, limit, after)
        sorts = sort.key == "description" or (
            sort.key == "date" and (wanted.states or wanted.senders or wanted.projects)
        )
        slow = wanted.senders or wanted.projects or (sorts and wanted.conditions())
        if slow and (page := self._first(SeriesRow, wanted, sort, limit, after)):
            return page
        query = select(SeriesRow.id).where(self._conditions(wanted))
        scans = bool(wanted.words or (sorts and wanted.conditions()))
        return self._page(query, SeriesRow, sort, limit, after, scans=scans)

    def studies(self, wanted: Wanted, sort: Sort, limit: int, after: Place | None = None) -> Page:
        """A page of studies that have a series which is wanted. Arguments as for `series`."""
        query = select(StudyRow.id)
        if wanted.words and not self._index.is_sqlite:
            found = self._with_words(wanted)
            series = select(found.c.study_pk).where(*wanted.senders_and_projects(found.c.id))
            # As an array it is made once, however few rows PostgreSQL expects.
            query = query.where(StudyRow.id == any_(func.array(series.scalar_subquery())))
        elif wanted.is_everything:
            query = query.where(exists().where(SeriesRow.study_pk == StudyRow.id))
        elif page := self._first(StudyRow, wanted, sort, limit, after):
            return page
        else:
            series = select(SeriesRow.study_pk).where(self._conditions(wanted, scans=True))
            query = query.where(StudyRow.id.in_(series))
        return self._page(query, StudyRow, sort, limit, after)

    def _conditions(self, wanted: Wanted, *, scans: bool = False) -> Condition:
        sqlite = self._index.is_sqlite
        plain = wanted.conditions(unindexed) if scans and sqlite else wanted.conditions()
        # Few series have the words: each is asked for its sender.
        plain += wanted.sent() if wanted.words else wanted.senders_and_projects()
        return every(plain + wanted.texts(sqlite=sqlite))

    def _each(self, wanted: Wanted) -> Condition:
        """The conditions as they are asked of each of few series, which an index has led to."""
        if not self._index.is_sqlite:
            return every(wanted.conditions() + wanted.sent() + wanted.texts(sqlite=False))
        plain = wanted.conditions(unindexed) + wanted.sent(unindexed)
        return every(plain + wanted.texts(sqlite=True))

    def _first(
        self, row: Any, wanted: Wanted, sort: Sort, limit: int, after: Place | None
    ) -> Page | None:
        """A page that the first rows in the order of the list fill; None: they do not.

        What many series have is found there at once. SQLite, which does not know how many have
        it, would list all of them first; PostgreSQL knows. Arguments as for `_page`.
        """
        if not self._index.is_sqlite:
            return None
        column = _COLUMNS[row].get(sort.key)
        columns = (row.id,) if column is None else (row.id, column.label("value"))
        inner = self._in_order(select(*columns), row.id, column, sort, after).limit(_FIRST)
        first = inner.subquery("first")
        key = SeriesRow.id if row is SeriesRow else SeriesRow.study_pk
        conditions = self._each(wanted)
        query = select(first.c.id).where(exists().where(key == first.c.id, conditions))
        value = None if column is None else first.c.value
        page = self._ordered(query, first.c.id, value, sort, limit, None)
        return page if page.end else None

    def _with_words(self, wanted: Wanted) -> Subquery:
        """PostgreSQL's series that have the words, read from the narrow index alone.

        OFFSET 0 lets it read them all before anything else: it cannot know how many series have a
        word, and would walk through all series in the order of the list.
        """
        row = SeriesRow
        conditions = every(wanted.conditions(narrow) + wanted.texts(sqlite=False))
        columns = row.id, row.study_pk, TITLE.label("description"), DATE.label("date")
        return select(*columns).where(conditions).offset(0).subquery("found")

    def _of_words(self, wanted: Wanted, sort: Sort, limit: int, after: Place | None) -> Page:
        """A page of PostgreSQL's series that have the words. Arguments as for `series`."""
        found = self._with_words(wanted)
        query = select(found.c.id).where(*wanted.senders_and_projects(found.c.id))
        column = None if sort.key == "received" else found.c[sort.key]
        return self._ordered(query, found.c.id, column, sort, limit, after)

    def of_studies(
        self, keys: Sequence[int], wanted: Wanted, limit: int
    ) -> dict[int, tuple[list[int], int]]:
        """The wanted series of studies, in the order of their numbers.

        Args:
            keys: of the studies.
            wanted: what is to be found.
            limit: of the series of each study.

        Returns:
            by the study's key: the keys of its series, and how many there are of them.
        """
        row, conditions = SeriesRow, self._each(wanted)
        query = (
            select(row.id, row.study_pk)
            .where(row.study_pk.in_(keys), conditions)
            .order_by(row.study_pk, row.number, row.id)
        )
        found: dict[int, list[int]] = {pk: [] for pk in keys}
        with self._index.reading() as connection:
            for series, study in connection.execute(query):
                found[study].append(series)
        return {pk: (series[:limit], len(series)) for pk, series in found.items()}

    def studies_with(self, keys: Sequence[int]) -> list[dict[str, Any]]:
        """Studies and their patients by their keys, in this order."""
        query = (
            select(
                StudyRow.id,
                StudyRow.uid.label("study_instance_uid"),
                StudyRow.date,
                StudyRow.description,
                StudyRow.accession,
                StudyRow.modalities,
                StudyRow.series.label("series_count"),
                StudyRow.instances,
                StudyRow.state,
                StudyRow.revision,
                StudyRow.verdict,
                PatientRow.patient_id,
                PatientRow.name,
                PatientRow.birth_date,
            )
            .join(PatientRow, PatientRow.id == StudyRow.patient_pk)
            .where(StudyRow.id.in_(keys))
        )
        with self._index.reading() as connection:
            rows = {row["id"]: dict(row) for row in connection.execute(query).mappings()}
        return [rows[pk] for pk in keys if pk in rows]

    def studies_of(self, uid: str) -> list[int]:
        """Keys of the studies of a UID: one for each patient who has it."""
        with self._index.reading() as connection:
            return list(connection.scalars(select(StudyRow.id).where(StudyRow.uid == uid)))

    def series_of(self, study: int, limit: int) -> list[int]:
        """Keys of the series of a study, in the order of their numbers.

        Args:
            study: the key of the study.
            limit: of their number.
        """
        row = SeriesRow
        query = select(row.id).where(row.study_pk == study).order_by(row.number, row.id)
        with self._index.reading() as connection:
            return list(connection.scalars(query.limit(limit)))

    def choices(self) -> dict[str, list[str]]:
        """Values that filters can have: `modalities`, `senders` and `projects`."""
        return {
            "modalities": self._distinct(SeriesRow.modality),
            "senders": self._distinct(AssociationRow.calling_ae),
            "projects": self._distinct(AssociationRow.called_ae),
        }

    def _distinct(self, column: Any) -> list[str]:
        """Every value of a column with an index: one look-up a value, not one a row."""
        found: list[str] = []
        with self._index.reading() as connection:
            known = connection.scalar(select(func.min(column)))
            while known is not None and len(found) < _MOST_VALUES:
                found.append(known)
                known = connection.scalar(select(func.min(column)).where(column > known))
        return [value for value in found if value]

    def _page(
        self,
        query: Select[int],
        row: Any,
        sort: Sort,
        limit: int,
        after: Place | None,
        *,
        scans: bool = False,
    ) -> Page:
        column = _COLUMNS[row].get(sort.key)
        if row is SeriesRow and sort.key == "description" and not self._index.is_sqlite:
            column = TITLE
        return self._ordered(query, row.id, column, sort, limit, after, scans=scans)

    def _ordered(
        self,
        query: Select[int],
        key: Any,
        column: Any,
        sort: Sort,
        limit: int,
        after: Place | None,
        *,
        scans: bool = False,
    ) -> Page:
        query = self._in_order(query, key, column, sort, after, scans=scans)
        chosen: Select[Any] = query if column is None else query.add_columns(column)
        with self._index.reading() as connection:
            rows = connection.execute(chosen.limit(limit + 1)).all()
        shown = rows[:limit]
        more = len(rows) > limit
        last = shown[-1] if shown else None
        end = Place("" if column is None else last[1], last[0]) if more and last else None
        return Page([one[0] for one in shown], end)

    def _in_order(
        self,
        query: Select[Any],
        key: Any,
        column: Any,
        sort: Sort,
        after: Place | None,
        *,
        scans: bool = False,
    ) -> Select[Any]:
        order: tuple[Any, ...] = (key,) if column is None else (column, key)
        if after is not None:
            left: Any = key if column is None else tuple_(*order)
            right: Any = after.pk if column is None else tuple_(after.value, after.pk)
            query = query.where(left < right if sort.backwards else left > right)
        if scans and self._index.is_sqlite:
            order = tuple(unindexed(each) for each in order)
        return query.order_by(*(each.desc() if sort.backwards else each for each in order))
