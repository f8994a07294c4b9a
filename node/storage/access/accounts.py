"""Adds, finds and removes users, tokens and sessions. Of secrets it gets and keeps digests only."""

from __future__ import annotations

import re
import sqlite3
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.core.errors import ConfigError, Permanent
from node.storage.access.database import AccessDatabase

ROLES: Final = ("viewer", "operator", "admin")
"""Each may also do what the ones before it may."""
MOST_NAMES: Final = 10_000
MOST_TOKENS: Final = 10_000
MOST_SESSIONS: Final = 50
"""Of one user at once; the oldest ends when there are more."""
_NAME: Final = re.compile(r"\w[\w.@+-]{0,63}")
_KEPT_SECONDS: Final = 30 * 86400  # how long an expired token is still listed


class AccountRefused(Permanent):
    """A user or token that cannot be added or removed; the text says why."""


@dataclass(frozen=True)
class Grant:
    """What a password, token or session stands for.

    Attributes:
        name: whose it is.
        role: viewer, operator or admin.
    """

    name: str
    role: str


@dataclass(frozen=True)
class Account:
    """A name with all that it has.

    Attributes:
        role: of the user; None: a name that has tokens or sessions alone.
        token_roles, token_ends: of each token; None: it does not end.
        sessions: how many are open.
    """

    name: str
    role: str | None
    token_roles: tuple[str, ...]
    token_ends: tuple[float | None, ...]
    sessions: int


