"""A copy of an index at one moment as an SQLite file, and the way back.

An SQLite index is copied as it is. From a database server all rows are copied, table by table, so
that a backup has the same form for both.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Table, delete, func, insert, inspect, select, text

from node.core.records import SeriesState
from node.storage.index.database_errors import IndexDamaged
from node.storage.index.engine import Index
from node.storage.index.schema import Base, PublicationRow, SeriesRow

_AT_ONCE: Final = 1000  # rows


class Archived(NamedTuple):
    """A file of the archive as an index lists it.

    Attributes:
        path: relative to the archive.
        size: bytes of the file.
        sha256: of its data set.
        offset: where that begins.
    """

    path: str
    size: int
    sha256: str
    offset: int


class Ready(NamedTuple):
    """A series that has volumes.

    Attributes:
        pk: its row.
        outputs: its files, relative to the output folder.
    """

    pk: int
    revision: int
    outputs: list[str]


def take(index: Index, target: Path) -> None:
    """Write the index as it is now into an SQLite file; other processes may go on writing to it.

    Args:
        index: the index.
        target: a file that is not there yet.

    Raises:
        IndexUnavailable: it does not answer. IndexDamaged: it cannot be read.
        OSError: the file cannot be written.
    """
    if not index.is_sqlite:
        copy = Index(f"sqlite:///{target}")
        try:
            copy.migrate()
            with _one_moment(index) as source, copy.writing() as there:
                _copy_rows(source, there)
        finally:
            copy.close()
    else:
        with index.reading() as connection, closing(sqlite3.connect(target)) as there:
            driver: Any = connection.connection.driver_connection
            try:
                driver.backup(there)
            except sqlite3.DatabaseError as error:
                raise IndexDamaged(f"the index cannot be copied: {error}") from error
    with closing(sqlite3.connect(target)) as there:
        there.execute("PRAGMA journal_mode=DELETE")  # one file, that can be copied as it is


def check(snapshot: Path) -> str | None:
    """What is wrong with a snapshot; None: nothing. All of it is read."""
    with closing(
        sqlite3.connect(f"{snapshot.absolute().as_uri()}?mode=ro", uri=True)
    ) as connection:
        try:
            result = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.DatabaseError as error:
            result = str(error)
    return None if result == "ok" else result


def put(snapshot: Index, index: Index) -> None:
    """Write the rows of a snapshot into the empty database of a server.

    Args:
        snapshot: migrated to this version.
        index: of the server.

    Raises:
        IndexUnavailable: the database does not answer or refuses it; nothing was written.
    """
    index.migrate()
    with snapshot.reading() as source, index.writing() as there:
        _copy_rows(source, there)
        for table in Base.metadata.sorted_tables:
            key = table.autoincrement_column
            if key is not None:
                there.execute(
                    text(
                        f"SELECT setval(pg_get_serial_sequence('\"{table.name}\"', '{key.name}'),"  # noqa: S608  names of our own tables
                        f' max({key.name})) FROM "{table.name}" HAVING max({key.name}) > 0'
                    )
                )


def archived(index: Index) -> Iterator[Archived]:
    """Every archive file that an index lists, conflicts included, read in parts."""
    for name in ("instance", "conflict"):
        table = Base.metadata.tables[name]
        columns = (table.c.path, table.c.size, table.c.sha256, table.c.data_set_offset)
        last = 0
        while True:
            query = (
                select(table.c.id, *columns).where(table.c.id > last).order_by(table.c.id)
            ).limit(_AT_ONCE)
            with index.reading() as connection:
                rows = connection.execute(query).all()
            if not rows:
                break
            last = rows[-1][0]
            yield from (Archived(*row[1:]) for row in rows)


def count_archived(index: Index) -> int:
    """How many archive files an index lists."""
    tables = (Base.metadata.tables[name] for name in ("instance", "conflict"))
    with index.reading() as connection:
        return sum(
            connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables
        )


def ready(index: Index) -> Iterator[Ready]:
    """Every series that has volumes."""
    row, last = SeriesRow, 0
    while True:
        query = (
            select(row.id, row.revision, row.outputs)
            .where(row.id > last, row.state == SeriesState.READY)
            .order_by(row.id)
            .limit(_AT_ONCE)
        )
        with index.reading() as connection:
            rows = connection.execute(query).all()
        if not rows:
            return
        last = rows[-1].id
        yield from (Ready(one.id, one.revision, list(one.outputs or [])) for one in rows)


def publish_anew(index: Index, series_pk: int) -> None:
    """Let the next volumes of a series become a new revision even if they are the same.

    Args:
        index: the index.
        series_pk: the row of the series.
    """
    with index.writing() as connection:
        connection.execute(
            PublicationRow.__table__.update()  # type: ignore[attr-defined]
            .where(PublicationRow.series_pk == series_pk)
            .values(fingerprint="")
        )


@contextmanager
def frozen(path: Path) -> Iterator[Index]:
    """A snapshot for reading only, which leaves no other file in its folder."""
    index = Index(f"sqlite:///file:{path.absolute()}?mode=ro&immutable=1&uri=true")
    try:
        yield index
    finally:
        index.close()


@contextmanager
def paths_of(snapshot: Path) -> Iterator[Callable[[str], bool]]:
    """A function that says whether a snapshot lists a path; memory does not depend on its size."""
    with closing(sqlite3.connect("", isolation_level=None)) as scratch:
        scratch.execute("ATTACH ? AS snapshot", (str(snapshot),))
        scratch.execute("CREATE TABLE known (path TEXT PRIMARY KEY) WITHOUT ROWID")
        for table in ("instance", "conflict"):
            scratch.execute(f"INSERT OR IGNORE INTO known SELECT path FROM snapshot.{table}")  # noqa: S608

        def lists(path: str) -> bool:
            found = scratch.execute("SELECT 1 FROM known WHERE path = ?", (path,))
            return found.fetchone() is not None

        yield lists


@contextmanager
def _one_moment(index: Index) -> Iterator[Connection]:
    with index.reading() as connection:
        yield connection.execution_options(isolation_level="REPEATABLE READ", stream_results=True)


def _copy_rows(source: Connection, target: Connection) -> None:
    """Copy every row of every table into another index of the same version."""
    there = set(inspect(source).get_table_names())
    tables = [table for table in Base.metadata.sorted_tables if table.name in there]
    for table in reversed(tables):
        target.execute(delete(table))  # rows that migrations have inserted
    for table in tables:
        _copy_table(source, target, table)


def _copy_table(source: Connection, target: Connection, table: Table) -> None:
    with source.execute(select(table).execution_options(yield_per=_AT_ONCE)) as rows:
        for part in rows.mappings().partitions(_AT_ONCE):
            target.execute(insert(table), [dict(row) for row in part])
