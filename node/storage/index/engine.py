"""The database of the index, SQLite in WAL mode or PostgreSQL: migrations and transactions."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from node.core.errors import ConfigError, StorageFull
from node.core.system.disk import FILE_MODE, start_writing, sync_folders
from node.storage.index import postgresql, totals
from node.storage.index.database_errors import (
    REPAIR,
    IndexDamaged,
    IndexUnavailable,
    translated,
)
from node.storage.index.schema import Base

_MIGRATIONS = Path(__file__).parent / "migrations"
_WRITES = "rasnode_writes"
_encode = msgspec.json.Encoder().encode
BUSY_SECONDS = 30  # how long a writer waits for another process' transaction
_CHECKPOINT_PAGES = 16384
"""Pages of SQLite's write-ahead log at which a commit of the ingester checkpoints it, unless
`Index.sync` did so before: it takes two syncs, for which senders and volumes would wait."""


def _to_json(value: object) -> str:
    try:
        return _encode(value).decode()
    except (TypeError, UnicodeEncodeError):  # a NumPy number, or half a surrogate pair
        return json.dumps(value)


_OPTIONS: dict[str, Any] = {
    "pool_size": 20,
    "max_overflow": 80,
    "hide_parameters": True,  # errors are logged, and parameters are patients' data
    "json_serializer": _to_json,  # of every instance's attributes
}
_SQLITE: Final = b"SQLite format 3\0"


class Index:
    """The index's database. Safe for many threads, but not across a fork.

    Args:
        url: an SQLAlchemy URL, `sqlite:///…` or `postgresql+psycopg://…`.
        relaxed: an SQLite commit need not be on stable storage when it returns: the journal repeats
            it after a power cut, and `sync` is called before the journal overwrites its records.
        statement_seconds: how long a PostgreSQL server may work on one statement.

    Raises:
        ConfigError: the URL cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        relaxed: bool = False,
        statement_seconds: float = postgresql.STATEMENT_SECONDS,
    ) -> None:
        self.url = url
        self._relaxed = relaxed
        self.engine: Engine = _engine(url, relaxed=relaxed, statement_seconds=statement_seconds)
        # Of the SQLite file, for `sync` and `check_in_place`. Closing it while there are
        # connections would release SQLite's locks on the file (fcntl(2)), and another process
        # could remove its log.
        self._handle: int | None = None
        self._identity: tuple[int, int] | None = None  # of the file at the first connection
        self._written = False
        self._opening = threading.Lock()
        if self.file is not None:
            event.listen(self.engine, "connect", self._opened)

    @property
    def is_sqlite(self) -> bool:
        """Whether the index is an SQLite file."""
        return self.engine.dialect.name == "sqlite"

    def migrate(self) -> None:
        """Run the migrations: from an empty database or any earlier version to this one.

        Raises:
            IndexUnavailable, StorageFull: the database does not take them.
        """
        from alembic import command  # noqa: PLC0415  slow to import, and only needed here
        from alembic.config import Config  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        with self._maintenance() as plain, _unchecked(plain):
            connection = plain.execution_options(**{_WRITES: True})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
        _private(self.file)

    def recreate(self) -> None:
        """Remove all tables and make them anew, empty.

        Raises:
            IndexUnavailable, StorageFull: the database does not take it.
        """
        path = self.file
        if path is None:
            with self._maintenance() as connection:
                Base.metadata.drop_all(connection)
                connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
                connection.commit()
        else:
            self.close()
            for suffix in ("", "-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        self.migrate()

    @contextmanager
    def _maintenance(self) -> Iterator[Connection]:
        """A transaction that may take hours; it waits for locks no longer than others."""
        seconds = postgresql.MAINTENANCE_SECONDS
        with translated(), self.engine.connect() as connection:
            if not self.is_sqlite:
                milliseconds = int(seconds * 1000)
                connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
            with postgresql.answers_within(seconds):
                yield connection

    @cached_property
    def file(self) -> Path | None:
        """The SQLite file; None for a database server."""
        database = make_url(self.url).database
        return Path(database) if self.is_sqlite and database else None

    def check_in_place(self) -> None:
        """Check that the SQLite file is the one that was opened first.

        Raises:
            IndexDamaged: it was removed or replaced, so that the next start would not find what is
                written now; or it was overwritten.
        """
        path = self.file
        if self._identity is None or path is None:
            return
        if self._identity_now() != self._identity:
            raise IndexDamaged(f"the index {path} was removed or replaced: {REPAIR}")
        # SQLite's cache may hide that the file was overwritten.
        begins = os.pread(self._opened_file(path), len(_SQLITE), 0)
        self._written |= begins == _SQLITE
        if begins != _SQLITE and (begins or self._written):
            raise IndexDamaged(f"the index {path} was overwritten or emptied: {REPAIR}")

    def _opened(self, _connection: object, _record: object) -> None:
        if self._identity is None:
            self._identity = self._identity_now()
        self.check_in_place()

    def _identity_now(self) -> tuple[int, int] | None:
        path = self.file
        try:
            status = path.stat() if path is not None else None
        except OSError:
            return None
        return (status.st_dev, status.st_ino) if status is not None else None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection on one consistent snapshot, until the block ends.

        Raises:
            IndexUnavailable: the database does not answer.
        """
        with translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its first statement on.

        It is committed when the block ends without an exception; unless the index is `relaxed`, it
        is on stable storage then.

        Raises:
            StorageFull: the disk is full or failing.
            IndexUnavailable: the database does not take it for another reason.
        """
        with translated(), self.engine.connect() as connection:
            counts: Counter[str] = Counter()
            writer = connection.execution_options(**{_WRITES: True, totals.COUNTS: counts})
            with writer.begin():
                yield writer
                totals.write(writer, counts)

    def start_sync(self) -> None:
        """Have the disk begin to write what was committed: the next sync takes less time then."""
        path = self.file
        if path is None or not self._relaxed:
            return
        with suppress(OSError):  # the sync follows all the same
            handle = os.open(f"{path}-wal", os.O_RDONLY)
            try:
                start_writing(handle)
            finally:
                os.close(handle)

    def sync(self, *, anew: bool = False) -> None:
        """Bring every commit to stable storage; only a `relaxed` index needs that.

        It also checkpoints SQLite's write-ahead log, so that no commit has to.

        Args:
            anew: an earlier sync failed, so that the log may have holes on the disk: it is
                checkpointed completely and emptied.

        Raises:
            StorageFull: the disk is failing.
            IndexUnavailable: the database does not take it now.
        """
        path = self.file
        if path is None or not self._relaxed:
            return
        with self.reading() as connection:
            mode = "TRUNCATE" if anew else "PASSIVE"
            busy = connection.exec_driver_sql(f"PRAGMA wal_checkpoint({mode})").scalar()
        if anew and busy:
            raise IndexUnavailable("the index's log cannot be emptied while it is being read")
        try:
            self._sync_files(path)
        except OSError as error:
            raise StorageFull(f"the index cannot be synced: {error.strerror}") from error

    def _sync_files(self, path: Path) -> None:
        os.fsync(self._opened_file(path))
        log = Path(f"{path}-wal")
        if log.exists():
            handle = os.open(log, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        sync_folders([path.absolute().parent])  # SQLite may have made a new log

    def _opened_file(self, path: Path) -> int:
        with self._opening:
            if self._handle is None:
                self._handle = os.open(path, os.O_RDONLY)
            return self._handle

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        self._identity, self._written = None, False
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _engine(url: str, *, relaxed: bool, statement_seconds: float) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError(
            "database.url is not an SQLAlchemy URL, such as sqlite:///index.db"
        ) from error
    backend = parsed.get_backend_name()
    if backend not in {"sqlite", "postgresql"}:
        raise ConfigError(
            f"database.url names {backend}; the index can be kept in SQLite or in PostgreSQL "
            "(postgresql+psycopg://…)"
        )
    if backend == "postgresql":
        return postgresql.make_engine(parsed, statement_seconds, _OPTIONS)
    engine = create_engine(
        parsed, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}, **_OPTIONS
    )
    event.listen(engine, "connect", _configure_sqlite)
    if relaxed:
        event.listen(engine, "connect", _relax_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def _unchecked(connection: Connection) -> Iterator[None]:
    """Disable foreign keys on SQLite: there a migration changes a constraint by copying the table,
    and references to its rows would forbid that."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.dbapi_connection
    driver.execute("PRAGMA foreign_keys=OFF")  # without effect within a transaction: none began
    try:
        yield
    finally:
        connection.rollback()
        driver.execute("PRAGMA foreign_keys=ON")


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # _begin_sqlite sends BEGIN
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # a commit is on stable storage when it returns
        "foreign_keys=ON",
        "cache_size=-16384",
        "temp_store=MEMORY",
        "mmap_size=0",
        f"wal_autocheckpoint={2 * _CHECKPOINT_PAGES}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _relax_sqlite(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")  # a power cut may lose the last
    connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE: a transaction that reads first and writes later would fail as busy instead of wait.
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _private(path: Path | None) -> None:
    """Withdraw access from other users of the machine: the index has patients' names and dates."""
    if path is None:
        return
    for suffix in ("", "-wal", "-shm"):
        file = Path(f"{path}{suffix}")
        if file.exists():
            file.chmod(FILE_MODE)
