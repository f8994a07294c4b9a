"""Files of the quarantine: their names, which say kind and sender, and what is there."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from node.core.sender_addresses import EARLIER
from node.dicom.file_meta import meta_length

_BLOCK: Final = 4096  # bytes that a file takes at least
_STAMP: Final = "%Y%m%dT%H%M%S"
_NAME: Final = re.compile(r"(\d{8}T\d{6})-(refused|answered)-([^-]+)-([0-9a-f]{16})\.dcm")


class Kind(StrEnum):
    """What the sender was told."""

    REFUSED = "refused"
    ANSWERED = "answered"


class Kept(NamedTuple):
    """A file of the quarantine.

    Attributes:
        at: seconds since 1970.
        size: bytes that it takes on the disk, its note included.
        digest: of the data set, in part; empty if it is not known.
    """

    at: float
    name: str
    size: int
    digest: str


def name_of(at: float, kind: Kind, sender: str, sha256: str) -> str:
    """What a file is called.

    Args:
        at: seconds since 1970.
        sha256: of its data set.
    """
    stamp = datetime.fromtimestamp(at, UTC).strftime(_STAMP)
    return f"{stamp}-{kind}-{_as_name(sender)}-{digest_of(sha256)}.dcm"


def digest_of(sha256: str) -> str:
    """The part of a hash that a name has."""
    return sha256[:16]


def taken(size: int) -> int:
    """Bytes that a file of a size takes together with its note."""
    return -(-size // _BLOCK) * _BLOCK + _BLOCK


def files(folder: Path) -> Iterator[tuple[str, Kind, Kept]]:
    """All that is there, in any order, with sender and kind."""
    with suppress(OSError):
        for path in folder.glob("*.dcm"):
            with suppress(OSError, ValueError):
                yield _read(path)


def _read(path: Path) -> tuple[str, Kind, Kept]:
    state, found = path.stat(), _NAME.fullmatch(path.name)
    size = taken(state.st_size)
    if found is None:
        return EARLIER, _told_by_note(path), Kept(state.st_mtime, path.name, size, "")
    stamp, kind, sender, digest = found.groups()
    at = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC).timestamp()
    return _from_name(sender), Kind(kind), Kept(at, path.name, size, digest)


def _told_by_note(path: Path) -> Kind:
    """Of a file of an earlier version, whose name does not say it: what may have been answered
    stays."""
    try:
        status = json.loads(path.with_suffix(".json").read_bytes())["status"]
    except (OSError, ValueError, KeyError, TypeError):
        return Kind.ANSWERED
    return Kind.ANSWERED if status == "0x0000" else Kind.REFUSED


def sha256_of(path: Path) -> str | None:
    """The hash of a file's data set; None if it is no whole file."""
    try:
        with path.open("rb") as file:
            file.seek(meta_length(file.read(144)))
            return hashlib.file_digest(file, "sha256").hexdigest()
    except Exception:  # noqa: BLE001  whatever is wrong with it, it is not the same
        return None


def _as_name(sender: str) -> str:
    """A sender as part of a file name: addresses have neither of the two letters."""
    return sender.replace(":", "_").replace("/", "+")


def _from_name(part: str) -> str:
    return part.replace("_", ":").replace("+", "/")
