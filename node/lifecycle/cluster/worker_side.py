"""Runs on a worker of the cluster: the job, if the worker sees its files."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node.core.errors import DAMAGE, Reason
from node.lifecycle.assembly.jobs import Assembled, Job

_UNREADABLE = (Reason.PIXELS_UNREADABLE, Reason.PIXELS_TRUNCATED, *DAMAGE)


@dataclass(frozen=True, slots=True)
class FileNotVisible:
    """The worker does not see a file or folder of the job."""

    path: str


@dataclass(frozen=True, slots=True)
class TaskError:
    """The error that the task raised, as a value: errors that Dask raises are the cluster's."""

    error: Exception


Answer = Assembled | TaskError | FileNotVisible


def run_job(task: Callable[[Job], Assembled], job: Job, check_files: bool) -> tuple[str, Answer]:
    """Run a job on a worker.

    Args:
        task: what to do with the job.
        job: the job.
        check_files: whether to check first that the worker sees all files. It is False if the node
            does not see them either; then the task's own result is right.

    Returns:
        the worker's address, and the result.
    """
    from distributed import get_worker  # noqa: PLC0415  only where there is one

    return str(get_worker().address), _answer(task, job, check_files)


def _answer(task: Callable[[Job], Assembled], job: Job, check_files: bool) -> Answer:
    if check_files and (missing := first_not_usable(job)) is not None:
        return FileNotVisible(missing)
    try:
        done = task(job)
    except Exception as error:  # noqa: BLE001  the node deals with every kind
        return TaskError(_portable(error))
    unread = any(refusal.reason in _UNREADABLE for refusal in done.refusals)
    if (
        check_files and unread and (missing := first_not_usable(job)) is not None
    ):  # unmounted meanwhile
        return FileNotVisible(missing)
    return done


def first_not_usable(job: Job) -> str | None:
    """The first file or folder of a job that this process cannot use; None if it can use all."""
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
        pickle.loads(pickle.dumps(error))  # noqa: S301  it was pickled in the same line
    except Exception:  # noqa: BLE001  its class may do anything
        return RuntimeError(type(error).__name__)
    return error


def visible_identity(folder: str, name: str) -> str | None:
    """The identity of the storage root that a worker sees.

    Args:
        folder: `storage.root`.
        name: of the file in it that has the identity.

    Returns:
        the text of the file, empty if there is none; None if the folder does not exist.
    """
    path = Path(folder)
    if not path.is_dir():
        return None
    file = path / name
    return file.read_text(encoding="ascii", errors="replace").strip() if file.exists() else ""
