"""What most commands begin with: the settings, the index, and whether a daemon is there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from node.config import Settings
from node.errors import ConfigError
from node.identity import refuse_foreign
from node.index.engine import Index
from node.journal import Journal

ConfigOption = Annotated[
    Path | None,
    typer.Option("-c", "--config", help="The YAML file; default ./config.yaml if it is there."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For a script to read.")]

_LOCK = ".rasnode.lock"
_SETTLE_SECONDS = 5.0
_COMMAND_SECONDS = 600.0  # a list of everything takes a while, and nobody waits but who asked


@contextmanager
def existing_index(settings: Settings) -> Iterator[Index]:
    """The index of a node that has run before.

    Raises:
        ConfigError: there is none, or it is another root's.
    """
    if settings.database.url is None and not (settings.storage.root / "index.db").exists():
        raise ConfigError(
            f"there is no index in {settings.storage.root} (storage.root): "
            "no node has run with this configuration yet"
        )
    let_settle(settings.storage.root)
    index = Index(settings.database_url(), statement_seconds=_COMMAND_SECONDS)
    try:
        refuse_foreign(index, settings.storage.root)
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


@contextmanager
def sole_owner(root: Path) -> Iterator[None]:
    """Hold the storage root for this process alone.

    Raises:
        ConfigError: the folder cannot be made or written, or another node has it.
    """
    try:
        root.mkdir(mode=0o750, parents=True, exist_ok=True)
        handle = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT, 0o640)
    except OSError as error:
        raise ConfigError(f"cannot write to storage.root {root}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"another rasnode has storage.root {root} open; stop it first, "
                "or give this one a folder of its own"
            ) from error
        yield
    finally:
        os.close(handle)
