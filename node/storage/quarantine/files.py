"""Files of the quarantine: their names, which say kind and sender, and what is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from node.core.sender_addresses import EARLIER

_BLOCK: Final = 4096  # bytes that a file takes at least
_STAMP: Final = "%Y%m%dT%H%M%S"
_NAME: Final = re.compile(r"(\d{8}T\d{6})-(refused|answered)-([^-]+)-([0-9a-f]{16})\.dcm")


class Kind(StrEnum):
    """What the sender was answered."""

    REFUSED = "refused"
    ANSWERED = "answered"


class Kept(NamedTuple):
    """A file of the quarantine.

    Attributes:
        at: when it was received; seconds since 1970.
        name: of the file.
        size: bytes that it takes on the disk, with its JSON file.
        digest: the first digits of the data set's SHA-256; empty if they are not known.
    """

    at: float
    name: str
    size: int
    digest: str


def name_of(at: float, kind: Kind, sender: str, sha256: str) -> str:
    """The name of a quarantined file.

    Args:
        at: when it was received; seconds since 1970.
        kind: what its sender was answered.
        sender: as `node.core.sender_addresses` has them.
        sha256: of its data set.
    """
    stamp = datetime.fromtimestamp(at, UTC).strftime(_STAMP)
    return f"{stamp}-{kind}-{_as_name(sender)}-{digest_of(sha256)}.dcm"


def digest_of(sha256: str) -> str:
    """The digits of a hash that are part of a file name."""
    return sha256[:16]


def taken(size: int) -> int:
    """Bytes that a file of this size takes on the disk together with its JSON file."""
    return -(-size // _BLOCK) * _BLOCK + _BLOCK


def files(folder: Path) -> Iterator[tuple[str, Kind, Kept]]:
    """All files of a quarantine folder, in any order, with sender and kind."""
    with suppress(OSError):
        for path in folder.glob("*.dcm"):
            with suppress(OSError, ValueError):
                yield _read(path)


def _read(path: Path) -> tuple[str, Kind, Kept]:
    state, found = path.stat(), _NAME.fullmatch(path.name)
    size = taken(state.st_size)
    if found is None:
        return EARLIER, _kind_by_note(path), Kept(state.st_mtime, path.name, size, "")
    stamp, kind, sender, digest = found.groups()
    at = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC).timestamp()
    return _from_name(sender), Kind(kind), Kept(at, path.name, size, digest)


def _kind_by_note(path: Path) -> Kind:
    """The kind of an earlier version's file, whose name does not say it; in doubt `ANSWERED`, which
    is never removed."""
    try:
        status = json.loads(path.with_suffix(".json").read_bytes())["status"]
    except (OSError, ValueError, KeyError, TypeError):
        return Kind.ANSWERED
    return Kind.ANSWERED if status == "0x0000" else Kind.REFUSED


def _as_name(sender: str) -> str:
    """A sender as part of a file name: addresses contain neither `_` nor `+`."""
    return sender.replace(":", "_").replace("/", "+")


def _from_name(part: str) -> str:
    return part.replace("_", ":").replace("+", "/")
