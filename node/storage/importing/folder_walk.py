"""Finds the files below paths one after the other, however many a folder has."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

Refuse = Callable[[Path, str], None]
"""Called with a path that is not imported, and why."""


def files_below(paths: Iterable[Path], refuse: Refuse) -> Iterator[Path]:
    """Files in the order of their names, folder by folder; links to folders are not followed.

    Args:
        paths: files and folders.
        refuse: called with each folder that cannot be read, and why.
    """
    for path in paths:
        if path.is_dir():
            yield from _below(path, refuse)
        else:
            yield path


def _below(folder: Path, refuse: Refuse) -> Iterator[Path]:
    waiting = [os.fspath(folder)]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as found:
                entries = sorted(found, key=lambda entry: entry.name)
            folders = [one.path for one in entries if one.is_dir(follow_symlinks=False)]
            files = [one.path for one in entries if one.is_file()]
        except OSError as error:
            refuse(Path(here), f"cannot be read: {error.strerror}")
            continue
        yield from map(Path, files)
        waiting += reversed(folders)


def count_below(paths: Iterable[Path]) -> int:
    """How many files `files_below` finds."""
    return sum(1 for _ in files_below(paths, lambda *_: None))
