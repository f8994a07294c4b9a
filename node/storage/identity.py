"""The storage root's identity, kept in the root and in the database.

Two roots on one database would take each other's series apart: each would look for the other's
instances in its own archive and not find them.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

from node.core.errors import ConfigError
from node.core.system.disk import link, sync_folders, write_new
from node.storage.index import owner
from node.storage.index.engine import Index

log = logging.getLogger(__name__)

FILE: Final = "identity"
_FORM: Final = re.compile(r"[0-9a-f]{32}")


class ForeignDatabase(ConfigError):
    """The database holds the index of another storage root."""


def identity_of(root: Path) -> str | None:
    """What `root` is called; None if it has no identity yet.

    Raises:
        ConfigError: the file cannot be read, or does not hold an identity.
    """
    try:
        said = (root / FILE).read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"cannot read {root / FILE}: {error.strerror}") from error
    if not _FORM.fullmatch(said):
        raise ConfigError(
            f"{root / FILE} is damaged: it should hold 32 hexadecimal digits, those in the table "
            "root_identity of the database. Restore it from a backup or write them into it"
        )
    return said


def refuse_foreign(index: Index, root: Path) -> None:
    """Check that a database is not another root's; changes nothing.

    Args:
        index: may be empty, or of an earlier version.
        root: `storage.root`.

    Raises:
        ForeignDatabase: it is. ConfigError: the root's identity cannot be read.
    """
    ours, theirs = identity_of(root), owner.owner(index)
    if theirs is None:
        if ours is None and not _lies_in(index, root):
            _check_unclaimed(index, root)
    elif ours is None:
        if not _lies_in(index, root):
            raise ForeignDatabase(
                f"the database belongs to another storage root ({theirs}), and {root} "
                f"(storage.root) is a new one. {_ADVICE}. If {root} is that root and has lost "
                f"its file {FILE!r}, write {theirs} into it"
            )
    elif ours != theirs:
        raise ForeignDatabase(
            f"the database belongs to another storage root ({theirs}), not to {root} "
            f"({ours}). {_ADVICE}"
        )


_ADVICE: Final = (
    "Each node needs a database of its own (database.url); or set storage.root to the folder "
    "that this database belongs to"
)


def claim(index: Index, root: Path) -> None:
    """Give root and database one identity, where they have none yet.

    Args:
        index: with this version's tables, and checked by `refuse_foreign`.
        root: `storage.root`; it is there.

    Raises:
        ForeignDatabase: another root has claimed the database meanwhile.
        ConfigError: the identity cannot be written.
    """
    theirs, had = owner.owner(index), identity_of(root)
    ours = had or _write(root, theirs or uuid.uuid4().hex)
    if theirs is None:
        theirs = owner.claim(index, ours, time.time())
        log.info(
            "the database belonged to no storage root; it is now that of %s (%s)%s",
            root,
            ours,
            ", which had another database before: `rasnode reindex` lists its archive anew"
            if had
            else "",
        )
    if theirs != ours:
        refuse_foreign(index, root)


def _check_unclaimed(index: Index, root: Path) -> None:
    """A database from before roots had identities: are its instances in this root?"""
    path = owner.any_path(index)
    if path is not None and not (root / "archive" / path).exists():
        raise ForeignDatabase(
            f"the database lists instances that are not below {root} (storage.root). {_ADVICE}"
        )


def _lies_in(index: Index, root: Path) -> bool:
    """Whether the database is a file of the root itself, and so cannot be another's."""
    return index.file is not None and index.file.absolute().parent == root.absolute()


def _write(root: Path, identity: str) -> str:
    """Write it, unless another process has written one in the same moment; returns what holds."""
    draft = root / f".{FILE}-{uuid.uuid4().hex}"
    try:
        write_new(draft, (f"{identity}\n".encode(),), durable=True)
        try:
            link(draft, root / FILE)
        finally:
            with suppress(OSError):
                draft.unlink()
        sync_folders([root])
    except OSError as error:
        raise ConfigError(f"cannot write {root / FILE}: {error.strerror}") from error
    return identity_of(root) or identity
