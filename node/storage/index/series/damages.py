"""Damaged and lost files, from when they are found until they are repaired."""

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
    """A damaged or lost file.

    Attributes:
        path: relative to the storage root.
        series_pk: the row of its series.
        series_uid: its Series Instance UID.
        series_part: number of the series among those of this UID.
        uid: the SOP Instance UID; empty for a published file.
        reason: the name of the damage.
        sentence: what is wrong.
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
        """Whether it is an archive file; else it is a published one."""
        return self.reason in DAMAGE

    @property
    def address(self) -> str:
        """The address of its series."""
        return address_of(self.series_uid, self.series_part)

    def __str__(self) -> str:
        """The damage and its remedy, for people; without the path, as file names may identify a
        patient."""
        if self.is_archived:
            what, remedy = f"SOP Instance {self.uid}", "send it again"
        else:
            ending = self.path.rsplit("/", 1)[-1].partition(".")[2]
            what, remedy = f"a published .{ending} of series {self.address}", "it is made again"
        return f"{self.reason}: {what}: {self.sentence}; {remedy}"


class Damages:
    """Reads and writes which files are damaged; every method is one transaction."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def count(self) -> dict[str, int]:
        """How many files are damaged, by reason."""
        query = select(DamageRow.reason, func.count()).group_by(DamageRow.reason)
        with self._index.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def all(self, limit: int = _MOST_NAMED, series: Sequence[int] | None = None) -> list[Damaged]:
        """Damaged files, the longest known first.

        Args:
            limit: of their number.
            series: only files of these series, by their rows.
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
        """Note that an archive file is damaged.

        Args:
            instance: what the index said of the file when the damage was found.
            reason: the name of the damage.
            sentence: what is wrong.
            now: seconds since 1970, UTC.
            change: of its series when the damage was found; None: not compared.

        Returns:
            False if the index says something else of the file by now, or does not list it.
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
        """Note that a published file is damaged.

        Args:
            series_pk: the row of its series.
            revision: of the series, when the damage was found.
            name: of the file, relative to the output folder.
            reason: the name of the damage.
            sentence: what is wrong.
            now: seconds since 1970, UTC.

        Returns:
            False if another revision is visible by now, or has been begun.
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
        """Remove the note of a file that was repaired, or that the index does not list any more.

        Args:
            path: relative to the storage root.
        """
        with self._index.writing() as connection:
            connection.execute(delete(DamageRow).where(DamageRow.path == path))

    def expected(self, damaged: Damaged) -> list[Sendable]:
        """What the index says now of a damaged archive file; several items if several rows have
        the same file."""
        found_files = []
        for row in (InstanceRow, ConflictRow):
            query = select(*file_columns(row)).where(InstanceRow.uid == damaged.uid)
            if row is ConflictRow:
                query = query.join(InstanceRow, InstanceRow.id == ConflictRow.instance_pk)
            with self._index.reading() as connection:
                found_files += [
                    Sendable(*found)
                    for found in connection.execute(query)
                    if archived(found.path) == damaged.path
                ]
        return found_files


def archived(path: str) -> str:
    """The path of an archived file relative to the storage root."""
    return f"archive/{path}"


def published(path: str) -> str:
    """The path of a published file relative to the storage root."""
    return f"nifti/{path}"


def file_columns(row: type[InstanceRow | ConflictRow]) -> tuple[Any, ...]:
    """The columns of a `Sendable`, for instances or for conflicts."""
    first = sendable_columns()
    if row is InstanceRow:
        return first
    own = ("transfer_syntax_uid", "path", "size", "sha256", "data_set_offset", "crc32")
    return tuple(getattr(row, one.key) if one.key in own else one for one in first)


def _row_of(connection: Connection, instance: Sendable) -> tuple[int, int] | None:
    """The series of an archive file and its change, if the index says the same of the file."""
    expected = (instance.path, instance.sha256, instance.data_set_offset)
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
            if tuple(found[2:]) == expected:
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
