"""What `doctor` checks of the index, and what it reads there for other checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from node.cli.doctor.finding import Finding, Grade
from node.cli.doctor.quarantine import check_conflicts
from node.core.errors import NodeError
from node.core.settings.model import Settings
from node.lifecycle.verification.loop import NAME as VERIFICATION
from node.storage import index_completeness
from node.storage.identity import refuse_foreign
from node.storage.index.engine import Index
from node.storage.index.inspection import check_writable, migration_level
from node.storage.index.search.latest import Latest
from node.storage.index.series.conflicts import Conflicts
from node.storage.index.series.damages import Damages
from node.storage.index.series.verification import Inventory

Answer = TypeVar("Answer")

_NAMED: Final = 3  # damaged files


def check_database(settings: Settings) -> Finding:
    """Whether the index exists, can be written and has this version's tables."""
    try:
        if settings.database.url is None and not (settings.storage.root / "index.db").exists():
            index_completeness.refuse_lost(settings.storage.root)
            return Finding(
                "database", Grade.GOOD, "there is no index yet; the first start creates it"
            )
        index = Index(settings.database_url())
        try:
            refuse_foreign(index, settings.storage.root)
            index_completeness.check(index, settings.storage.root)
            level = migration_level(index)
            check_writable(index)
        finally:
            index.close()
    except (NodeError, ImportError) as error:
        return Finding(
            "database",
            Grade.WRONG,
            str(error),
            "check database.url, the server and the user's rights there"
            if settings.database.url
            else "check the rights of index.db; `rasnode reindex` rebuilds it from the archive",
        )
    if not level.known:
        return Finding(
            "database",
            Grade.WRONG,
            f"the index was made by a newer rasnode (migration {level.current})",
            "install that version again, or rebuild the index with `rasnode reindex`",
        )
    if level.current != level.newest:
        if level.current is None:
            return Finding("database", Grade.GOOD, "empty; the first start creates the tables")
        copy = "back up the database" if settings.database.url else "copy index.db"
        return Finding(
            "database",
            Grade.NOTE,
            f"the index is at migration {level.current}, this version's is {level.newest}",
            f"the next start migrates it; {copy} first",
        )
    return Finding("database", Grade.GOOD, f"can be written, migration {level.current}")


def check_damage(settings: Settings) -> Finding:
    """Whether any file is known to be damaged."""
    try:
        with _known_index(settings) as index:
            damages = Damages(index) if index is not None else None
            count = sum(damages.count().values()) if damages else 0
            named = "; ".join(str(one) for one in damages.all(_NAMED)) if damages else ""
            ended = Inventory(index).progress(VERIFICATION).ended_at if index is not None else None
    except (NodeError, ImportError):
        return Finding("damage", Grade.NOTE, "not known, as the index cannot be read")
    if count:
        found = f"{count} files are damaged or lost: {named}"
        return Finding("damage", Grade.WRONG, found, "`rasnode verify` lists all and checks again")
    when = (
        ""
        if ended is None
        else time.strftime("; all were compared by %Y-%m-%d", time.gmtime(ended))
    )
    return Finding("damage", Grade.GOOD, f"no file is known to be damaged{when}")


def conflicts(settings: Settings) -> list[Finding]:
    """The check of conflicting versions of instances; none if the index cannot be read."""
    found = _asked(settings, lambda index: Conflicts(index).left())
    return [] if found is None else [check_conflicts(found, settings.storage)]


def last_arrival(settings: Settings) -> float | None:
    """When the newest instance arrived, seconds since 1970; None if that is not known."""
    return _asked(settings, lambda index: Latest(index).last_arrival())


def _asked(settings: Settings, ask: Callable[[Index], Answer]) -> Answer | None:
    """An answer from the index, if it exists and has this version's tables."""
    try:
        with _known_index(settings) as index:
            return None if index is None else ask(index)
    except (NodeError, ImportError):
        return None  # the check of the database says what is wrong


@contextmanager
def _known_index(settings: Settings) -> Iterator[Index | None]:
    """The index, if it exists and has this version's tables."""
    if settings.database.url is None and not (settings.storage.root / "index.db").exists():
        yield None
        return
    index = Index(settings.database_url())
    try:
        level = migration_level(index)
        yield index if level.current == level.newest else None
    finally:
        index.close()
