"""What a running node says of itself to other commands, in a file below `storage.root`.

It holds what only the running process knows: the ports that it really has, and whether deliveries
can work from where it stands. Whoever holds the lock of the folder is the one who wrote it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from node.core.system.disk import FILE_MODE

LOCK: Final = ".rasnode.lock"
_NAME: Final = ".rasnode.json"


@dataclass(frozen=True, slots=True)
class RunState:
    """A node at work.

    Attributes:
        dicom_port: the one that it listens on.
        http_port: of its page; None: it has none.
        targets: the deliveries that it looked at.
        faults: why some of them cannot work, by name.
    """

    pid: int
    dicom_port: int
    http_port: int | None
    targets: tuple[str, ...] = ()
    faults: Mapping[str, str] | None = None


def announce(root: Path, node: RunState) -> None:
    """Write it down for others.

    Raises:
        OSError: it cannot be written.
    """
    beside = root / f"{_NAME}.new"
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(asdict(node), file)
    beside.replace(root / _NAME)


def withdraw(root: Path) -> None:
    """No node is running any more, or not yet."""
    with suppress(OSError):
        (root / _NAME).unlink(missing_ok=True)


UNSEEN: Final = RunState(0, -1, -1)
"""A node may have the folder open; this user may not see, or it has not said anything yet."""


def running_node(root: Path) -> RunState | None:
    """The node that has a folder open now; None: there is none."""
    try:
        if not _is_locked(root / LOCK):
            return None
        said = json.loads((root / _NAME).read_bytes())
        return RunState(**{**said, "targets": tuple(said["targets"])})
    except (FileNotFoundError, NotADirectoryError):
        return UNSEEN if (root / LOCK).exists() else None
    except (OSError, ValueError, TypeError, KeyError):
        return UNSEEN


def _is_locked(path: Path) -> bool:
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
