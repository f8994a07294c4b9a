"""The compare-and-swap of every transition of a series, with its entry in the history."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, bindparam, insert, select, update

from node.core.records import AT_REST, SeriesRecord, SeriesState
from node.storage.index import totals
from node.storage.index.schema import SeriesEventRow, SeriesRow, StatementRow
from node.storage.index.studies.studies import look_at_study

# Put together once: that takes longer than the database needs.
_UNCHANGED: Final = (
    update(SeriesRow)
    .where(
        SeriesRow.id == bindparam("pk"),
        SeriesRow.state == bindparam("seen_state"),
        SeriesRow.change == bindparam("seen_change"),
    )
    .values(change=SeriesRow.change + 1)
)
NO_LOOK_REQUESTED: Final = SeriesRow.due.is_not_distinct_from(bindparam("seen_due"))
"""Whether no look at the series was requested since it was read, when its `due` was `seen_due`."""
_UNCHANGED_AND_NO_LOOK_REQUESTED: Final = _UNCHANGED.where(NO_LOOK_REQUESTED)
_EVENT: Final = insert(SeriesEventRow)
_STATEMENT: Final = (
    select(StatementRow.source).where(StatementRow.series_uid == bindparam("uid")).limit(1)
)


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
    seen = {"pk": series.pk, "seen_state": series.state, "seen_change": series.change}
    query = _UNCHANGED
    if series.state is SeriesState.RECEIVING:
        query = _UNCHANGED_AND_NO_LOOK_REQUESTED
        seen["seen_due"] = series.due
    changed = connection.execute(query, {**seen, "state": to, "state_since": now, **values})
    if changed.rowcount != 1:
        return False
    totals.moved(connection, totals.in_state(series.state), totals.in_state(to))
    if to in AT_REST:
        look_at_study(connection, series.pk, now)
    connection.execute(
        _EVENT,
        {
            "series_pk": series.pk,
            "at": now,
            "actor": actor,
            "from_state": series.state,
            "to_state": to,
            "revision": values.get("revision", series.revision),
            "detail": detail,
        },
    )
    return True


def _has_statement(connection: Connection, series: SeriesRecord) -> bool:
    """Whether there is a peer's statement on the series, which may be newer than the decision."""
    return connection.scalar(_STATEMENT, {"uid": series.uid}) is not None
