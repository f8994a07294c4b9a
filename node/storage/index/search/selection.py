"""Selects rows for lists by indexes, so that the number of other rows does not matter.

It finds the keys of rows, eight bytes each. The rows themselves are read in parts: no snapshot
stays open for a slow reader, and no row is shown twice.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, select

from node.core.records import SeriesState
from node.storage.index.engine import Index
from node.storage.index.schema import InstanceRow, PatientRow, SeriesRow, StudyRow

AT_ONCE: Final = 500  # rows of one query


@dataclass(frozen=True, slots=True)
class Selection:
    """What is selected; without values everything is.

    Attributes:
        states: only series in one of these.
        study: only series of this Study Instance UID.
        since: only series whose last instance was received then or later, seconds since 1970.
        limit: of their number: those that changed last.
    """

    states: tuple[SeriesState, ...] = ()
    study: str | None = None
    since: float | None = None
    limit: int | None = None

    @property
    def is_filter(self) -> bool:
        """Whether it excludes series, apart from the limit."""
        return bool(self.states) or self.study is not None or self.since is not None


class Selector:
    """Finds the keys of rows."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def series(self, selection: Selection) -> Iterator[list[int]]:
        """Keys of series, in parts, in the order in which they were first received."""
        if not selection.is_filter and selection.limit is None:
            yield from self._every(SeriesRow)
        else:
            with self._index.reading() as connection:
                found = _newest_series(connection, selection)
            yield from _parts(array("q", sorted(found)))

    def studies(self, selection: Selection) -> Iterator[list[int]]:
        """Keys of the studies of such series; `limit` counts studies."""
        yield from self._above(StudyRow, selection)

    def patients(self, selection: Selection) -> Iterator[list[int]]:
        """Keys of the patients of such series; `limit` counts patients."""
        yield from self._above(PatientRow, selection)

    def instances(self, selection: Selection) -> Iterator[list[int]]:
        """Keys of the instances of such series, series by series; `limit` counts instances."""
        if not selection.is_filter:
            yield from self._every(InstanceRow, selection.limit)
            return
        left = selection.limit
        with self._index.reading() as connection:
            series = _newest_series(connection, replace(selection, limit=None))
        for pk in series:
            query = select(InstanceRow.id).where(InstanceRow.series_pk == pk)
            with self._index.reading() as connection:
                found = sorted(connection.scalars(query))
            kept = found if left is None else found[max(0, len(found) - left) :]
            yield from _parts(array("q", kept))
            if left is not None and (left := left - len(kept)) <= 0:
                return

    def _above(self, row: type[Any], selection: Selection) -> Iterator[list[int]]:
        if not selection.is_filter:
            yield from self._every(row, selection.limit)
            return
        most, found = selection.limit, dict[int, None]()
        with self._index.reading() as connection:
            series = _newest_series(connection, replace(selection, limit=None))
            for part in _parts(series):
                parents = _parents(connection, row, part)
                found |= dict.fromkeys(parents[pk] for pk in part if pk in parents)
                if most is not None and len(found) >= most:
                    break
        yield from _parts(array("q", sorted(list(found)[:most])))

    def _every(self, row: type[Any], limit: int | None = None) -> Iterator[list[int]]:
        """All rows of a table, or its last ones; each part begins after the one before."""
        if limit is not None:
            query = select(row.id).order_by(row.id.desc()).limit(limit)
            with self._index.reading() as connection:
                newest = array("q", connection.scalars(query))
            newest.reverse()
            yield from _parts(newest)
            return
        last = 0
        while True:
            query = select(row.id).where(row.id > last).order_by(row.id).limit(AT_ONCE)
            with self._index.reading() as connection:
                part = list(connection.scalars(query))
            if not part:
                return
            yield part
            last = part[-1]


def _newest_series(connection: Connection, selection: Selection) -> array[int]:
    """Keys of series, those whose last instance was received last first."""
    if selection.study is not None:
        return _of_study(connection, selection)
    row = SeriesRow
    found: list[tuple[float, int]] = []
    # One query for each state, as one for several states could not use the order of the index.
    for state in selection.states or (None,):
        query = select(row.last_arrival, row.id).order_by(row.last_arrival.desc(), row.id.desc())
        if state is not None:
            query = query.where(row.state == state)
        if selection.since is not None:
            query = query.where(row.last_arrival >= selection.since)
        if selection.limit is not None:
            query = query.limit(selection.limit)
        result = connection.execution_options(yield_per=AT_ONCE).execute(query)
        if len(selection.states) <= 1:
            return array("q", (pk for _, pk in result))
        found += [(at, pk) for at, pk in result]
    found.sort(reverse=True)
    return array("q", (pk for _, pk in found[: selection.limit]))


def _of_study(connection: Connection, selection: Selection) -> array[int]:
    """Keys of the series of a study: all of them are read, as they are few."""
    row = SeriesRow
    studies = select(StudyRow.id).where(StudyRow.uid == selection.study)  # of several patients
    found = [
        (at, pk)
        for at, pk, state in connection.execute(
            select(row.last_arrival, row.id, row.state).where(row.study_pk.in_(studies))
        )
        if (not selection.states or state in selection.states)
        and (selection.since is None or at >= selection.since)
    ]
    found.sort(reverse=True)
    return array("q", (pk for _, pk in found[: selection.limit]))


def _parents(connection: Connection, row: type[Any], series: list[int]) -> dict[int, int]:
    """The study or patient of each series."""
    key: Any = SeriesRow.study_pk if row is StudyRow else StudyRow.patient_pk
    query = (
        select(SeriesRow.id, key)
        .join(StudyRow, StudyRow.id == SeriesRow.study_pk)
        .where(SeriesRow.id.in_(series))
    )
    return {found[0]: found[1] for found in connection.execute(query)}


def _parts(keys: array[int]) -> Iterator[list[int]]:
    for at in range(0, len(keys), AT_ONCE):
        yield list(keys[at : at + AT_ONCE])
