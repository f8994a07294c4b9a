"""The series on their way to volumes: which are due, and transitions as compare-and-swap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import (
    Row,
    Update,
    bindparam,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from node.core.events import NewDelivery
from node.core.output_names import folded
from node.core.records import SeriesRecord, SeriesState
from node.storage.index.peers.outbox import enqueue
from node.storage.index.schema import OutputRow, SeriesEventRow, SeriesRow, StudyRow
from node.storage.index.series.consequences import (
    NO_CONSEQUENCES,
    Consequences,
    release_stems,
    write_consequences,
)
from node.storage.index.series.namesakes import addressed
from node.storage.index.series.output_rivals import rivals_of
from node.storage.index.series.series_reader import SeriesReader
from node.storage.index.series.transition import NO_LOOK_REQUESTED, swap

_SERIES: Final = select(
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
    SeriesRow.run_pk,
).join(StudyRow, StudyRow.id == SeriesRow.study_pk)
# What the watcher asks many times a second is put together once: that takes longer than the answer.
_DUE: Final = (
    _SERIES.where(SeriesRow.due <= bindparam("now"))
    .order_by(SeriesRow.due)
    .limit(bindparam("most"))
)
_NEXT_DUE: Final = (
    select(SeriesRow.due).where(SeriesRow.due.is_not(None)).order_by(SeriesRow.due).limit(1)
)
_SETTLED: Final = (
    _SERIES.where(
        # A literal, so that the database can use the partial index of settled series.
        SeriesRow.state == literal_column(f"'{SeriesState.SETTLED}'"),
        or_(SeriesRow.due.is_(None), SeriesRow.due <= bindparam("now")),
    )
    .order_by(SeriesRow.state_since)
    .limit(bindparam("most"))
)
_MEMBERS: Final = _SERIES.where(SeriesRow.run_pk == bindparam("pk")).order_by(SeriesRow.uid)
_SAME: Final = update(SeriesRow).where(
    SeriesRow.id == bindparam("pk"), SeriesRow.change == bindparam("seen_change")
)
_NO_LOOK_SINCE: Final = _SAME.where(NO_LOOK_REQUESTED)
_OF_ROW: Final = _SERIES.where(SeriesRow.id == bindparam("pk"))


class Work(SeriesReader):
    """Finds series that are due, and moves series from state to state."""

    def due(self, now: float, limit: int = 100) -> list[SeriesRecord]:
        """Series at which the watcher should look by `now`, longest waiting first.

        Args:
            now: seconds since 1970.
            limit: of their number.
        """
        with self._index.reading() as connection:
            return [_record(row) for row in connection.execute(_DUE, {"now": now, "most": limit})]

    def next_due(self) -> float | None:
        """When the next series becomes due; None if nothing waits."""
        with self._index.reading() as connection:
            return connection.scalar(_NEXT_DUE)

    def series(self, address: str) -> SeriesRecord | None:
        """One series by its UID or address.

        Args:
            address: `SeriesRecord.address`; a UID alone means the first series of that UID.
        """
        query = _SERIES.where(addressed(address)).order_by(SeriesRow.part).limit(1)
        with self._index.reading() as connection:
            row = connection.execute(query).first()
        return _record(row) if row else None

    def in_state(self, *states: SeriesState) -> list[SeriesRecord]:
        """All series in one of `states`, oldest arrival first; without states: all series."""
        query = _SERIES.order_by(SeriesRow.first_arrival)
        if states:
            query = query.where(SeriesRow.state.in_(states))
        with self._index.reading() as connection:
            return [_record(row) for row in connection.execute(query)]

    def of(self, keys: Sequence[int]) -> list[SeriesRecord]:
        """The series of these rows, in order of the rows."""
        query = _SERIES.where(SeriesRow.id.in_(keys)).order_by(SeriesRow.id)
        with self._index.reading() as connection:
            return [_record(row) for row in connection.execute(query)]

    def of_number(self, series: SeriesRecord) -> list[SeriesRecord]:
        """The series of a series' study that have its Series Number, in order of their UIDs."""
        study = select(SeriesRow.study_pk).where(SeriesRow.id == series.pk).scalar_subquery()
        query = _SERIES.where(SeriesRow.study_pk == study, SeriesRow.number == series.number)
        with self._index.reading() as connection:
            return [_record(row) for row in connection.execute(query.order_by(SeriesRow.uid))]

    def of_study(self, study_uid: str) -> list[SeriesRecord]:
        """The series of a study, in order of their rows."""
        query = _SERIES.where(StudyRow.uid == study_uid).order_by(SeriesRow.id)
        with self._index.reading() as connection:
            return [_record(row) for row in connection.execute(query)]

    def members(self, series_pk: int) -> list[SeriesRecord]:
        """The series whose images are volumes of a series' run; without the series itself."""
        with self._index.reading() as connection:
            return [_record(row) for row in connection.execute(_MEMBERS, {"pk": series_pk})]

    def standing(self, series: SeriesRecord) -> SeriesRecord:
        """The series that stands for the run of a series; the series itself if it has none."""
        return series if series.run is None else next(iter(self.of([series.run])), series)

    def settled(self, now: float, limit: int) -> list[SeriesRecord]:
        """Series that wait to be assembled, longest waiting first.

        Args:
            now: seconds since 1970.
            limit: of their number.
        """
        asked = {"now": now, "most": limit}
        with self._index.reading() as connection:
            return [_record(row) for row in connection.execute(_SETTLED, asked)]

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
        consequences: Consequences = NO_CONSEQUENCES,
        **values: Any,
    ) -> SeriesRecord | None:
        """Move a series to another state, unless it has changed meanwhile.

        Args:
            series: the series as the decision saw it.
            to: the state.
            now: seconds since 1970.
            actor: who decided, for the history.
            detail: for the history.
            due: when the watcher looks again; None: after the next change.
            deliveries: that are added to the outbox in the same transaction.
            consequences: that are written in the same transaction.
            values: further columns to set (`owner`, `revision`, `verdict`, `outputs`).

        Returns:
            The series as it is now, or None if it had changed: then nothing was done.
        """
        with self._index.writing() as connection:
            if not swap(connection, series, to, now, actor, detail or {}, {"due": due, **values}):
                return None
            enqueue(connection, series.pk, deliveries, now)
            write_consequences(connection, series.pk, consequences, now, actor)
            row = connection.execute(_OF_ROW, {"pk": series.pk}).one()
        return _record(row)

    def look_again(
        self, series: SeriesRecord, due: float | None, verdict: dict[str, Any] | None = None
    ) -> bool:
        """Set when the watcher looks again.

        Args:
            series: the series as the decision saw it.
            due: seconds since 1970; None: after the next change.
            verdict: until then, for people; None: it stays.

        Returns:
            False if the series has changed, or a look was requested since `series` was read, which
            must not be delayed.
        """
        values: dict[str, Any] = {"due": due}
        if verdict is not None:
            values["verdict"] = verdict
        return self._update(_NO_LOOK_SINCE, {**_seen(series), "seen_due": series.due, **values})

    def renew(self, series: SeriesRecord, until: float) -> bool:
        """Keep the claim on a series in assembly.

        Args:
            series: the series as the assembly saw it.
            until: seconds since 1970.

        Returns:
            False if it has changed.
        """
        return self._update(_SAME, {**_seen(series), "due": until})

    def _update(self, query: Update, values: dict[str, Any]) -> bool:
        with self._index.writing() as connection:
            return connection.execute(query, values).rowcount == 1

    def note(self, series_pk: int, *, now: float, actor: str, why: str) -> None:
        """Add to the history of a series what a person did, without a change of its state.

        Args:
            series_pk: the row of the series.
            now: seconds since 1970.
            actor: who did it.
            why: what was done.
        """
        row = SeriesRow
        with self._index.writing() as connection:
            found = connection.execute(
                select(row.state, row.revision).where(row.id == series_pk)
            ).first()
            if found is not None:
                connection.execute(
                    insert(SeriesEventRow).values(
                        series_pk=series_pk,
                        at=now,
                        actor=actor,
                        from_state=found.state,
                        to_state=found.state,
                        revision=found.revision,
                        detail={"why": why},
                    )
                )

    def claim_stem(self, series_pk: int, stem: str) -> bool:
        """Reserve an output name for a series.

        Of names that earlier versions gave to two series, the older series keeps it.

        Args:
            series_pk: the row of the series.
            stem: the name.

        Returns:
            False if another series has it, or a name that would lead to the same files.
        """
        row = OutputRow
        with self._index.writing() as connection:
            others = {
                (found.stem, found.series_pk)
                for found in rivals_of(connection, stem)
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

    def release_stems(self, series_pk: int, kept: Iterable[str]) -> None:
        """Give up the output names of a series that it no longer uses.

        Args:
            series_pk: the row of the series.
            kept: the names that it uses.
        """
        with self._index.writing() as connection:
            release_stems(connection, series_pk, kept)

    def rivals(self, series_pk: int, stem: str) -> list[int]:
        """The rows of other series that have reserved an output name, or one of the same files.

        Args:
            series_pk: the row of the series that wants it.
            stem: the name.
        """
        with self._index.reading() as connection:
            found = {row.series_pk for row in rivals_of(connection, stem)}
        return sorted(found - {series_pk})

    def files_beside(self, series_pk: int) -> set[str]:
        """Files of other series under names that earlier versions gave to this one, too."""
        with self._index.reading() as connection:
            stems = connection.scalars(
                select(OutputRow.stem).where(OutputRow.series_pk == series_pk)
            ).all()
            others = {
                found.series_pk for stem in stems for found in rivals_of(connection, stem)
            } - {series_pk}
            if not others:
                return set()
            outputs = connection.scalars(
                select(SeriesRow.outputs).where(SeriesRow.id.in_(others))
            ).all()
        return {name for files in outputs for name in files or ()}


def _seen(series: SeriesRecord) -> dict[str, Any]:
    return {"pk": series.pk, "seen_change": series.change}


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
        run=row.run_pk,
    )
