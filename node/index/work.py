"""The series on their way to volumes: what is due, and transitions as compare-and-swap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, func, insert, or_, select, update

from node.deliveries import NewDelivery
from node.index.engine import Index
from node.index.outbox import enqueue
from node.index.schema import (
    ArrivalRow,
    AssociationRow,
    ConflictRow,
    HeaderRow,
    InstanceRow,
    OutputRow,
    PatientRow,
    SeriesEventRow,
    SeriesRow,
    StatementRow,
    StudyRow,
)
from node.records import Arrival, AssociationEnd, SeriesRecord, SeriesState, StoredInstance

_AT_REST = (SeriesState.READY, SeriesState.NOT_A_VOLUME, SeriesState.FAILED, SeriesState.HELD)


class Background(NamedTuple):
    """What a decision needs of a series' past.

    Attributes:
        assembled: how many times an assembly of it came to an end.
        held_by: the person who holds it, or nobody.
    """

    assembled: int
    held_by: str


class InstanceHeader(NamedTuple):
    """An instance's row, and what was read of its header on arrival."""

    pk: int
    uid: str
    number: int | None
    header: bytes


class Work:
    """Reads what is known of series and moves them from state to state."""

    def __init__(self, index: Index) -> None:
        self._index = index

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

    def series(self, uid: str) -> SeriesRecord | None:
        """One series by its UID."""
        with self._index.reading() as connection:
            row = connection.execute(_series().where(SeriesRow.uid == uid)).first()
        return _record(row) if row else None

    def in_state(self, *states: SeriesState) -> list[SeriesRecord]:
        """All series in one of `states`, oldest arrival first; without states: all series."""
        query = _series().order_by(SeriesRow.first_arrival)
        if states:
            query = query.where(SeriesRow.state.in_(states))
        with self._index.reading() as connection:
            return [_record(row) for row in connection.execute(query)]

    def arrivals(self, series_pk: int) -> list[Arrival]:
        """What each association brought to the series, in order of its first instance."""
        query = (
            select(
                AssociationRow.calling_ae,
                AssociationRow.address,
                AssociationRow.end,
                AssociationRow.ended_at,
                ArrivalRow.first_at,
                ArrivalRow.last_at,
                ArrivalRow.instances,
            )
            .join(AssociationRow, AssociationRow.id == ArrivalRow.association_pk)
            .where(ArrivalRow.series_pk == series_pk)
            .order_by(ArrivalRow.first_at)
        )
        with self._index.reading() as connection:
            rows = connection.execute(query).all()
        return [
            Arrival(
                calling_ae=row.calling_ae,
                address=row.address,
                end=AssociationEnd(row.end),
                ended_at=row.ended_at,
                first_at=row.first_at,
                last_at=row.last_at,
                instances=row.instances,
            )
            for row in rows
        ]

    def settled(self, now: float, limit: int) -> list[SeriesRecord]:
        """Series that wait for an executor, longest waiting first."""
        query = (
            _series()
            .where(
                SeriesRow.state == SeriesState.SETTLED,
                or_(SeriesRow.due.is_(None), SeriesRow.due <= now),
            )
            .order_by(SeriesRow.state_since)
            .limit(limit)
        )
        with self._index.reading() as connection:
            return [_record(row) for row in connection.execute(query)]

    def background(self, series_pk: int) -> Background:
        """The part of a series' past that decisions depend on."""
        event = SeriesEventRow
        ends = (SeriesState.READY, SeriesState.NOT_A_VOLUME, SeriesState.FAILED)
        with self._index.reading() as connection:
            assembled = connection.scalar(
                select(func.count()).where(
                    event.series_pk == series_pk,
                    event.from_state == SeriesState.ASSEMBLING,
                    event.to_state.in_(ends),
                )
            )
            held_by = connection.scalar(select(SeriesRow.held_by).where(SeriesRow.id == series_pk))
        return Background(assembled or 0, held_by or "")

    def headers(self, series_pk: int, after: int = 0) -> list[InstanceHeader]:
        """The headers of the series' instances in order of arrival.

        Args:
            after: only instances whose row comes after this one.
        """
        query = (
            select(InstanceRow.id, InstanceRow.uid, InstanceRow.number, HeaderRow.header)
            .join(HeaderRow, HeaderRow.instance_pk == InstanceRow.id)
            .where(InstanceRow.series_pk == series_pk, InstanceRow.id > after)
            .order_by(InstanceRow.id)
        )
        with self._index.reading() as connection:
            return [InstanceHeader(*row) for row in connection.execute(query)]

    def attributes(self, series_pk: int) -> dict[str, Any]:
        """What the index keeps of the series, its study and its patient: keyword to value."""
        query = (
            select(PatientRow.attributes, StudyRow.attributes, SeriesRow.attributes)
            .join(StudyRow, StudyRow.id == SeriesRow.study_pk)
            .join(PatientRow, PatientRow.id == StudyRow.patient_pk)
            .where(SeriesRow.id == series_pk)
        )
        with self._index.reading() as connection:
            patient, study, series = connection.execute(query).one()
        return {**patient, **study, **series}

    def instances(self, series_pk: int) -> list[StoredInstance]:
        """Everything that assembly needs of the series' instances, conflicts included."""
        first = (
            select(InstanceRow, HeaderRow.header)
            .join(HeaderRow, HeaderRow.instance_pk == InstanceRow.id)
            .where(InstanceRow.series_pk == series_pk)
            .order_by(InstanceRow.uid)
        )
        others = (
            select(ConflictRow, InstanceRow.uid, InstanceRow.sop_class_uid)
            .join(InstanceRow, InstanceRow.id == ConflictRow.instance_pk)
            .where(InstanceRow.series_pk == series_pk)
            .order_by(InstanceRow.uid, ConflictRow.id)
        )
        with self._index.reading() as connection:
            return [
                *(
                    _stored(row, row.uid, row.sop_class_uid, conflict=False)
                    for row in connection.execute(first)
                ),
                *(
                    _stored(row, row.uid, row.sop_class_uid, conflict=True)
                    for row in connection.execute(others)
                ),
            ]

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
        """Set when the watcher should look again; False if the series changed meanwhile.

        Args:
            verdict: how things stand until then, for people; None leaves what was there.
        """
        values: dict[str, Any] = {"due": due}
        if verdict is not None:
            values["verdict"] = verdict
        with self._index.writing() as connection:
            changed = connection.execute(
                update(SeriesRow)
                .where(SeriesRow.id == series.pk, SeriesRow.change == series.change)
                .values(**values)
            )
        return changed.rowcount == 1

    def history(self, series_pk: int) -> list[dict[str, Any]]:
        """Every transition of the series, oldest first."""
        query = (
            select(SeriesEventRow)
            .where(SeriesEventRow.series_pk == series_pk)
            .order_by(SeriesEventRow.id)
        )
        with self._index.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return [{key: row[key] for key in row if key not in {"id", "series_pk"}} for row in rows]

    def claim_stem(self, series_pk: int, stem: str) -> bool:
        """Reserve an output name for a series; False if another series has it."""
        with self._index.writing() as connection:
            owner = connection.scalar(select(OutputRow.series_pk).where(OutputRow.stem == stem))
            if owner is None:
                connection.execute(insert(OutputRow).values(stem=stem, series_pk=series_pk))
                return True
            return owner == series_pk

    def stems(self, series_pk: int) -> list[str]:
        """Every output name that was ever reserved for a series."""
        query = select(OutputRow.stem).where(OutputRow.series_pk == series_pk)
        with self._index.reading() as connection:
            return list(connection.scalars(query.order_by(OutputRow.stem)))


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
    if to in _AT_REST and values.get("due") is None and _unheard(connection, series, values):
        values = {**values, "due": now}
    changed = connection.execute(
        update(SeriesRow)
        .where(
            SeriesRow.id == series.pk,
            SeriesRow.state == series.state,
            SeriesRow.change == series.change,
        )
        .values(state=to, state_since=now, change=SeriesRow.change + 1, **values)
    )
    if changed.rowcount != 1:
        return False
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


def _unheard(connection: Connection, series: SeriesRecord, values: dict[str, Any]) -> bool:
    """Whether a peer said something of the series since it was judged."""
    verdict = values.get("verdict") or series.verdict or {}
    said = select(func.max(StatementRow.at)).where(StatementRow.series_uid == series.uid)
    return bool((connection.scalar(said) or 0.0) > verdict.get("at", 0.0))


def _series() -> Select[*tuple[Any, ...]]:
    return select(
        SeriesRow.id,
        SeriesRow.uid,
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


def _stored(
    row: Row[*tuple[Any, ...]], uid: str, sop_class_uid: str, *, conflict: bool
) -> StoredInstance:
    return StoredInstance(
        sop_instance_uid=uid,
        sop_class_uid=sop_class_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        path=row.path,
        size=row.size,
        sha256=row.sha256,
        data_set_offset=row.data_set_offset,
        pixel_offset=row.pixel_offset,
        pixel_length=row.pixel_length,
        received_at=row.received_at,
        header=row.header,
        conflict=conflict,
    )
