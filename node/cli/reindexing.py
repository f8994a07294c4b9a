"""`reindex`: the index from the archive alone."""

from __future__ import annotations

from typing import Annotated

import typer

from node import contents
from node.archive import Archive
from node.cli.opening import ConfigOption
from node.cli.progress import progress_bar
from node.cli.terminal import say
from node.config_file import load_settings
from node.contents import Contents
from node.errors import ConfigError, NodeError
from node.identity import claim, refuse_foreign
from node.index.engine import Index, IndexDamaged
from node.index.holdings import holdings
from node.index.store import Store
from node.ownership import sole_owner
from node.reindex import reindex as rebuild


def reindex(
    config: ConfigOption = None,
    add: Annotated[
        bool,
        typer.Option("--add", help="Keep what the index has, and add what it lacks."),
    ] = False,
) -> None:
    """Rebuild the index from the archive alone; the node must not be running.

    What only the index knows is gone with it: history, holds, what is still to be delivered.
    """
    settings = load_settings(config)
    root = settings.storage.root
    archive = Archive(root)
    if not archive.root.exists():
        raise ConfigError(f"there is no archive in {root} (storage.root)")
    with sole_owner(root):
        archive.prepare()
        index = Index(settings.database_url())
        try:
            refuse_foreign(index, root)
            before = holdings(index).listed or 0
        except IndexDamaged:
            if add or index.file is None:
                raise
            before = 0
        # Until it has come to its end, nobody takes the half of it for the whole.
        known = contents.read(root)
        command = "reindex --add" if add else "reindex"
        most = max(before, known.listed if known else 0)
        contents.write(root, Contents(most, command), durable=True)
        if add:
            index.migrate()
        else:
            index.recreate()
        claim(index, root)
        with progress_bar("reindexing", sum(1 for _ in archive.files())) as bar:
            files, unreadable = rebuild(archive, Store(index), bar.advance)
        contents.begin(index, root)
        index.close()
    for path in unreadable:
        say(f"not indexed: {path}", err=True)
    say(f"{files - len(unreadable)} instances indexed, {len(unreadable)} could not be read")
    if unreadable:
        raise NodeError("some archived files could not be read; they are listed above and kept")
