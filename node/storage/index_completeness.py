"""Whether the index lists everything that the archive holds.

A file in the storage root, `listed.json`, says how many instances the index had listed when it was
last on stable storage. At the start the node compares the two: so it recognises an index that was
lost, emptied or restored from an old copy, without reading the archive.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from node.core.errors import ConfigError
from node.core.system.disk import replace_file
from node.storage.index.database_errors import IndexDamaged
from node.storage.index.engine import Index
from node.storage.index.holdings import holdings, listed

FILE: Final = "listed.json"
_REBUILD: Final = (
    "stop the node and type `rasnode reindex`, which lists the archive anew; history, holds and "
    "what is still to be delivered are not in the archive, and volumes are made and delivered again"
)


class IndexIncomplete(ConfigError):
    """The index lacks instances that the archive has."""


class Contents(msgspec.Struct, frozen=True):
    """The content of `listed.json`.

    Attributes:
        listed: how many instances and conflicts the index had ever listed.
        unfinished: the command that was writing the index and has not finished; empty if none.
    """

    listed: int
    unfinished: str = ""


def read(root: Path) -> Contents | None:
    """The content of the file; None if there is none, or it cannot be read."""
    try:
        return msgspec.json.decode((root / FILE).read_bytes(), type=Contents)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def write(root: Path, contents: Contents, *, durable: bool = False) -> None:
    """Write the file.

    Args:
        root: `storage.root`.
        contents: what it says from now on.
        durable: whether it is on stable storage when this returns.

    Raises:
        OSError: it cannot be written.
    """
    replace_file(root / FILE, msgspec.json.encode(contents), durable=durable)


def check(index: Index, root: Path) -> None:
    """Compare index and archive at the start, in the same time however large they are.

    Args:
        index: the index of the root.
        root: `storage.root`.

    Raises:
        IndexIncomplete: the index lacks instances that the archive has; the text says what to do.
        IndexUnavailable: the index does not answer.
        IndexDamaged: the index cannot be read.
    """
    known, held = read(root), holdings(index)
    if known is not None and known.unfinished:
        _refuse_half(root, known.unfinished)
    if held.is_new:
        refuse_lost(root)
    if known is not None and (held.listed or 0) < known.listed:
        raise IndexIncomplete(
            f"the index is an older copy: it has listed {held.listed or 0} instances, and "
            f"{known.listed} had been listed when the archive in {root} was last written to. Put "
            "the newest copy back, or stop the node and type `rasnode reindex --add`, which keeps "
            "what the index has and adds what it lacks"
        )


def refuse_lost(root: Path) -> None:
    """Refuse an empty or missing index beside an archive that has instances.

    Raises:
        IndexIncomplete: the archive has instances that no index lists.
    """
    known = read(root)
    if known is not None and known.unfinished:
        _refuse_half(root, known.unfinished)
    if _has_files(root) or (known is not None and known.listed > 0):
        raise IndexIncomplete(
            f"the index is empty or gone, and the archive in {root} is not: the index was lost, "
            "or database.url names another one. Put it back from a backup, or " + _REBUILD
        )


def _refuse_half(root: Path, unfinished: str) -> None:
    again = f"type `rasnode {unfinished}` again"
    raise IndexIncomplete(
        f"`rasnode {unfinished}` is under way or was not finished, so that the index lacks what "
        f"the archive of {root} has: "
        + (f"empty {root} and restore again" if unfinished == "restore" else again)
    )


def begin(index: Index, root: Path) -> None:
    """Write the file for an index that `check` has found complete.

    Args:
        index: the index of the root.
        root: `storage.root`.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        write(root, Contents(listed(index)), durable=True)
    except OSError as error:
        raise ConfigError(f"cannot write {root / FILE}: {error.strerror}") from error


def check_running(index: Index, root: Path) -> None:
    """Check that the index of the running node is still the one that it opened.

    Args:
        index: the index of the root.
        root: `storage.root`.

    Raises:
        IndexDamaged: it was removed, replaced, emptied or restored from an old copy.
        IndexUnavailable: it does not answer.
    """
    index.check_in_place()
    known, now = read(root), listed(index)
    if known is not None and now < known.listed:
        raise IndexDamaged(
            f"the index was emptied or replaced while the node runs: it has listed {now} "
            f"instances, and had listed {known.listed}. Restore it from a backup, or {_REBUILD}"
        )


class ListedCounter:
    """Keeps the file up to date while the node runs. For one thread.

    Args:
        index: the index of the root.
        root: `storage.root`.
    """

    def __init__(self, index: Index, root: Path) -> None:
        self._index = index
        self._root = root
        self._written: int | None = None
        self._counted = 0

    def check(self) -> None:
        """Before a sync of the index: count what it has listed, and check that it lost nothing.

        Raises:
            IndexDamaged: it has lost instances.
            IndexUnavailable: it does not answer.
        """
        check_running(self._index, self._root)
        self._counted = listed(self._index)

    def save(self) -> None:
        """After the sync: write the count that `check` found, which is safe now."""
        if self._counted == self._written:
            return
        try:
            write(self._root, Contents(self._counted))
        except OSError:
            return  # the disk is full: the earlier, smaller count stays, and is still true
        self._written = self._counted


def _has_files(root: Path) -> bool:
    """Whether the archive holds any instance; the search ends at the first."""
    archive = root / "archive"
    with suppress(OSError), os.scandir(archive) as shards:
        for shard in shards:
            if not shard.name.startswith(".") and _has_file(Path(shard.path)):
                return True
    return False


def _has_file(shard: Path) -> bool:
    return next(iter(shard.glob("*/*/*.dcm")), None) is not None
