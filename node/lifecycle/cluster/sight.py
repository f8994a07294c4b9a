"""What runs on a worker: the job, if the worker sees the files that it is about."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.core.errors import DAMAGE, Reason
from node.lifecycle.assembly.jobs import Assembled, Job

_UNREADABLE = (Reason.PIXELS_UNREADABLE, Reason.PIXELS_TRUNCATED, *DAMAGE)


@dataclass(frozen=True, slots=True)
class Unseen:
    """A worker could not begin, or read: this is not there where it runs."""

    path: str


@dataclass(frozen=True, slots=True)
class Raised:
    """What the task raised. As a value: what the cluster raises is about the cluster."""

    error: Exception


Answer = Assembled | Raised | Unseen


def work(task: Callable[[Job], Assembled], job: Job, wanted: bool) -> tuple[str, Answer]:
    """Do a job on a worker; returns the worker's address, and what became of it.

    Args:
        wanted: look first whether all its files are there. If not: the node does not see them
            either, and what the task says of it is the truth.
    """
    from distributed import get_worker  # noqa: PLC0415  only where there is one

    return str(get_worker().address), _answer(task, job, wanted)


def _answer(task: Callable[[Job], Assembled], job: Job, wanted: bool) -> Answer:
    if wanted and (missing := first_unusable(job)) is not None:
        return Unseen(missing)
    try:
        done = task(job)
    except Exception as error:  # noqa: BLE001  the node deals with it, whatever it is
        return Raised(_portable(error))
    unread = any(refusal.reason in _UNREADABLE for refusal in done.refusals)
    if wanted and unread and (missing := first_unusable(job)) is not None:  # unmounted meanwhile
        return Unseen(missing)
    return done


def first_unusable(job: Job) -> str | None:
    """The first folder or file of a job that this process cannot use; None if it can use all."""
    if not os.access(job.archive, os.X_OK):
        return str(job.archive)
    if not os.access(job.staging, os.W_OK | os.X_OK):
        return str(job.staging)
    files = (job.archive / one.path for one in (*job.instances, *job.references))
    return next((str(file) for file in files if not usable(file)), None)


def usable(path: str | Path) -> bool:
    """Whether this process can read a file or folder."""
    return os.access(path, os.R_OK)


def _portable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  it is our own
    except Exception:  # noqa: BLE001  whatever its class does
        return RuntimeError(type(error).__name__)
    return error


def sees(folder: str, name: str) -> Any:
    """For each worker: None if the folder is not there, else the file's text, if there is one."""
    path = Path(folder)
    if not path.is_dir():
        return None
    file = path / name
    return file.read_text(encoding="ascii", errors="replace").strip() if file.exists() else ""
