"""The run file below `storage.root`, by which other commands learn about the running node.

It holds what only the running process knows: the ports that it really listens on, and whether its
deliveries can work. It is the file of the process that holds the lock of the storage root.
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

from node.core.system.disk import replace_file

LOCK: Final = ".rasnode.lock"
_NAME: Final = ".rasnode.json"


@dataclass(frozen=True, slots=True)
class RunState:
    """A running node.

    Attributes:
        pid: its process.
        dicom_port: the port that it listens on.
        http_port: the port of its page; None: it has no page.
        targets: names of the deliveries that it checked.
        faults: by name, why a delivery cannot work.
    """

    pid: int
    dicom_port: int
    http_port: int | None
    targets: tuple[str, ...] = ()
    faults: Mapping[str, str] | None = None


def announce(root: Path, node: RunState) -> None:
    """Write the run file.

    Args:
        root: `storage.root`.
        node: the running node.

    Raises:
        OSError: it cannot be written.
    """
    replace_file(root / _NAME, json.dumps(asdict(node)).encode(), durable=False)


def withdraw(root: Path) -> None:
    """Remove the run file: no node is running any more, or not yet."""
    with suppress(OSError):
        (root / _NAME).unlink(missing_ok=True)


UNSEEN: Final = RunState(0, -1, -1)
"""Perhaps a node: it has written no run file yet, or this user may not read it."""


def running_node(root: Path) -> RunState | None:
    """The node that holds a storage root now; None: there is none."""
    try:
        if not _is_locked(root / LOCK):
            return None
        found = json.loads((root / _NAME).read_bytes())
        return RunState(**{**found, "targets": tuple(found["targets"])})
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
