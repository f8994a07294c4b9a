"""The compare-and-swap of every transition of a series, with its entry in the history."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, true, update

from node.core.records import AT_REST, SeriesRecord, SeriesState
from node.storage.index import totals
from node.storage.index.schema import SeriesEventRow, SeriesRow, StatementRow
from node.storage.index.studies.studies import look_at_study


def swap(
    connection: Connection,
    series: SeriesRecord,
    to: SeriesState,
    now: float,
    actor: str,
    detail: dict[str, Any],
    values: dict[str, Any],
) -> bool:
    """Move a series to another state, unless it has changed meanwhile.

    Args:
        connection: of `Index.writing`.
        series: the series as the decision saw it.
        to: the state.
        now: seconds since 1970.
        actor: who decided, for the history.
        detail: for the history.
        values: further columns to set.

    Returns:
        False if the series has changed: then nothing was done.
    """
    if to in AT_REST and values.get("due") is None and _has_statement(connection, series):
        values = {**values, "due": now}
    changed = connection.execute(
        update(SeriesRow)
        .where(
            SeriesRow.id == series.pk,
            SeriesRow.state == series.state,
            SeriesRow.change == series.change,
            no_look_requested(series) if series.state is SeriesState.RECEIVING else true(),
        )
        .values(state=to, state_since=now, change=SeriesRow.change + 1, **values)
    )
    if changed.rowcount != 1:
        return False
    totals.moved(connection, totals.in_state(series.state), totals.in_state(to))
    if to in AT_REST:
        look_at_study(connection, series.pk, now)
    connection.execute(
        insert(SeriesEventRow).values(
            series_pk=series.pk,
            at=now,
            actor=actor,
            from_state=series.state,
            to_state=to,
            revision=values.get("revision", series.revision),
            detail=detail,
        )
    )
    return True


def no_look_requested(series: SeriesRecord) -> ColumnElement[bool]:
    """Whether no look at the series was requested since it was read.

    Args:
        series: as it was read.
    """
    return SeriesRow.due.is_not_distinct_from(series.due)


def _has_statement(connection: Connection, series: SeriesRecord) -> bool:
    """Whether there is a peer's statement on the series, which may be newer than the decision."""
    query = select(StatementRow.source).where(StatementRow.series_uid == series.uid).limit(1)
    return connection.scalar(query) is not None
