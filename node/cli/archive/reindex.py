"""`reindex`: the index from the archive alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.context import ConfigOption
from node.cli.output.progress import progress_bar
from node.cli.output.terminal import say
from node.core.errors import ConfigError, NodeError
from node.core.settings.file import load_settings
from node.core.settings.model import Settings
from node.storage import index_completeness
from node.storage.archive import Archive
from node.storage.identity import claim, refuse_foreign
from node.storage.index.database_errors import IndexDamaged
from node.storage.index.engine import Index
from node.storage.index.holdings import holdings
from node.storage.index.store import Store
from node.storage.index_completeness import Contents
from node.storage.reindex import reindex as rebuild
from node.storage.root_lock import sole_owner


def reindex(
    config: ConfigOption = None,
    add: Annotated[
        bool,
        typer.Option("--add", help="Keep the index and add the archived files that it lacks."),
    ] = False,
) -> None:
    """Rebuild the index from the archived files.

    No node may run. Without --add, everything that only the index knows is lost: history, holds
    and deliveries that are still to be made.
    """
    settings = load_settings(config)
    root = settings.storage.root
    archive = Archive(root)
    if not archive.root.exists():
        raise ConfigError(f"there is no archive in {root} (storage.root)")
    with sole_owner(root):
        archive.prepare()
        index = _begun(settings, root, add=add)
        try:
            with progress_bar("reindexing", sum(1 for _ in archive.files())) as bar:
                files, unindexed = rebuild(archive, Store(index), bar.advance)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                "interrupted: the index is not complete; run `rasnode reindex` again"
            ) from None
        index_completeness.begin(index, root)
        index.close()
    for path in unindexed:
        say(f"not indexed: {path}", err=True)
    say(f"{files - len(unindexed)} instances indexed, {len(unindexed)} not indexed")
    if unindexed:
        raise NodeError(
            "some archived files could not be read, or the index does not take them; they are "
            "listed above, stay where they are, and the log says why"
        )


def _begun(settings: Settings, root: Path, *, add: bool) -> Index:
    """The index, marked as incomplete, and emptied unless files are only added."""
    index = Index(settings.database_url())
    try:
        refuse_foreign(index, root)
        before = holdings(index).listed or 0
    except IndexDamaged:
        if add or index.file is None:
            raise
        before = 0
    # Until all files are indexed, no other command takes the part for the whole.
    known = index_completeness.read(root)
    command = "reindex --add" if add else "reindex"
    most = max(before, known.listed if known else 0)
    index_completeness.write(root, Contents(most, command), durable=True)
    if add:
        index.migrate()
    else:
        index.recreate()
    claim(index, root)
    return index
