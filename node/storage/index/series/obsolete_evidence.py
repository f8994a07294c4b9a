"""Removes evidence that no series needs any more: associations, statements, procedure steps.

Most of it is removed with its series. The rest (an association that brought nothing new, an
announcement of a series that was never received) is removed when it is old enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, exists, func, or_, select, tuple_

from node.core.records import AssociationEnd
from node.storage.index.engine import Index
from node.storage.index.peers.announced import StepState
from node.storage.index.schema import (
    ArrivalRow,
    AssociationRow,
    ProcedureStepRow,
    SeriesRow,
    StatementRow,
    StudyRow,
    StudyStatementRow,
)
from node.storage.index.store import take_turn

AT_ONCE: Final = 500  # rows of each table that one step examines


def remove_evidence(connection: Connection, series_pk: int, series_uid: str) -> None:
    """Remove the evidence of a series, unless it is also that of another series.

    Args:
        connection: of `Index.writing`.
        series_pk: its row.
        series_uid: its Series Instance UID.
    """
    of_series = ArrivalRow.series_pk == series_pk
    associations = connection.scalars(select(ArrivalRow.association_pk).where(of_series)).all()
    connection.execute(delete(ArrivalRow).where(of_series))
    for part in _parts(associations):
        _remove_associations(connection, part)
    of_uid = select(SeriesRow.id).where(SeriesRow.uid == series_uid, SeriesRow.id != series_pk)
    if connection.scalar(of_uid.limit(1)) is not None:
        return  # the statements may be about that series
    about_it = StatementRow.series_uid == series_uid
    references = connection.scalars(select(StatementRow.reference).where(about_it)).all()
    connection.execute(delete(StatementRow).where(about_it))
    for part in _parts(references):
        _remove_steps(connection, part)


def remove_statements_of_study(connection: Connection, study_uid: str) -> None:
    """Remove what peers said of a study that is gone, unless another patient has its UID, too.

    Args:
        connection: of `Index.writing`.
        study_uid: its Study Instance UID.
    """
    row = StudyStatementRow
    others = exists().where(StudyRow.uid == study_uid)
    connection.execute(delete(row).where(row.study_uid == study_uid, ~others))


class ObsoleteEvidence:
    """Examines old rows once, a few hundred at a time, and removes those that no series needs."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._association = 0
        self._statement: tuple[Any, ...] = (float("-inf"), "", "", "")
        self._step: tuple[Any, ...] = (float("-inf"), "")

    def sweep(self, before: float) -> bool:
        """Examine the next rows from before a time; returns whether there may be more."""
        with self._index.writing() as connection:
            take_turn(connection)
            found = (
                self._associations(connection, before),
                self._statements(connection, before),
                self._steps(connection, before),
                _remove_statements_of_studies(connection, before),
            )
        return max(found) == AT_ONCE

    def _associations(self, connection: Connection, before: float) -> int:
        row = AssociationRow
        found = connection.execute(
            select(row.id, row.opened_at)
            .where(row.id > self._association)
            .order_by(row.id)
            .limit(AT_ONCE)
        ).all()
        old = [pk for pk, opened_at in found if opened_at < before]
        if old:
            _remove_associations(connection, old, before)
            self._association = old[-1]
        elif not found:  # SQLite uses the number of a removed last row again
            last = connection.scalar(select(func.max(row.id))) or 0
            self._association = min(self._association, last)
        return len(old)

    def _statements(self, connection: Connection, before: float) -> int:
        row = StatementRow
        key = (row.at, row.series_uid, row.source, row.reference)
        found = connection.execute(
            select(*key)
            .where(row.at < before, tuple_(*key) > tuple_(*self._statement))
            .order_by(*key)
            .limit(AT_ONCE)
        ).all()
        if found:
            self._statement = tuple(found[-1])
        uids = [one.series_uid for one in found]
        here = set(connection.scalars(select(SeriesRow.uid).where(SeriesRow.uid.in_(uids))))
        for one in found:
            if one.series_uid not in here:
                connection.execute(
                    delete(row).where(
                        row.series_uid == one.series_uid,
                        row.source == one.source,
                        row.reference == one.reference,
                    )
                )
        return len(found)

    def _steps(self, connection: Connection, before: float) -> int:
        row = ProcedureStepRow
        key = (row.created_at, row.uid)
        found = connection.execute(
            select(*key)
            .where(row.created_at < before, tuple_(*key) > tuple_(*self._step))
            .order_by(*key)
            .limit(AT_ONCE)
        ).all()
        if found:
            self._step = tuple(found[-1])
            _remove_steps(connection, [one.uid for one in found], before)
        return len(found)


def _remove_statements_of_studies(connection: Connection, before: float) -> int:
    """Remove old statements on studies that were never received or are gone; at most `AT_ONCE`."""
    row = StudyStatementRow
    found = connection.execute(
        select(row.study_uid, row.source, row.reference)
        .where(row.at < before, ~exists().where(StudyRow.uid == row.study_uid))
        .limit(AT_ONCE)
    ).all()
    for one in found:
        connection.execute(
            delete(row).where(
                row.study_uid == one.study_uid,
                row.source == one.source,
                row.reference == one.reference,
            )
        )
    return len(found)


def _remove_associations(
    connection: Connection, rows: list[int], before: float | None = None
) -> None:
    """Remove those of these associations that have ended and by which no series was received."""
    row = AssociationRow
    query = delete(row).where(
        row.id.in_(rows),
        row.end != AssociationEnd.OPEN,
        ~exists().where(ArrivalRow.association_pk == row.id),
    )
    connection.execute(query if before is None else query.where(row.ended_at < before))


def _remove_steps(connection: Connection, uids: list[str], before: float | None = None) -> None:
    """Remove those of these procedure steps that have no statements any more.

    Args:
        connection: of `Index.writing`.
        uids: of the procedure steps.
        before: a step that is still in progress is removed if it was not updated since.
    """
    row = ProcedureStepRow
    silent = ~exists().where(StatementRow.reference == row.uid)
    of_no_use = and_(silent, row.state != StepState.IN_PROGRESS)
    if before is not None:
        given_up = and_(row.state == StepState.IN_PROGRESS, row.updated_at < before)
        of_no_use = or_(of_no_use, given_up)
    connection.execute(delete(row).where(row.uid.in_(uids), of_no_use))


def _parts(values: Sequence[Any]) -> Iterator[list[Any]]:
    whole = sorted(set(values))
    return (whole[at : at + AT_ONCE] for at in range(0, len(whole), AT_ONCE))
