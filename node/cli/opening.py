"""What most commands begin with: the settings, the index, and whether a daemon is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from node.config import Settings
from node.errors import ConfigError
from node.index.engine import Index
from node.journal import Journal

ConfigOption = Annotated[
    Path | None,
    typer.Option("-c", "--config", help="The YAML file; default ./config.yaml if it is there."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For a script to read.")]

_SETTLE_SECONDS = 5.0


@contextmanager
def existing_index(settings: Settings) -> Iterator[Index]:
    """The index of a node that has run before.

    Raises:
        ConfigError: there is none.
    """
    if settings.database.url is None and not (settings.storage.root / "index.db").exists():
        raise ConfigError(
            f"there is no index in {settings.storage.root} (storage.root): "
            "no node has run with this configuration yet"
        )
    let_settle(settings.storage.root)
    index = Index(settings.database_url())
    try:
        yield index
    finally:
        index.close()


def let_settle(root: Path) -> None:
    """What a running node has answered is in the index a moment later."""
    with suppress(OSError):  # who may only read sees what is there
        if (root / "journal").exists():
            journal = Journal(root)
            journal.settle(_SETTLE_SECONDS)
            journal.close()
