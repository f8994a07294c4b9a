"""The argument that names a series, and its completion by the shell."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

import typer

from node.core.errors import NodeError
from node.core.records import address_of
from node.core.settings.file import load_settings
from node.core.settings.model import Settings
from node.storage.index.engine import Index
from node.storage.index.search.latest import Latest

_MOST_READ: Final = 500
_DATABASE_SECONDS: Final = 2.0  # a shell waits for its completions
_ADDRESS: Final = re.compile(r"[0-9.]+(~[0-9]+)?")  # shells evaluate what they are given


def complete_series_uid(context: typer.Context, incomplete: str) -> list[str]:
    """The addresses of the newest series that begin with what has been typed.

    Args:
        context: of the command; has the value of `--config` if it has been typed.
        incomplete: what has been typed of the address.

    Returns:
        None of them where the index cannot be read.
    """
    config = context.params.get("config")
    try:
        settings = load_settings(Path(config) if config else None)
        found = _newest(settings)
    except (NodeError, OSError, ImportError):
        return []
    return [one for one in found if one.startswith(incomplete) and _ADDRESS.fullmatch(one)]


def _newest(settings: Settings) -> list[str]:
    if settings.database.url is None and not (settings.storage.root / "index.db").exists():
        return []
    index = Index(settings.database_url(), statement_seconds=_DATABASE_SECONDS)
    try:
        rows = Latest(index).series(_MOST_READ)
    finally:
        index.close()
    return [address_of(row["series_instance_uid"], row["part"]) for row in rows]


SeriesArgument = Annotated[
    str,
    typer.Argument(
        metavar="SERIES_UID",
        help="The Series Instance UID, or the address that `rasnode status` shows.",
        autocompletion=complete_series_uid,
    ),
]
