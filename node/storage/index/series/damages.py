"""What is damaged or lost, from when it is found until it is healed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select

from node.core.errors import DAMAGE, Reason
from node.core.records import address_of
from node.storage.index.engine import Index
from node.storage.index.schema import ConflictRow, DamageRow, InstanceRow, PublicationRow, SeriesRow
from node.storage.index.search.search import Sendable, sendable_columns
from node.storage.index.series.publications import Stage

_MOST_NAMED: Final = 1000


class Damaged(NamedTuple):
    """A file that is not what it was.

    Attributes:
        path: relative to the storage root.
        series_part: which of the series of this UID it is.
        uid: the SOP Instance UID; empty for a published file.
        reason: its name.
        found_at: seconds since 1970, UTC.
    """

    path: str
    series_pk: int
    series_uid: str
    series_part: int
    uid: str
    reason: Reason
    sentence: str
    found_at: float

    @property
    def is_archived(self) -> bool:
        """Whether it is an instance's file, and no published one."""
        return self.reason in DAMAGE

    @property
    def address(self) -> str:
        """What its series is called."""
        return address_of(self.series_uid, self.series_part)

    def __str__(self) -> str:
        """What people are told; the path is left out, as names of files may say who it is."""
        if self.is_archived:
            what, cure = f"SOP Instance {self.uid}", "send it again"
        else:
            ending = self.path.rsplit("/", 1)[-1].partition(".")[2]
            what, cure = f"a published .{ending} of series {self.address}", "it is made again"
        return f"{self.reason}: {what}: {self.sentence}; {cure}"


class Damages:
    """Keeps which files are damaged; every method is one transaction."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def count(self) -> dict[str, int]:
        """How many there are, by reason."""
        query = select(DamageRow.reason, func.count()).group_by(DamageRow.reason)
        with self._index.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def all(self, limit: int = _MOST_NAMED, series: Sequence[int] | None = None) -> list[Damaged]:
        """What is damaged, the longest known first.

        Args:
            series: only of these, by their rows.
        """
        row = DamageRow
        query = (
            select(
                row.path,
                row.series_pk,
                SeriesRow.uid.label("series_uid"),
                SeriesRow.part,
                row.uid,
                row.reason,
                row.sentence,
                row.found_at,
            )
            .join(SeriesRow, SeriesRow.id == row.series_pk)
            .order_by(row.found_at, row.path)
            .limit(limit)
        )
        if series is not None:
            query = query.where(row.series_pk.in_(series))
        with self._index.reading() as connection:
            return [
                Damaged(*found[:5], Reason(found[5]), *found[6:])
                for found in connection.execute(query)
            ]

    def note_instance(
        self,
        instance: Sendable,
        reason: Reason,
        sentence: str,
        now: float,
        change: int | None = None,
    ) -> bool:
        """Keep that an instance's file is damaged.

        Args:
            change: of its series, as it was when that was found; None: it does not matter.

        Returns:
            False if the index says something else of the file by now, or has no such file.
        """
        with self._index.writing() as connection:
            found = _row_of(connection, instance)
            if found is None or (change is not None and found[1] != change):
                return False
            path = archived(instance.path)
            _keep(connection, path, found[0], instance.sop_instance_uid, reason, sentence, now)
        return True

    def note_output(
        self, series_pk: int, revision: int, name: str, reason: Reason, sentence: str, now: float
    ) -> bool:
        """Keep that a published file is damaged.

        Returns:
            False if another revision is visible by now, or on its way.
        """
        with self._index.writing() as connection:
            latest = connection.execute(
                select(PublicationRow.revision, PublicationRow.state)
                .where(PublicationRow.series_pk == series_pk)
                .order_by(PublicationRow.revision.desc())
                .limit(1)
            ).first()
            if latest is None or tuple(latest) != (revision, Stage.VISIBLE):
                return False
            _keep(connection, published(name), series_pk, "", reason, sentence, now)
        return True

    def forget(self, path: str) -> None:
        """It is well again, or nothing speaks of it any more.

        Args:
            path: relative to the storage root.
        """
        with self._index.writing() as connection:
            connection.execute(delete(DamageRow).where(DamageRow.path == path))

    def expected(self, damaged: Damaged) -> list[Sendable]:
        """What the index says now of an instance's file that was damaged; of several, if their rows
        name the same file."""
        said = []
        for row in (InstanceRow, ConflictRow):
            query = select(*file_columns(row)).where(InstanceRow.uid == damaged.uid)
            if row is ConflictRow:
                query = query.join(InstanceRow, InstanceRow.id == ConflictRow.instance_pk)
            with self._index.reading() as connection:
                said += [
                    Sendable(*found)
                    for found in connection.execute(query)
                    if archived(found.path) == damaged.path
                ]
        return said


def archived(path: str) -> str:
    """The path of an archived file relative to the storage root."""
    return f"archive/{path}"


def published(path: str) -> str:
    """The path of a published file relative to the storage root."""
    return f"nifti/{path}"


def file_columns(row: type[InstanceRow | ConflictRow]) -> tuple[Any, ...]:
    """The columns of a `Sendable` of an instance, or of what conflicts with it."""
    first = sendable_columns()
    if row is InstanceRow:
        return first
    own = ("transfer_syntax_uid", "path", "size", "sha256", "data_set_offset", "crc32")
    return tuple(getattr(row, one.key) if one.key in own else one for one in first)


def _row_of(connection: Connection, instance: Sendable) -> tuple[int, int] | None:
    """The series of an instance's file and its change, if the index says the same of the file."""
    told = (instance.path, instance.sha256, instance.data_set_offset)
    series = select(SeriesRow.id, SeriesRow.change)
    first = series.add_columns(InstanceRow.path, InstanceRow.sha256, InstanceRow.data_set_offset)
    others = series.add_columns(ConflictRow.path, ConflictRow.sha256, ConflictRow.data_set_offset)
    for query in (
        first.join(InstanceRow, InstanceRow.series_pk == SeriesRow.id),
        others.join(InstanceRow, InstanceRow.series_pk == SeriesRow.id).join(
            ConflictRow, ConflictRow.instance_pk == InstanceRow.id
        ),
    ):
        rows = connection.execute(query.where(InstanceRow.uid == instance.sop_instance_uid))
        for found in rows:
            if tuple(found[2:]) == told:
                return found[0], found[1]
    return None


def _keep(
    connection: Connection,
    path: str,
    series_pk: int,
    uid: str,
    reason: Reason,
    sentence: str,
    now: float,
) -> None:
    row = DamageRow
    before = connection.scalar(select(row.found_at).where(row.path == path))
    connection.execute(delete(row).where(row.path == path))
    connection.execute(
        insert(row).values(
            path=path,
            series_pk=series_pk,
            uid=uid,
            reason=reason,
            sentence=sentence,
            found_at=now if before is None else before,
        )
    )
