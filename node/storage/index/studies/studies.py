"""The state of studies: which are due, what is known of them, and what was told of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, Row, bindparam, func, select, update

from node.completion.study_decision import (
    StudyDecision,
    StudySeries,
    StudySituation,
)
from node.core.events import NewDelivery
from node.core.records import AT_REST, SeriesState, StudyState, Verdict, address_of
from node.storage.index.engine import Index
from node.storage.index.peers.outbox import enqueue
from node.storage.index.schema import ArrivalRow, AssociationRow, SeriesRow, StudyRow
from node.storage.index.studies.statements import statements_of


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study as the index knows it.

    Attributes:
        pk: its row.
        uid: Study Instance UID.
        state: receiving as soon as one of its series is not at rest.
        state_since: when the watcher last changed it, seconds since 1970.
        revision: of the last `study-ready`; 0: there was none.
        verdict: verdict, reason and evidence of the last decision; None: there was none.
        told: what the last `study-ready` said; None: there was none.
        situation: what is known of it now.
        rows: the rows of its series, in the order of `situation.series`.
    """

    pk: int
    uid: str
    state: StudyState
    state_since: float
    revision: int
    verdict: dict[str, Any] | None
    told: dict[str, Any] | None
    situation: StudySituation
    rows: tuple[int, ...]


# Put together once: that takes longer than the answers.
_PK: Final[BindParameter[int]] = bindparam("pk")
_STUDY: Final = select(
    StudyRow.id,
    StudyRow.uid,
    StudyRow.state,
    StudyRow.state_since,
    StudyRow.revision,
    StudyRow.verdict,
    StudyRow.told,
).where(StudyRow.id == _PK)
_SERIES_OF: Final = (
    select(
        SeriesRow.id,
        SeriesRow.uid,
        SeriesRow.part,
        SeriesRow.state,
        SeriesRow.verdict,
        SeriesRow.revision,
        SeriesRow.instances,
        SeriesRow.last_arrival,
        SeriesRow.outputs,
        SeriesRow.due,
    )
    .where(SeriesRow.study_pk == _PK)
    .order_by(SeriesRow.id)
)
_ENDED: Final = (
    select(func.max(AssociationRow.ended_at))
    .join(ArrivalRow, ArrivalRow.association_pk == AssociationRow.id)
    .join(SeriesRow, SeriesRow.id == ArrivalRow.series_pk)
    .where(SeriesRow.study_pk == _PK)
)
_ELSEWHERE: Final = (
    select(SeriesRow.uid)
    .join(StudyRow, StudyRow.id == SeriesRow.study_pk)
    .where(StudyRow.uid == bindparam("uid"), StudyRow.id != _PK)
)
_NEXT_DUE: Final = select(func.min(StudyRow.due)).where(StudyRow.due.is_not(None))


