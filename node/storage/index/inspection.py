"""Whether the index can be used: can it be written, and are its migrations complete?"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sqlalchemy import text

from node.core.errors import StorageFull
from node.storage.index.engine import Index
from node.storage.index.postgresql import answers_within

_ANSWER_SECONDS = 3.0  # `/health` has to answer within ten in all
_MIGRATIONS = Path(__file__).parent / "migrations"


class Level(NamedTuple):
    """The migration of a database.

    Attributes:
        current: its last migration; None for a database without rasnode's tables.
        newest: the last migration of this version.
        known: whether this version knows the current one.
    """

    current: str | None
    newest: str
    known: bool


def check_writable(index: Index) -> None:
    """Take the write lock and release it.

    Raises:
        StorageFull: the database can be read but not written.
        IndexUnavailable: it does not answer.
    """
    with answers_within(_ANSWER_SECONDS), index.writing() as connection:
        if index.is_sqlite:
            return  # BEGIN IMMEDIATE took the lock already
        if connection.scalar(text("SHOW transaction_read_only")) == "on":
            raise StorageFull("the index cannot be written: the server is read-only")


def migration_level(index: Index) -> Level:
    """The migration of the database.

    Raises:
        IndexUnavailable: it does not answer.
    """
    from alembic.config import Config  # noqa: PLC0415  slow to import, and only needed here
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    newest = scripts.get_current_head() or ""
    with index.reading() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    return Level(current, newest, current is None or current in known)