class Accounts:
    """The users, tokens and sessions of a node. Safe for threads and processes.

    Args:
        root: `storage.root`.
        clock: seconds since 1970, UTC.
    """

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        self._database = AccessDatabase(root)
        self._clock = clock

    def add_user(self, name: str, role: str, password: str) -> None:
        """Add a user who logs in with a password.

        Args:
            password: its hash.

        Raises:
            AccountRefused: the name is taken, or there are too many.
        """
        with self._database.open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            self._refuse_taken(connection, name)
            if connection.execute("SELECT count(*) FROM user").fetchone()[0] >= MOST_NAMES:
                raise AccountRefused(f"there are {MOST_NAMES} users: remove some")
            connection.execute(
                "INSERT INTO user VALUES (?, ?, ?, ?)", (name, role, password, self._clock())
            )

    def refuse_taken(self, name: str) -> None:
        """Raise AccountRefused if there is a user of this name."""
        with self._database.open() as connection:
            self._refuse_taken(connection, name)

    def remove(self, name: str) -> None:
        """Remove a user, and end all tokens and sessions of the name at once.

        Raises:
            AccountRefused: there is nothing of this name.
        """
        with self._database.open() as connection:
            gone = sum(
                connection.execute(f"DELETE FROM {table} WHERE name = ?", (name,)).rowcount  # noqa: S608  names of our own tables
                for table in ("user", "token", "session")
            )
        if not gone:
            raise AccountRefused(f"there is no user and no token of the name {name!r}")

    def user(self, name: str) -> tuple[Grant, str] | None:
        """A user and the hash of the password; None: there is no such user."""
        with self._database.open() as connection:
            row = connection.execute(
                "SELECT name, role, password FROM user WHERE name = ?", (name,)
            ).fetchone()
        return None if row is None else (Grant(row[0], row[1]), row[2])

    def all(self) -> list[Account]:
        """All names that have a password, a token or a session, in order."""
        now = self._clock()
        with self._database.open() as connection:
            users = dict(connection.execute("SELECT name, role FROM user").fetchall())
            tokens = connection.execute("SELECT name, role, ends_at FROM token").fetchall()
            sessions = dict(
                connection.execute(
                    "SELECT name, count(*) FROM session WHERE ends_at > ? GROUP BY name", (now,)
                ).fetchall()
            )
        return [
            Account(
                name,
                users.get(name),
                tuple(role for owner, role, _ in tokens if owner == name),
                tuple(ends for owner, _, ends in tokens if owner == name),
                sessions.get(name, 0),
            )
            for name in sorted({*users, *(row[0] for row in tokens), *sessions})
        ]

    def add_token(self, name: str, role: str, digest: str, ends_at: float | None) -> None:
        """Add a token for an API client.

        Args:
            ends_at: s since 1970, UTC; None: it does not end.

        Raises:
            AccountRefused: its role exceeds that of the user, or there are too many.
        """
        now = self._clock()
        with self._database.open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM token WHERE ends_at < ?", (now - _KEPT_SECONDS,))
            row = connection.execute("SELECT role FROM user WHERE name = ?", (name,)).fetchone()
            if row is not None and ROLES.index(role) > ROLES.index(row[0]):
                raise AccountRefused(
                    f"{name} is {row[0]}, so a token of the name cannot be {role}: "
                    "give the program a name of its own"
                )
            if connection.execute("SELECT count(*) FROM token").fetchone()[0] >= MOST_TOKENS:
                raise AccountRefused(f"there are {MOST_TOKENS} tokens: remove some")
            connection.execute(
                "INSERT INTO token VALUES (?, ?, ?, ?, ?)", (digest, name, role, now, ends_at)
            )

    def by_token(self, digest: str) -> Grant | None:
        """What a token stands for; None: there is no such token, or it has ended."""
        with self._database.open() as connection:
            row = connection.execute(
                "SELECT name, role FROM token "
                "WHERE digest = ? AND (ends_at IS NULL OR ends_at > ?)",
                (digest, self._clock()),
            ).fetchone()
        return None if row is None else Grant(*row)

    def begin_session(self, digest: str, name: str, role: str | None, seconds: float) -> bool:
        """Begin a session.

        Args:
            role: of a user whom somebody else knows; None: of a local user, who has to be there.
            seconds: how long it lasts.

        Returns:
            Whether it has begun: not if the local user has been removed meanwhile.
        """
        now = self._clock()
        with self._database.open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM session WHERE ends_at <= ?", (now,))
            known = connection.execute("SELECT 1 FROM user WHERE name = ?", (name,)).fetchone()
            if role is None and known is None:
                return False
            connection.execute(
                "DELETE FROM session WHERE digest IN (SELECT digest FROM session WHERE name = ? "
                "ORDER BY began_at DESC LIMIT -1 OFFSET ?)",
                (name, MOST_SESSIONS - 1),
            )
            connection.execute(
                "INSERT INTO session VALUES (?, ?, ?, ?, ?)",
                (digest, name, role, now, now + seconds),
            )
        return True

    def by_session(self, digest: str) -> Grant | None:
        """What a session stands for; None: there is no such session, or it has ended."""
        with self._database.open() as connection:
            row = connection.execute(
                "SELECT session.name, coalesce(session.role, user.role) FROM session "
                "LEFT JOIN user ON user.name = session.name "
                "WHERE digest = ? AND ends_at > ?",
                (digest, self._clock()),
            ).fetchone()
        return None if row is None or row[1] is None else Grant(*row)

    def end_session(self, digest: str) -> None:
        """End a session."""
        with self._database.open() as connection:
            connection.execute("DELETE FROM session WHERE digest = ?", (digest,))

    def secret(self) -> bytes:
        """32 random bytes that never change."""
        with self._database.open() as connection:
            return bytes(connection.execute("SELECT value FROM secret").fetchone()[0])

    @staticmethod
    def _refuse_taken(connection: sqlite3.Connection, name: str) -> None:
        if connection.execute("SELECT 1 FROM user WHERE name = ?", (name,)).fetchone():
            raise AccountRefused(
                f"the user {name} exists already; to change role or password, remove them first"
            )


def checked_name(text: str) -> str:
    """A name in the form in which it is kept.

    Raises:
        ConfigError: it cannot be a name.
    """
    name = unicodedata.normalize("NFC", text)
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{text!r} cannot be a name: 1 to 64 letters and digits, after the first also . _ @ + -"
        )
    return name
