"""`reindex`: the index from the archive alone."""

from __future__ import annotations

from node.archive import Archive
from node.cli.opening import ConfigOption
from node.cli.progress import progress_bar
from node.cli.terminal import say
from node.config_file import load_settings
from node.errors import ConfigError, NodeError
from node.identity import claim, refuse_foreign
from node.index.engine import Index
from node.index.store import Store
from node.ownership import sole_owner
from node.reindex import reindex as rebuild


def reindex(config: ConfigOption = None) -> None:
    """Rebuild the index from the archive alone; the node must not be running."""
    settings = load_settings(config)
    archive = Archive(settings.storage.root)
    if not archive.root.exists():
        raise ConfigError(f"there is no archive in {settings.storage.root} (storage.root)")
    with sole_owner(settings.storage.root):
        archive.prepare()
        index = Index(settings.database_url())
        refuse_foreign(index, settings.storage.root)
        index.recreate()
        claim(index, settings.storage.root)
        with progress_bar("reindexing", sum(1 for _ in archive.files())) as bar:
            files, unreadable = rebuild(archive, Store(index), bar.advance)
    for path in unreadable:
        say(f"not indexed: {path}", err=True)
    say(f"{files - len(unreadable)} instances indexed, {len(unreadable)} could not be read")
    if unreadable:
        raise NodeError("some archived files could not be read; they are listed above and kept")
