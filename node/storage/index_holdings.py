"""What the index of a storage root had listed when it was last on stable storage.

The root keeps that beside its archive, so that an index that was lost, emptied or put back from an
old copy is told from the right one at the start, without walking the archive.
"""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from node.core.errors import ConfigError
from node.core.system.disk import sync_folders, write_new
from node.storage.index.engine import Index, IndexDamaged
from node.storage.index.holdings import holdings, listed

FILE: Final = "listed.json"
_REBUILD: Final = (
    "stop the node and type `rasnode reindex`, which lists the archive anew; history, holds and "
    "what is still to be delivered are not in the archive, and volumes are made and delivered again"
)


class IndexIncomplete(ConfigError):
    """The index lacks what the archive has."""


class Contents(msgspec.Struct, frozen=True):
    """What the file says.

    Attributes:
        listed: instances and conflicts that the index had ever listed.
        unfinished: a command that writes the index and has not come to its end; empty if none.
    """

    listed: int
    unfinished: str = ""


def read(root: Path) -> Contents | None:
    """What the root says of its index; None if it says nothing that can be read."""
    try:
        return msgspec.json.decode((root / FILE).read_bytes(), type=Contents)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def write(root: Path, contents: Contents, *, durable: bool = False) -> None:
    """Write it down.

    Args:
        durable: have it on stable storage at once.

    Raises:
        OSError: it cannot be written.
    """
    draft = root / f".{FILE}-{uuid.uuid4().hex}"
    try:
        write_new(draft, (msgspec.json.encode(contents),), durable=durable)
        draft.replace(root / FILE)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    if durable:
        sync_folders([root])


def check(index: Index, root: Path) -> None:
    """Compare index and archive; changes nothing, and takes as long with a large archive.

    Raises:
        IndexIncomplete: the index lacks what the archive has; the text says what to do.
        IndexUnavailable: the index does not answer. IndexDamaged: it cannot be read.
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
            "the newest one back, or stop the node and type `rasnode reindex --add`, which keeps "
            "what the index has and adds what it lacks"
        )


def refuse_lost(root: Path) -> None:
    """Refuse an index that is empty or not there, where the archive is not.

    Raises:
        IndexIncomplete: the archive has what no index lists.
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
    """From here on index and archive belong together: `check` has said so.

    Raises:
        ConfigError: that cannot be written down.
    """
    try:
        write(root, Contents(listed(index)), durable=True)
    except OSError as error:
        raise ConfigError(f"cannot write {root / FILE}: {error.strerror}") from error


def check_running(index: Index, root: Path) -> None:
    """See that an index in use is still the one that it was.

    Raises:
        IndexDamaged: it was removed, replaced, emptied or put back from an old copy.
        IndexUnavailable: it does not answer.
    """
    index.check_in_place()
    known, now = read(root), listed(index)
    if known is not None and now < known.listed:
        raise IndexDamaged(
            f"the index was emptied or replaced while the node runs: it has listed {now} "
            f"instances, and had listed {known.listed}. Put it back, or {_REBUILD}"
        )


class Ledger:
    """Writes down what has become safe, as it becomes so. For one thread.

    Args:
        root: `storage.root`.
    """

    def __init__(self, index: Index, root: Path) -> None:
        self._index = index
        self._root = root
        self._written: int | None = None
        self._seen = 0

    def look(self) -> None:
        """Before the index is synced: see what it has listed, and that it has not lost anything.

        Raises:
            IndexDamaged: it has. IndexUnavailable: it does not answer.
        """
        check_running(self._index, self._root)
        self._seen = listed(self._index)

    def note(self) -> None:
        """After it was synced: what was seen is safe."""
        if self._seen == self._written:
            return
        try:
            write(self._root, Contents(self._seen))
        except OSError:
            return  # the disk is full: what was written before says less and nothing wrong
        self._written = self._seen


def _has_files(root: Path) -> bool:
    """Whether the archive holds any instance; looks no further than the first."""
    archive = root / "archive"
    with suppress(OSError), os.scandir(archive) as shards:
        for shard in shards:
            if not shard.name.startswith(".") and _has_file(Path(shard.path)):
                return True
    return False


def _has_file(shard: Path) -> bool:
    return next(iter(shard.glob("*/*/*.dcm")), None) is not None
