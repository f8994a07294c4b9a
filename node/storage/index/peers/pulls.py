"""Jobs that fetch studies from peers: made by a command, done by the node, seen by both."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from node.core.errors import ConfigError, Permanent
from node.core.pulls import (
    OVER,
    ItemState,
    JobState,
    NewPull,
    Order,
    PullItem,
    PullJob,
    PullStudy,
)
from node.storage.index.engine import Index
from node.storage.index.schema import (
    PullItemRow,
    PullJobRow,
    PullPeerRow,
    PullStudyRow,
    SeriesRow,
)

_KEPT: Final = 500  # jobs that are over
_AT_ONCE: Final = 500  # values in one statement
# What the worker asks all the time is put together once: that takes longer than the answer.
_ACTIVE: Final = (
    select(PullJobRow)
    .where(
        or_(
            PullJobRow.state == JobState.WAITING,
            PullJobRow.state == JobState.RUNNING,
            PullJobRow.ordered != "",
        )
    )
    .order_by(PullJobRow.id)
)
_OF_JOB: Final = PullItemRow.job_pk == bindparam("job")
_DUE: Final = (
    select(PullItemRow)
    .where(
        _OF_JOB,
        PullItemRow.state == ItemState.WAITING,
        PullItemRow.due <= bindparam("now"),
    )
    .order_by(PullItemRow.due, PullItemRow.id)
    .limit(bindparam("most"))
)
_COUNTS: Final = select(PullItemRow.state, func.count()).where(_OF_JOB).group_by(PullItemRow.state)
_SET_ITEM: Final = update(PullItemRow).where(PullItemRow.id == bindparam("pk"))
_FORGET_STUDIES: Final = delete(PullStudyRow).where(PullStudyRow.item_pk == bindparam("item"))
_ADD_STUDY: Final = insert(PullStudyRow)


class NameTaken(ConfigError):
    """There is a job of that name."""


class NoSuchJob(Permanent):
    """There is no job of that name."""


class Pulls:
    """The jobs in the index."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def create(self, new: NewPull, now: float) -> None:
        """Make a job; the node takes it up by itself.

        Args:
            new: what is to be fetched.
            now: seconds since 1970.

        Raises:
            NameTaken: there is a job of that name.
        """
        job = PullJobRow
        taken = f"there is a job {new.name!r} already; give this one another --name"
        try:
            with self._index.writing() as connection:
                if connection.scalar(select(job.id).where(job.name == new.name)) is not None:
                    raise NameTaken(taken)
                _prune(connection)
                pk = connection.execute(
                    insert(job)
                    .values(
                        name=new.name,
                        peer=new.peer,
                        state=JobState.WAITING,
                        series=dict(new.series),
                        way=new.by,
                        time_window=new.window,
                        rate=new.rate,
                        parallel=new.parallel,
                        created_at=now,
                    )
                    .returning(job.id)
                ).scalar_one()
                connection.execute(
                    insert(PullItemRow),
                    [
                        {
                            "job_pk": pk,
                            "row": row,
                            "query": dict(query),
                            "state": ItemState.WAITING,
                        }
                        for row, query in new.rows
                    ],
                )
        except IntegrityError as error:  # another command was faster
            raise NameTaken(taken) from error

    def jobs(self, name: str | None = None) -> list[PullJob]:
        """Every job, the oldest first, or one.

        Raises:
            NoSuchJob: there is none of that name.
        """
        query = select(PullJobRow).order_by(PullJobRow.id)
        if name is not None:
            query = query.where(PullJobRow.name == name)
        with self._index.reading() as connection:
            found = [_job(row) for row in connection.execute(query)]
        if name is not None and not found:
            raise NoSuchJob(f"there is no job {name!r}; `rasnode pulls` lists all")
        return found

    def active(self) -> list[PullJob]:
        """Jobs that wait or run, and those of which a person wants something."""
        with self._index.reading() as connection:
            return [_job(row) for row in connection.execute(_ACTIVE)]

    def order(self, name: str, order: Order) -> None:
        """Note what a person wants of a job; the node does it when it next looks.

        Raises:
            NoSuchJob: there is none of that name.
        """
        job = PullJobRow
        with self._index.writing() as connection:
            changed = connection.execute(
                update(job).where(job.name == name).values(ordered=order)
            ).rowcount
        if not changed:
            raise NoSuchJob(f"there is no job {name!r}; `rasnode pulls` lists all")

    def set_state(
        self, job: PullJob, state: JobState, now: float, reason: str = "", *, done: bool = False
    ) -> None:
        """Note where a job is.

        Args:
            job: the job.
            state: where it is from now on.
            now: seconds since 1970.
            reason: why, if it is not obvious.
            done: what a person wanted of it has been done.
        """
        values: dict[str, Any] = {
            "state": state,
            "reason": reason,
            "ended_at": now if state in OVER else None,
        }
        table = PullJobRow
        with self._index.writing() as connection:
            connection.execute(update(table).where(table.id == job.pk).values(**values))
            if done:
                connection.execute(
                    update(table)
                    .where(table.id == job.pk, table.ordered == (job.order or ""))
                    .values(ordered="")
                )

    def begin_again(self, job: PullJob) -> None:
        """Everything of a job that is not complete is tried again, with all its tries."""
        item = PullItemRow
        with self._index.writing() as connection:
            connection.execute(
                update(item)
                .where(item.job_pk == job.pk, item.state != ItemState.COMPLETE)
                .values(state=ItemState.WAITING, tries=0, due=0.0, reason="")
            )

    def release_running(self, under_way: Collection[int] = ()) -> None:
        """What ran when the node ended, or when it could not be noted how it ended, waits again.

        Args:
            under_way: keys of rows that do run.
        """
        item = PullItemRow
        with self._index.writing() as connection:
            connection.execute(
                update(item)
                .where(item.state == ItemState.RUNNING, item.id.not_in(list(under_way)))
                .values(state=ItemState.WAITING, due=0.0)
            )

    def due(self, job: PullJob, now: float, limit: int) -> list[PullItem]:
        """Rows of a job that may be tried now, those that wait longest first."""
        asked = {"job": job.pk, "now": now, "most": limit}
        with self._index.reading() as connection:
            return [_item(row) for row in connection.execute(_DUE, asked)]

    def counts(self, job: PullJob) -> dict[ItemState, int]:
        """How many rows of a job are in each state."""
        with self._index.reading() as connection:
            found = connection.execute(_COUNTS, {"job": job.pk})
            return {ItemState(state): count for state, count in found}

    def items(self, job: PullJob) -> list[PullItem]:
        """Every row of a job, in the order of its list."""
        query = select(PullItemRow).where(PullItemRow.job_pk == job.pk).order_by(PullItemRow.id)
        with self._index.reading() as connection:
            return [_item(row) for row in connection.execute(query)]

    def studies(self, job: PullJob) -> dict[int, list[PullStudy]]:
        """The studies of a job by the key of the row that asks for them."""
        study, item = PullStudyRow, PullItemRow
        query = (
            select(study)
            .join(item, item.id == study.item_pk)
            .where(item.job_pk == job.pk)
            .order_by(study.item_pk, study.uid)
        )
        found: dict[int, list[PullStudy]] = {}
        with self._index.reading() as connection:
            for row in connection.execute(query):
                found.setdefault(row.item_pk, []).append(_study(row))
        return found

    def set_item(
        self,
        item: PullItem,
        state: ItemState,
        *,
        reason: str = "",
        tries: int = 0,
        due: float = 0.0,
        studies: Sequence[PullStudy] = (),
    ) -> None:
        """Note where a row is, and what became of the studies that it asks for, if any is given."""
        told = {"pk": item.pk, "state": state, "reason": reason, "tries": tries, "due": due}
        with self._index.writing() as connection:
            connection.execute(_SET_ITEM, told)
            if studies:
                _write_studies(connection, item, studies)

    def set_studies(self, item: PullItem, studies: Sequence[PullStudy]) -> None:
        """Note the studies that a row asks for, instead of what was known of it before."""
        with self._index.writing() as connection:
            _write_studies(connection, item, studies)

    def set_received(self, item: PullItem, study_uid: str, count: int) -> None:
        """Note how many instances of a study are here while it is being retrieved."""
        study = PullStudyRow
        with self._index.writing() as connection:
            connection.execute(
                update(study)
                .where(study.item_pk == item.pk, study.uid == study_uid, study.expected >= count)
                .values(received=count)
            )

    def progress(self, job: PullJob) -> tuple[int, int]:
        """Instances of a job that are expected by now, and how many of them are here."""
        study, item = PullStudyRow, PullItemRow
        query = (
            select(
                func.coalesce(func.sum(study.expected), 0),
                func.coalesce(func.sum(study.received), 0),
            )
            .join(item, item.id == study.item_pk)
            .where(item.job_pk == job.pk)
        )
        with self._index.reading() as connection:
            expected, received = connection.execute(query).one()
        return int(expected or 0), int(received or 0)

    def way(self, peer: str) -> str | None:
        """Whether a peer is fetched from by `move` or `get`; None: it has not been tried."""
        with self._index.reading() as connection:
            return connection.scalar(select(PullPeerRow.way).where(PullPeerRow.peer == peer))

    def remember_way(self, peer: str, by: str, now: float) -> None:
        """Note how a peer is fetched from."""
        with self._index.writing() as connection:
            connection.execute(delete(PullPeerRow).where(PullPeerRow.peer == peer))
            connection.execute(insert(PullPeerRow).values(peer=peer, way=by, at=now))

    def series_states(self, uids: Collection[str]) -> dict[str, tuple[str, str | None]]:
        """State and verdict of series that the archive has, by Series Instance UID."""
        every = sorted(uids)
        found: dict[str, tuple[str, str | None]] = {}
        with self._index.reading() as connection:
            for at in range(0, len(every), _AT_ONCE):
                found.update(_states(connection, every[at : at + _AT_ONCE]))
        return found


