"""The segments of a partition, mapped into memory for reading."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import NamedTuple

from node.storage.journal import segment
from node.storage.journal.segment import SegmentHeader
from node.storage.journal.segment_pool import paths
from node.storage.journal.segment_reader import SegmentReader, holds


class _Mapping(NamedTuple):
    """A mapped file.

    Attributes:
        name: empty if the file was removed; its content is there as long as it is mapped.
    """

    name: str
    size: int
    view: memoryview


class MappedSegment(NamedTuple):
    """A segment that has records.

    Attributes:
        view: of the whole file.
        name: of the file; empty if it was removed.
    """

    header: SegmentHeader
    view: memoryview
    name: str


class MappedSegments:
    """The segments of a partition as they are at the moment. For one thread.

    Args:
        folder: the journal's folder.
        partition: its number.
    """

    def __init__(self, folder: Path, partition: int) -> None:
        self._folder = folder
        self._partition = partition
        self._mapped: dict[int, _Mapping] = {}  # by inode

    def by_generation(self, needed: int) -> dict[int, MappedSegment]:
        """The segments that have records, by their generation.

        Args:
            needed: removed files stay mapped from this generation on.
        """
        self._map_files()
        found: dict[int, MappedSegment] = {}
        for inode, one in sorted(self._mapped.items(), key=lambda pair: pair[1].name):
            header = segment.read_segment_header(one.view[: segment.HEADER])
            if header is not None and (one.name or header.generation >= needed):
                # Files without a name come first: one that has a name is the later one.
                found[header.generation] = MappedSegment(header, one.view, one.name)
            elif not one.name:
                del self._mapped[inode]
        return found

    def without_header(self, generation: int, seeds: set[int]) -> SegmentReader | None:
        """A reader of the segment whose header is damaged and that has records of a generation.

        Args:
            generation: number of the generation.
            seeds: of checksums, to be tried.

        Returns:
            None if there is no such segment.
        """
        for one in self._mapped.values():
            if one.name and segment.read_segment_header(one.view[: segment.HEADER]) is None:
                for seed in seeds:
                    if holds(one.view, generation, seed):
                        return SegmentReader(one.view, generation, seed)
        return None

    def _map_files(self) -> None:
        """Map files that are new or have another size; a file too small to be a segment counts as
        empty."""
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
                    self._mapped[status.st_ino] = _Mapping(path.name, status.st_size, view)
            finally:
                os.close(handle)
        for inode, one in self._mapped.items():
            self._mapped[inode] = one._replace(name=names.get(inode, ""))
