"""What most commands need: the options --config and --json, and the index of the node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from node.core.errors import ConfigError
from node.core.settings.file import find_file
from node.core.settings.model import Settings
from node.storage import index_completeness
from node.storage.identity import refuse_foreign
from node.storage.index.engine import Index
from node.storage.journal import Journal

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "-c",
        "--config",
        help="The configuration file; default: ./config.yaml, or else /etc/rasnode/config.yaml.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

_SETTLE_SECONDS = 5.0
_COMMAND_SECONDS = 600.0  # a list of everything takes a while


@contextmanager
def existing_index(settings: Settings, config: Path | None = None) -> Iterator[Index]:
    """The index of a node that has run before.

    Args:
        settings: of the node; name the storage root and the database.
        config: the value of `--config`, for the sentence that names the configuration.

    Raises:
        ConfigError: there is no index, this user may not read it, or it belongs to another root.
    """
    if settings.database.url is None:
        if not (settings.storage.root / "index.db").exists():
            index_completeness.refuse_lost(settings.storage.root)
        _check_there(settings.storage.root, find_file(config))
    let_settle(settings.storage.root)
    index = Index(settings.database_url(), statement_seconds=_COMMAND_SECONDS)
    try:
        refuse_foreign(index, settings.storage.root)
        index_completeness.check(index, settings.storage.root)
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
            f"cannot read {root} (storage.root): {error.strerror}; "
            f"run the command as the node's user ({used})"
        ) from error


def let_settle(root: Path) -> None:
    """Wait a moment until what the node has acknowledged is in the index.

    Args:
        root: `storage.root`.
    """
    with suppress(OSError):  # a user without the right to write sees what is there
        if (root / "journal").exists():
            journal = Journal(root)
            journal.settle(_SETTLE_SECONDS)
            journal.close()
