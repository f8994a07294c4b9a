"""The file of users, tokens and sessions: `users.db` below the storage root, an SQLite file.

It is no part of the index: `rasnode reindex` rebuilds that from the archive, which has no users,
and whoever has to repair the index must still be able to log in.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from node.core.errors import ConfigError, Retryable
from node.core.system.disk import ensure_folder

FILE: Final = "users.db"
_MODE: Final = 0o600
"""The node's user alone, as the file has the hashes of passwords."""
_BUSY_SECONDS: Final = 5.0
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE user (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    password TEXT NOT NULL,
    added_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE token (
    digest TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    made_at REAL NOT NULL,
    ends_at REAL
) WITHOUT ROWID;
CREATE TABLE session (
    digest TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT,
    began_at REAL NOT NULL,
    ends_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX token_name ON token (name);
CREATE INDEX session_name ON session (name, began_at);
CREATE TABLE secret (value BLOB NOT NULL);
"""
# The role of a session is null for a local user: it has the role that the user has now.


class AccessUnavailable(Retryable):
    """The file of users cannot be read or written now."""


class AccessDatabase:
    """Opens `users.db` for one transaction at a time; safe for threads and processes.

    Args:
        root: `storage.root`.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / FILE

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """A transaction: written when the block ends, undone if it raises.

        Raises:
            AccessUnavailable: the file cannot be read or written now.
            ConfigError: this user may not read it, or a later version made it.
        """
        try:
            with closing(self._connected()) as connection, connection:
                yield connection
        except sqlite3.Error as error:
            raise AccessUnavailable(
                f"{self.path} (users of the page) cannot be used: {error}"
            ) from error

    def snapshot(self, target: Path) -> bool:
        """Write a copy without sessions, which must not begin again when it is restored.

        Args:
            target: a file that is not there yet.

        Returns:
            Whether there is anything to copy.
        """
        if not self.path.exists():
            return False
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT, _MODE))
        with self.open() as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
            copy.execute("DELETE FROM session")
            copy.commit()
            copy.execute("VACUUM")
        return True

    def _connected(self) -> sqlite3.Connection:
        if not self.path.exists():
            self._make()
        try:
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=rw", timeout=_BUSY_SECONDS, uri=True
            )
        except sqlite3.OperationalError as error:
            if os.access(self.path, os.R_OK | os.W_OK):
                raise
            raise ConfigError(
                f"cannot read {self.path}: run the command as the node's user"
            ) from error
        connection.execute("PRAGMA synchronous=FULL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            _fill(connection)
        elif version > _VERSION:
            connection.close()
            raise ConfigError(f"{self.path} was made by a later version of rasnode; install that")
        return connection

    def _make(self) -> None:
        try:
            ensure_folder(self.path.parent)
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, _MODE))
        except OSError as error:
            raise ConfigError(
                f"cannot write {self.path}: {error.strerror}; run the command as the node's user"
            ) from error


def _fill(connection: sqlite3.Connection) -> None:
    """Make the tables; of two processes that begin at once, the second finds them."""
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute("INSERT INTO secret VALUES (?)", (secrets.token_bytes(32),))
        connection.execute(f"PRAGMA user_version = {_VERSION}")
    connection.commit()
