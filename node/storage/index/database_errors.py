"""What errors of the database mean: try again, mend the index, or this statement never works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft

from node.core.errors import Retryable, StorageFull

_READ_ONLY: Final = "25006"  # SQLSTATE: for instance a standby that is not the primary yet
_FULL: Final = (
    "disk is full",
    "disk i/o error",
    "readonly database",
    "no space left",
    "unable to open",
)
_CORRUPT: Final = (11, 26)  # SQLITE_CORRUPT, SQLITE_NOTADB
_NO_TABLE: Final = ("no such table", "no such column")
_DAMAGED: Final = ("42P01", "42703", "XX001", "XX002")
"""SQLSTATE: tables or columns are gone, or a table or an index cannot be read."""
_LIMITS: Final = "54"  # SQLSTATE class: a statement or a value is larger than PostgreSQL allows
REPAIR: Final = (
    "stop the node, and restore the index from a backup or type `rasnode reindex`, which rebuilds "
    "it from the archive"
)


class IndexUnavailable(Retryable):
    """The database does not answer or refuses the transaction; the same call may succeed later."""


class IndexDamaged(IndexUnavailable):
    """The database is damaged, replaced or emptied."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise the node's own errors in place of the database's.

    Raises:
        StorageFull: the disk is full or failing.
        IndexDamaged: the database is damaged or has lost tables.
        IndexUnavailable: the database does not take it for another reason that may pass.
        DBAPIError: the statement cannot work, however often it is tried.
    """
    try:
        yield
    except OperationalError as error:
        message = str(error.orig).lower()
        if _sqlstate(error).startswith(_LIMITS):
            raise  # the same statement would fail again
        if _is_damage(error):
            raise IndexDamaged(f"the index is damaged ({_line(error)}): {REPAIR}") from error
        if any(sign in message for sign in _FULL):
            raise StorageFull(f"the index cannot be written: {_line(error)}") from error
        raise IndexUnavailable(f"the index does not answer: {_line(error)}") from error
    except NoConnectionLeft as error:
        raise IndexUnavailable(
            "the index does not answer: all connections to the database are waiting for it"
        ) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise IndexUnavailable(f"the connection to the index broke: {_line(error)}") from error
        if _is_damage(error):
            raise IndexDamaged(f"the index is damaged ({_line(error)}): {REPAIR}") from error
        if _sqlstate(error) == _READ_ONLY:
            raise IndexUnavailable(f"the index cannot be written: {_line(error)}") from error
        raise


def _is_damage(error: DBAPIError) -> bool:
    """Whether the database cannot be read, or has lost its tables."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if isinstance(code, int) and code & 0xFF in _CORRUPT:
        return True
    if _sqlstate(error) in _DAMAGED:
        return True
    return any(sign in str(error.orig) for sign in _NO_TABLE)


def _sqlstate(error: DBAPIError) -> str:
    """PostgreSQL's code of the error; empty: none."""
    return getattr(error.orig, "sqlstate", None) or ""


def _line(error: DBAPIError) -> str:
    """The driver's message in one line."""
    return " ".join(str(error.orig).split())
