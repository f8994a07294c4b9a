"""The identity of a storage root, kept in the root and in the database.

It prevents two roots from sharing one database, where each would look for the other's instances in
its own archive and not find them.
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
    """The identity of a storage root; None if it has none yet.

    Raises:
        ConfigError: the file cannot be read, or does not hold an identity.
    """
    try:
        identity = (root / FILE).read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"cannot read {root / FILE}: {error.strerror}") from error
    if not _FORM.fullmatch(identity):
        raise ConfigError(
            f"{root / FILE} is damaged: it should hold 32 hexadecimal digits, those in the table "
            "root_identity of the database. Restore it from a backup or write them into it"
        )
    return identity


def refuse_foreign(index: Index, root: Path) -> None:
    """Check that a database does not belong to another root; changes nothing.

    Args:
        index: may be empty, or of an earlier version.
        root: `storage.root`.

    Raises:
        ForeignDatabase: it belongs to another root.
        ConfigError: the root's identity cannot be read.
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
    """Give root and database one identity, unless they have one.

    Args:
        index: with this version's tables, and checked by `refuse_foreign`.
        root: `storage.root`; it exists.

    Raises:
        ForeignDatabase: another root has claimed the database in the meantime.
        ConfigError: the identity cannot be written.
    """
    theirs, had = owner.owner(index), identity_of(root)
    ours = had or _write(root, theirs or uuid.uuid4().hex)
    if theirs is None:
        theirs = owner.claim(index, ours, time.time())
        log.info(
            "the database now belongs to the storage root %s (identity %s)%s",
            root,
            ours,
            ", which had another database before: type `rasnode reindex` to list its archive"
            if had
            else "",
        )
    if theirs != ours:
        refuse_foreign(index, root)


def _check_unclaimed(index: Index, root: Path) -> None:
    """Check a database that no root has claimed: its instances have to be in this root."""
    path = owner.any_path(index)
    if path is not None and not (root / "archive" / path).exists():
        raise ForeignDatabase(
            f"the database lists instances that are not below {root} (storage.root). {_ADVICE}"
        )


def _lies_in(index: Index, root: Path) -> bool:
    """Whether the database is a file in the root, so that it cannot belong to another one."""
    return index.file is not None and index.file.absolute().parent == root.absolute()


def _write(root: Path, identity: str) -> str:
    """Write the identity, unless another process has done so; returns the one that is there."""
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
