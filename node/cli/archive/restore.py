"""`restore`: storage root and index from a backup."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from node.cli.archive.problems import report_problems
from node.cli.context import ConfigOption, JsonOption
from node.cli.output.progress import progress_bar
from node.cli.output.terminal import say, say_exactly
from node.core.errors import NodeError
from node.core.settings.file import load_settings
from node.storage.backup.restore import Restore, check_empty
from node.storage.root_lock import sole_owner


def restore(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder that `rasnode backup` wrote.")
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup into an empty storage root.

    The database must be empty, too, and no node may run. Every file is compared with its checksum
    in the backup. Start the node afterwards: it makes the volumes again.
    """
    settings = load_settings(config)
    root = settings.storage.root
    check_empty(root)
    with sole_owner(root), progress_bar("restoring") as bar:
        url = settings.database_url()
        try:
            done = Restore(folder, root, url, total=bar.total, advance=bar.advance).restore()
        except OSError as error:
            raise NodeError(f"cannot write to {root}: {error.strerror}") from error
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted: {root} is not complete; empty it and restore again"
            ) from None
    if as_json:
        say_exactly(json.dumps(asdict(done)))
    else:
        again = f"; the node will make the volumes of {done.again} series" if done.again else ""
        say(f"{done.files} files restored into {root}{again}")
    report_problems(done.problems, "could not be restored; all others were restored")
