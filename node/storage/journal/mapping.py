"""The files of a partition, mapped into memory."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import NamedTuple

from node.storage.journal import segment
from node.storage.journal.records import Records, holds
from node.storage.journal.segment import Head
from node.storage.journal.segment_pool import paths


class _Mapped(NamedTuple):
    """A file. What was removed has no name any more, and is there as long as it is mapped."""

    name: str
    size: int
    view: memoryview


class Begun(NamedTuple):
    """A segment that holds something, and its file's name, if it still has one."""

    head: Head
    view: memoryview
    name: str


class Segments:
    """The segments of a partition as they are found at the moment. For one thread."""

    def __init__(self, folder: Path, partition: int) -> None:
        self._folder = folder
        self._partition = partition
        self._mapped: dict[int, _Mapped] = {}  # by inode

    def begun(self, needed: int) -> dict[int, Begun]:
        """Those that hold something, by their generation.

        Args:
            needed: the first generation of which one is held that has lost its name.
        """
        self._look()
        found: dict[int, Begun] = {}
        for inode, one in sorted(self._mapped.items(), key=lambda pair: pair[1].name):
            head = segment.read_head(one.view[: segment.HEADER])
            if head is not None and (one.name or head.generation >= needed):
                found[head.generation] = Begun(
                    head, one.view, one.name
                )  # what has a name is the later one
            elif not one.name:
                del self._mapped[inode]
        return found

    def without_header(self, generation: int, seeds: set[int]) -> Records | None:
        """The records of a generation in a segment whose header cannot be read."""
        for one in self._mapped.values():
            if one.name and segment.read_head(one.view[: segment.HEADER]) is None:
                for seed in seeds:
                    if holds(one.view, generation, seed):
                        return Records(one.view, generation, seed)
        return None

    def _look(self) -> None:
        """Map what is new or of another size; of a file that is too small for anybody to have
        written to it, nothing."""
        names: dict[int, str] = {}
        for path in paths(self._folder, self._partition):
            try:
                handle = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                status = os.fstat(handle)
                names[status.st_ino] = path.name
                known = self._mapped.get(status.st_ino)
                if known is None or known.size != status.st_size:
                    view = memoryview(b"")
                    if status.st_size >= segment.SMALLEST:
                        view = memoryview(mmap.mmap(handle, 0, prot=mmap.PROT_READ))
                    self._mapped[status.st_ino] = _Mapped(path.name, status.st_size, view)
            finally:
                os.close(handle)
        for inode, one in self._mapped.items():
            self._mapped[inode] = one._replace(name=names.get(inode, ""))
