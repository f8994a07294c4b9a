"""The series on their way to volumes: what is due, and transitions as compare-and-swap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    insert,
    literal_column,
    or_,
    select,
    true,
    update,
)

from node.core.events import NewDelivery
from node.core.output_names import conflicts_of, folded
from node.core.records import SeriesRecord, SeriesState
from node.storage.index import totals
from node.storage.index.peers.outbox import enqueue
from node.storage.index.schema import OutputRow, SeriesEventRow, SeriesRow, StatementRow, StudyRow
from node.storage.index.search.where import begins
from node.storage.index.series.known import Known
from node.storage.index.series.namesakes import addressed

_SETTLED: ColumnElement[str] = literal_column(f"'{SeriesState.SETTLED}'")
"""Written out, so that a database sees that the index of settled series is enough."""
_AT_REST = (SeriesState.READY, SeriesState.NOT_A_VOLUME, SeriesState.FAILED, SeriesState.HELD)


class Work(Known):
    """Reads what is known of series and moves them from state to state."""

    def due(self, now: float, limit: int = 100) -> list[SeriesRecord]:
        """Series that should be looked at by `now`, longest waiting first."""
        query = _series().where(SeriesRow.due <= now).order_by(SeriesRow.due).limit(limit)
        with self._index.reading() as connection:
            return [_record(row) for row in connection.execute(query)]

    def next_due(self) -> float | None:
        """When the next series becomes due; None if nothing waits."""
        query = (
            select(SeriesRow.due).where(SeriesRow.due.is_not(None)).order_by(SeriesRow.due).limit(1)
        )
        with self._index.reading() as connection:
            return connection.scalar(query)

    def series(self, address: str) -> SeriesRecord | None:
        """One series by its UID or address.

        Args:
            address: `SeriesRecord.address`; a UID alone means the first series that came of it.
        """
        query = _series().where(addressed(address)).order_by(SeriesRow.part).limit(1)
        with self._index.reading() as connection:
            row = connection.execute(query).first()
        return _record(row) if row else None

    def in_state(self, *states: SeriesState) -> list[SeriesRecord]:
        """All series in one of `states`, oldest arrival first; without states: all series."""
        query = _series().order_by(SeriesRow.first_arrival)
        if states:
            query = query.where(SeriesRow.state.in_(states))
        with self._index.reading() as connection:
            return [_record(row) for row in connection.execute(query)]

    def of(self, keys: Sequence[int]) -> list[SeriesRecord]:
        """The series of some rows, in order of the rows."""
        query = _series().where(SeriesRow.id.in_(keys)).order_by(SeriesRow.id)
        with self._index.reading() as connection:
            return [_record(row) for row in connection.execute(query)]

    def settled(self, now: float, limit: int) -> list[SeriesRecord]:
        """Series that wait for an executor, longest waiting first."""
        query = (
            _series()
            .where(
                SeriesRow.state == _SETTLED,
                or_(SeriesRow.due.is_(None), SeriesRow.due <= now),
            )
            .order_by(SeriesRow.state_since)
            .limit(limit)
        )
        with self._index.reading() as connection:
            return [_record(row) for row in connection.execute(query)]

    def move(
        self,
        series: SeriesRecord,
        to: SeriesState,
        *,
        now: float,
        actor: str,
        detail: dict[str, Any] | None = None,
        due: float | None = None,
        deliveries: Sequence[NewDelivery] = (),
        **values: Any,
    ) -> SeriesRecord | None:
        """Move a series to another state if nobody else did anything to it meanwhile.

        Args:
            series: the series as the decision saw it.
            due: when to look again; None: not before the next change.
            deliveries: what is to be told of it, if it is done.
            values: further columns to set (`owner`, `revision`, `verdict`, `outputs`).

        Returns:
            The series as it is now, or None if it had changed: then nothing was done.
        """
        with self._index.writing() as connection:
            if not swap(connection, series, to, now, actor, detail or {}, {"due": due, **values}):
                return None
            enqueue(connection, series.pk, deliveries, now)
            row = connection.execute(_series().where(SeriesRow.id == series.pk)).one()
        return _record(row)

    def look_again(
        self, series: SeriesRecord, due: float | None, verdict: dict[str, Any] | None = None
    ) -> bool:
        """Set when the watcher should look again; False if the series changed meanwhile, or if
        somebody has asked for a look since `series` was read: that must not be put off.

        Args:
            verdict: how things stand until then, for people; None leaves what was there.
        """
        values: dict[str, Any] = {"due": due}
        if verdict is not None:
            values["verdict"] = verdict
        return self._update(series, _unasked(series), values)

    def renew(self, series: SeriesRecord, until: float) -> bool:
        """Keep the claim on a series in assembly; False if it changed meanwhile."""
        return self._update(series, true(), {"due": until})

    def _update(
        self, series: SeriesRecord, condition: ColumnElement[bool], values: dict[str, Any]
    ) -> bool:
        with self._index.writing() as connection:
            changed = connection.execute(
                update(SeriesRow)
                .where(SeriesRow.id == series.pk, SeriesRow.change == series.change, condition)
                .values(**values)
            )
        return changed.rowcount == 1

    def claim_stem(self, series_pk: int, stem: str) -> bool:
        """Reserve an output name for a series; False if another series has it, or one of which a
        file would have the same name.

        Of names that were given before this was looked at, the series that came first keeps its.
        """
        row = OutputRow
        with self._index.writing() as connection:
            others = {
                (found.stem, found.series_pk)
                for found in _rivals(connection, stem)
                if found.series_pk != series_pk
            }
            owner = connection.scalar(select(row.series_pk).where(row.stem == stem))
            if owner == series_pk:
                return all(pk > series_pk for _, pk in others)
            if others:
                return False
            connection.execute(
                insert(row).values(stem=stem, folded=folded(stem), series_pk=series_pk)
            )
            return True

    def files_beside(self, series_pk: int) -> set[str]:
        """Files of other series under names that are taken for this one's, from before the names
        of two series could not share a file."""
        with self._index.reading() as connection:
            stems = connection.scalars(
                select(OutputRow.stem).where(OutputRow.series_pk == series_pk)
            ).all()
            others = {found.series_pk for stem in stems for found in _rivals(connection, stem)} - {
                series_pk
            }
            if not others:
                return set()
            outputs = connection.scalars(
                select(SeriesRow.outputs).where(SeriesRow.id.in_(others))
            ).all()
        return {name for files in outputs for name in files or ()}


def _rivals(connection: Connection, stem: str) -> Sequence[Row[str, int]]:
    """The claims of names that share a file with a stem, itself among them."""
    column: Any = OutputRow.folded
    rivals = conflicts_of(stem)
    clauses = [column.in_(sorted(rivals.stems))]
    clauses += [begins(column, beginning) for beginning in rivals.prefixes]
    query = select(OutputRow.stem, OutputRow.series_pk).where(or_(*clauses))
    return connection.execute(query).all()


def swap(
    connection: Connection,
    series: SeriesRecord,
    to: SeriesState,
    now: float,
    actor: str,
    detail: dict[str, Any],
    values: dict[str, Any],
) -> bool:
    """The compare-and-swap behind every transition, with its entry in the history."""
    if to in _AT_REST and values.get("due") is None and _spoken_of(connection, series):
        values = {**values, "due": now}
    changed = connection.execute(
        update(SeriesRow)
        .where(
            SeriesRow.id == series.pk,
            SeriesRow.state == series.state,
            SeriesRow.change == series.change,
            _unasked(series) if series.state is SeriesState.RECEIVING else true(),
        )
        .values(state=to, state_since=now, change=SeriesRow.change + 1, **values)
    )
    if changed.rowcount != 1:
        return False
    totals.moved(connection, totals.in_state(series.state), totals.in_state(to))
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


def _unasked(series: SeriesRecord) -> ColumnElement[bool]:
    """Whether nobody has asked for a look at a series since it was read: there is no news."""
    return SeriesRow.due.is_not_distinct_from(series.due)


def _spoken_of(connection: Connection, series: SeriesRecord) -> bool:
    """Whether a peer said something of the series, perhaps since it was judged."""
    said = select(StatementRow.source).where(StatementRow.series_uid == series.uid).limit(1)
    return connection.scalar(said) is not None


def _series() -> Select[*tuple[Any, ...]]:
    return select(
        SeriesRow.id,
        SeriesRow.uid,
        SeriesRow.part,
        StudyRow.uid.label("study_uid"),
        SeriesRow.modality,
        SeriesRow.number,
        SeriesRow.description,
        SeriesRow.instances,
        SeriesRow.state,
        SeriesRow.state_since,
        SeriesRow.change,
        SeriesRow.revision,
        SeriesRow.first_arrival,
        SeriesRow.last_arrival,
        SeriesRow.due,
        SeriesRow.owner,
        SeriesRow.verdict,
        SeriesRow.outputs,
    ).join(StudyRow, StudyRow.id == SeriesRow.study_pk)


def _record(row: Row[*tuple[Any, ...]]) -> SeriesRecord:
    return SeriesRecord(
        pk=row.id,
        uid=row.uid,
        part=row.part,
        study_uid=row.study_uid,
        modality=row.modality,
        number=row.number,
        description=row.description,
        instances=row.instances,
        state=SeriesState(row.state),
        state_since=row.state_since,
        change=row.change,
        revision=row.revision,
        first_arrival=row.first_arrival,
        last_arrival=row.last_arrival,
        due=row.due,
        owner=row.owner,
        verdict=row.verdict,
        outputs=tuple(row.outputs or ()),
    )
