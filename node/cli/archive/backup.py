"""`backup`: a copy of everything that cannot be made again."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from node.cli.archive.problems import report_problems
from node.cli.context import ConfigOption, JsonOption, existing_index
from node.cli.output.progress import progress_bar
from node.cli.output.terminal import say, say_exactly
from node.core.errors import NodeError
from node.core.settings.file import load_settings
from node.storage.backup.backup import Backup


def backup(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder for the backup, new or from before.")
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Back up everything that cannot be made again.

    The node may run meanwhile. The backup has every instance that was answered 0x0000 before the
    command began. If DIR holds an earlier backup, only files that it lacks are copied.
    """
    settings = load_settings(config)
    root = settings.storage.root
    with existing_index(settings, config) as index, progress_bar("copying") as bar:
        try:
            made = Backup(root, index, folder, total=bar.total, advance=bar.advance).make()
        except OSError as error:
            raise NodeError(f"cannot write the backup to {folder}: {error.strerror}") from error
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                "interrupted: the backup is not complete; the same command goes on with it"
            ) from None
    if as_json:
        say_exactly(json.dumps(asdict(made)))
    else:
        say(
            f"{made.copied} files copied ({made.size / 2**20:.1f} MiB), "
            f"{made.there} files were in the backup already"
        )
        if made.journal:
            say("the journal was copied too, as some of its instances are not in the archive yet")
    report_problems(
        made.problems, "could not be backed up as they were received; all others were backed up"
    )
