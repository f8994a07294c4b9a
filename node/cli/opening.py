"""What most commands begin with: the settings, the index, and whether a daemon is there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from node.config import Settings
from node.config_file import find_file
from node.errors import ConfigError
from node.identity import refuse_foreign
from node.index.engine import Index
from node.journal import Journal
from node.run_file import LOCK, withdraw

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "-c",
        "--config",
        help="The YAML file; default ./config.yaml, else /etc/rasnode/config.yaml, if there.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For a script to read.")]

_LOCK_SECONDS = 2.0
_SETTLE_SECONDS = 5.0
_COMMAND_SECONDS = 600.0  # a list of everything takes a while, and nobody waits but who asked


@contextmanager
def existing_index(settings: Settings, config: Path | None = None) -> Iterator[Index]:
    """The index of a node that has run before.

    Args:
        config: what the command was told by `-c`, for the sentence that names the configuration.

    Raises:
        ConfigError: there is none, this user may not see it, or it is another root's.
    """
    if settings.database.url is None:
        _check_there(settings.storage.root, find_file(config))
    let_settle(settings.storage.root)
    index = Index(settings.database_url(), statement_seconds=_COMMAND_SECONDS)
    try:
        refuse_foreign(index, settings.storage.root)
        yield index
    finally:
        index.close()


def _check_there(root: Path, file: Path | None) -> None:
    used = f"the configuration is {file or 'the built-in defaults'}; name another with -c"
    try:
        (root / "index.db").stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(
            f"there is no index in {root} (storage.root): "
            f"no node has run with this configuration yet ({used})"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"cannot look into {root} (storage.root): {error.strerror}; "
            f"run the command as the node's user ({used})"
        ) from error


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
        handle = os.open(root / LOCK, os.O_RDWR | os.O_CREAT, 0o640)
    except OSError as error:
        raise ConfigError(f"cannot write to storage.root {root}: {error.strerror}") from error
    try:
        try:
            _lock(handle)
        except OSError as error:
            raise ConfigError(
                f"another rasnode has storage.root {root} open; stop it first, "
                "or give this one a folder of its own"
            ) from error
        withdraw(root)  # what a node said that was killed
        yield
    finally:
        os.close(handle)


@retry(
    retry=retry_if_exception_type(BlockingIOError),
    stop=stop_after_delay(_LOCK_SECONDS),
    wait=wait_fixed(0.05),
    reraise=True,
)
def _lock(handle: int) -> None:
    """A killed node may take a moment to end, and `doctor` looks at the lock for an instant."""
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