class Studies:
    """Reads studies, and records what was decided of them."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def due(self, now: float, limit: int = 100) -> list[int]:
        """The rows of studies at which the watcher should look by `now`, longest waiting first.

        Args:
            now: seconds since 1970.
            limit: of their number.
        """
        query = select(StudyRow.id).where(StudyRow.due <= now).order_by(StudyRow.due).limit(limit)
        with self._index.reading() as connection:
            return list(connection.scalars(query))

    def next_due(self) -> float | None:
        """When the next study becomes due; None if nothing waits."""
        with self._index.reading() as connection:
            return connection.scalar(_NEXT_DUE)

    def study(self, pk: int) -> StudyRecord | None:
        """A study by its row; None if it is gone."""
        with self._index.reading() as connection:
            return _read(connection, pk)

    def with_uid(self, uid: str) -> list[StudyRecord]:
        """The studies of a UID: several if it was sent of several patients."""
        query = select(StudyRow.id).where(StudyRow.uid == uid).order_by(StudyRow.id)
        return self._all(query)

    def newest(self, limit: int) -> list[StudyRecord]:
        """The studies whose first instance came last, the newest first.

        Args:
            limit: of their number.
        """
        return self._all(select(StudyRow.id).order_by(StudyRow.id.desc()).limit(limit))

    def _all(self, query: Any) -> list[StudyRecord]:
        with self._index.reading() as connection:
            found = [_read(connection, pk) for pk in connection.scalars(query).all()]
        return [one for one in found if one is not None]

    def decided(
        self,
        seen: StudyRecord,
        decision: StudyDecision,
        verdict: dict[str, Any],
        now: float,
        *,
        told: dict[str, Any] | None = None,
        deliveries: Sequence[NewDelivery] = (),
    ) -> bool:
        """Record a decision, with the deliveries of what is told of.

        Args:
            seen: the study as the decision saw it.
            decision: the decision.
            verdict: it as it is stored.
            now: seconds since 1970.
            told: what `study-ready` says; None: nothing is told of.
            deliveries: added to the outbox in the same transaction, under the study's first series.

        Returns:
            False if anything about the study has changed meanwhile: then nothing was done, and the
            watcher looks again.
        """
        row = StudyRow
        with self._index.writing() as connection:
            connection.execute(select(row.id).where(row.id == seen.pk).with_for_update())
            if _read(connection, seen.pk) != seen:
                return False
            values: dict[str, Any] = {"due": decision.until, "verdict": verdict}
            if decision.state is not seen.state or told is not None:
                values |= {"state_since": now}
            values["state"] = decision.state
            if told is not None:
                values |= {"revision": seen.revision + 1, "told": told}
            connection.execute(update(row).where(row.id == seen.pk).values(**values))
            if deliveries:
                enqueue(connection, min(seen.rows), deliveries, now)
        return True


def look_at_study(connection: Connection, series_pk: int, now: float) -> None:
    """Have the watcher look at the study of a series, in the transaction that changes the series.

    Args:
        connection: of `Index.writing`.
        series_pk: the row of the series.
        now: seconds since 1970.
    """
    study = select(SeriesRow.study_pk).where(SeriesRow.id == series_pk).scalar_subquery()
    connection.execute(update(StudyRow).where(StudyRow.id == study).values(due=now))


def _read(connection: Connection, pk: int) -> StudyRecord | None:
    study = connection.execute(_STUDY, {"pk": pk}).first()
    if study is None:
        return None
    rows = connection.execute(_SERIES_OF, {"pk": pk}).all()
    situation = _situation(connection, study, [_series(one) for one in rows])
    moving = any(one.state not in AT_REST for one in situation.series)
    return StudyRecord(
        pk=study.id,
        uid=study.uid,
        state=StudyState.RECEIVING if moving else StudyState(study.state),
        state_since=study.state_since,
        revision=study.revision,
        verdict=study.verdict,
        told=study.told,
        situation=situation,
        rows=tuple(one.id for one in rows),
    )


def _situation(
    connection: Connection, study: Row[Any], series: Sequence[StudySeries]
) -> StudySituation:
    ended = connection.scalar(_ENDED, {"pk": study.id})
    others = connection.scalars(_ELSEWHERE, {"pk": study.id, "uid": study.uid})
    told = study.told or {}
    return StudySituation(
        series=tuple(series),
        statements=statements_of(connection, study.uid),
        last_sign=max([ended or 0.0, *(one.last_arrival for one in series)]),
        revision=study.revision,
        told=frozenset(
            (one["address"], one["state"], one["revision"], one["instances"])
            for one in told.get("series", ())
        ),
        told_at=told.get("at", 0.0),
        elsewhere=frozenset(others),
    )


def _series(row: Row[Any]) -> StudySeries:
    state = SeriesState(row.state)
    return StudySeries(
        uid=row.uid,
        address=address_of(row.uid, row.part),
        state=state,
        verdict=Verdict((row.verdict or {}).get("verdict", Verdict.UNKNOWN)),
        revision=row.revision,
        instances=row.instances,
        last_arrival=row.last_arrival,
        outputs=tuple(row.outputs or ()),
        judged_again=state in AT_REST and row.due is not None,
    )
