"""All files to be verified, in an order in which a restart can go on."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final, NamedTuple

from msgspec import Struct
from sqlalchemy import delete, func, insert, select

from node.core.records import address_of
from node.storage.index.engine import Index
from node.storage.index.schema import (
    ConflictRow,
    InstanceRow,
    PublicationRow,
    SeriesRow,
    VerificationRow,
)
from node.storage.index.search.search import Sendable
from node.storage.index.series.damages import file_columns
from node.storage.index.series.publications import Stage as Publishing
from node.storage.index.totals import Total, read

_AT_ONCE: Final = 200  # rows


class Stage(StrEnum):
    """What is verified, one after the other."""

    INSTANCES = "instances"
    CONFLICTS = "conflicts"
    OUTPUTS = "outputs"


class Progress(Struct, frozen=True):
    """How far a verification has come.

    Attributes:
        stage: what is being verified.
        after: the row that was verified last.
        files, bytes: how much was verified in this round.
        began_at: when this round began; seconds since 1970, UTC.
        ended_at: when the last complete round ended; None: there was none.
        is_under_way: whether a round was begun and has not ended.
    """

    stage: Stage = Stage.INSTANCES
    after: int = 0
    files: int = 0
    bytes: int = 0
    began_at: float = 0.0
    ended_at: float | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether a round was begun and has not ended."""
        return bool(self.files)


class Outputs(NamedTuple):
    """The files of a series' visible revision.

    Attributes:
        series_pk: the row of the series.
        address: of the series.
        files: relative to the output folder.
        digests: SHA-256 of each file, by its name relative to the output folder; None: not kept.
    """

    series_pk: int
    address: str
    revision: int
    files: tuple[str, ...]
    digests: dict[str, str] | None


class Inventory:
    """Lists everything that lies in files, row by row."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def instances(self, after: int) -> Iterator[tuple[int, Sendable]]:
        """Instances with their rows, which come after the row `after`."""
        return self._files(InstanceRow, after)

    def conflicts(self, after: int) -> Iterator[tuple[int, Sendable]]:
        """Conflicts, likewise."""
        return self._files(ConflictRow, after)

    def outputs(self, after: int) -> Iterator[Outputs]:
        """Published files, series by series, likewise."""
        while rows := self._published(SeriesRow.id > after):
            yield from rows
            after = rows[-1].series_pk

    def outputs_of(self, series_pk: int) -> Outputs | None:
        """The visible revision of one series; None: there is none."""
        found = self._published(SeriesRow.id == series_pk)
        return found[0] if found else None

    def sample(self, count: int) -> list[Sendable]:
        """Randomly chosen instances."""
        query = select(*file_columns(InstanceRow)).order_by(func.random()).limit(count)
        with self._index.reading() as connection:
            return [Sendable(*row) for row in connection.execute(query)]

    def size(self) -> tuple[int, int]:
        """How many archive files there are, and their bytes."""
        with self._index.reading() as connection:
            found = read(connection)
        return found[Total.INSTANCES] + found[Total.CONFLICTS], found[Total.BYTES]

    def progress(self, name: str) -> Progress:
        """How far a verification has come, by its name."""
        row = VerificationRow
        with self._index.reading() as connection:
            found = connection.execute(select(row).where(row.name == name)).first()
        if found is None:
            return Progress()
        return Progress(
            stage=Stage(found.stage),
            after=found.after,
            files=found.files,
            bytes=found.bytes,
            began_at=found.began_at,
            ended_at=found.ended_at,
        )

    def keep(self, name: str, progress: Progress) -> None:
        """Note how far a verification has come, for the next start.

        Args:
            name: of the verification.
            progress: how far it has come.
        """
        row = VerificationRow
        values = {field: getattr(progress, field) for field in progress.__struct_fields__}
        with self._index.writing() as connection:
            connection.execute(delete(row).where(row.name == name))
            connection.execute(insert(row).values(name=name, **values))

    def _files(
        self, row: type[InstanceRow | ConflictRow], after: int
    ) -> Iterator[tuple[int, Sendable]]:
        key: Any = row.id
        query = select(key, *file_columns(row)).order_by(key).limit(_AT_ONCE)
        if row is ConflictRow:
            query = query.join(InstanceRow, InstanceRow.id == ConflictRow.instance_pk)
        while True:
            with self._index.reading() as connection:
                rows = connection.execute(query.where(key > after)).all()
            for found in rows:
                yield found[0], Sendable(*found[1:])
            if len(rows) < _AT_ONCE:
                return
            after = rows[-1][0]

    def _published(self, which: Any) -> list[Outputs]:
        row = PublicationRow
        last = (
            select(func.max(row.revision))
            .where(row.series_pk == SeriesRow.id, row.state == Publishing.VISIBLE)
            .correlate(SeriesRow)
            .scalar_subquery()
        )
        query = (
            select(
                row.series_pk, SeriesRow.uid, SeriesRow.part, row.revision, row.files, row.digests
            )
            .join(SeriesRow, SeriesRow.id == row.series_pk)
            .where(which, row.revision == last)
            .order_by(row.series_pk)
            .limit(_AT_ONCE)
        )
        with self._index.reading() as connection:
            return [
                Outputs(pk, address_of(uid, part), revision, tuple(files), digests)
                for pk, uid, part, revision, files, digests in connection.execute(query)
            ]
