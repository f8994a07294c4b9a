"""`backup` and `restore`: a copy of what cannot be made again, and a node from it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from node.cli.context import ConfigOption, JsonOption, existing_index
from node.cli.output.progress import progress_bar
from node.cli.output.terminal import say, say_exactly
from node.core.errors import NodeError
from node.core.settings.file import load_settings
from node.storage.backup.backup import Backup
from node.storage.backup.restore import Restore, check_empty
from node.storage.root_lock import sole_owner

_SHOWN: Final = 20


def backup(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy what cannot be made again into a folder, beside a running node or without one.

    Into an earlier backup only what it lacks is copied. All that was answered 0x0000 before the
    command began is in it.
    """
    settings = load_settings(config)
    root = settings.storage.root
    with existing_index(settings, config) as index, progress_bar("copying") as bar:
        try:
            made = Backup(root, index, folder, total=bar.total, advance=bar.advance).make()
        except OSError as error:
            raise NodeError(f"the backup cannot be written: {error.strerror}") from error
    if as_json:
        say_exactly(json.dumps(asdict(made)))
    else:
        say(f"{made.copied} files copied ({made.size / 2**20:.1f} MiB), {made.there} were there")
        if made.journal:
            say("the journal is in the backup, as not everything in it was ingested")
    _complain(made.problems, "are not in the backup as they were received; all else is")


def restore(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A backup.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make storage root and index from a backup; both have to be empty.

    Every file is compared with what the backup says. Then start the node.
    """
    settings = load_settings(config)
    root = settings.storage.root
    check_empty(root)
    with sole_owner(root), progress_bar("restoring") as bar:
        url = settings.database_url()
        try:
            done = Restore(folder, root, url, total=bar.total, advance=bar.advance).restore()
        except OSError as error:
            raise NodeError(f"{root} cannot be written: {error.strerror}") from error
    if as_json:
        say_exactly(json.dumps(asdict(done)))
    else:
        again = f"; the volumes of {done.again} series are made again" if done.again else ""
        say(f"{done.files} files restored into {root}{again}")
    _complain(done.problems, "could not be restored; all else is")


def _complain(problems: list[str], what: str) -> None:
    for problem in problems[:_SHOWN]:
        say(problem, err=True)
    if len(problems) > _SHOWN:
        say(f"and {len(problems) - _SHOWN} more", err=True)
    if problems:
        raise NodeError(f"{len(problems)} files {what}")