def _prune(connection: Connection) -> None:
    """Forget the oldest jobs that are over, beyond as many as are kept."""
    job, item = PullJobRow, PullItemRow
    old = select(job.id).where(job.state.in_(OVER)).order_by(job.id.desc()).offset(_KEPT)
    keys = list(connection.scalars(old))
    if not keys:
        return
    rows = select(item.id).where(item.job_pk.in_(keys))
    connection.execute(delete(PullStudyRow).where(PullStudyRow.item_pk.in_(rows)))
    connection.execute(delete(item).where(item.job_pk.in_(keys)))
    connection.execute(delete(job).where(job.id.in_(keys)))


def _write_studies(connection: Connection, item: PullItem, studies: Sequence[PullStudy]) -> None:
    connection.execute(_FORGET_STUDIES, {"item": item.pk})
    for study in studies:
        row = {
            "item_pk": item.pk,
            "uid": study.uid,
            "state": study.state,
            "expected": study.expected,
            "received": study.received,
            "missing": _plain(study.missing),
            "missing_count": study.missing_count,
            "series": [dict(one) for one in study.series],
            "reason": study.reason,
        }
        connection.execute(_ADD_STUDY, row)


def _states(
    connection: Connection, uids: Sequence[str]
) -> Iterator[tuple[str, tuple[str, str | None]]]:
    query = select(SeriesRow.uid, SeriesRow.state, SeriesRow.verdict).where(SeriesRow.uid.in_(uids))
    for uid, state, verdict in connection.execute(query.order_by(SeriesRow.part.desc())):
        yield uid, (state, verdict.get("verdict") if verdict else None)


def _plain(missing: Sequence[str] | Mapping[str, Any]) -> list[Any] | dict[str, Any]:
    return dict(missing) if isinstance(missing, Mapping) else list(missing)


def _job(row: Row[Any]) -> PullJob:
    return PullJob(
        pk=row.id,
        name=row.name,
        peer=row.peer,
        state=JobState(row.state),
        order=Order(row.ordered) if row.ordered else None,
        series=row.series,
        by=row.way,
        window=row.time_window,
        rate=row.rate,
        parallel=row.parallel,
        reason=row.reason,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def _item(row: Row[Any]) -> PullItem:
    return PullItem(
        pk=row.id,
        job_pk=row.job_pk,
        row=row.row,
        query=row.query,
        state=ItemState(row.state),
        reason=row.reason,
        tries=row.tries,
        due=row.due,
    )


def _study(row: Row[Any]) -> PullStudy:
    missing = row.missing
    return PullStudy(
        uid=row.uid,
        state=ItemState(row.state),
        expected=row.expected,
        received=row.received,
        missing=tuple(missing) if isinstance(missing, list) else missing,
        missing_count=row.missing_count,
        series=tuple(row.series),
        reason=row.reason,
    )
