"""Reading one segment record by record, and finding the next record behind a damaged one."""

from __future__ import annotations

import mmap
from typing import Final, NamedTuple

from node.storage.journal.record_format import (
    ALIGNMENT,
    MAGIC,
    AssociationEnded,
    Entry,
    Header,
    data_set_of,
    is_sound,
    is_whole,
    item_of,
    read_header,
)
from node.storage.journal.segment import HEADER

_FIRST_BYTES: Final = 1 << 20  # of a segment without a header, in which its first record must begin


class Record(NamedTuple):
    """An undamaged record.

    Attributes:
        item: an instance, or the end of an association.
        data_set: of the instance; empty if it lies in a file.
        end: the offset behind the record.
    """

    item: Entry | AssociationEnded
    data_set: memoryview
    end: int


class SegmentReader:
    """Reads the records of one generation in a segment.

    Args:
        view: the whole file, mapped; or empty.
        generation: as the segment's header says.
        seed: of the checksums, as the segment's header says.
    """

    def __init__(self, view: memoryview, generation: int, seed: int) -> None:
        self.view = view
        self.generation = generation
        self._seed = seed

    def at(self, offset: int) -> Record | None:
        """The record that begins at `offset`; None if there is none, or it is damaged."""
        header = read_header(self.view, offset, self.generation)
        if header is None or not is_whole(self.view, offset, header, self._seed):
            return None
        item = item_of(self.view, offset, header)
        if item is None:
            return None
        return Record(item, data_set_of(self.view, offset, header), offset + header.length)

    def after(self, offset: int, bound: int) -> int | None:
        """The offset at which reading can go on behind a damaged record.

        The lengths in the header of a damaged record are believed if they lead to another record or
        to the bound, as the data set may contain bytes that look like a record. Otherwise reading
        goes on at the next bytes that have the magic, the generation and the checksum of a record.

        Args:
            offset: of the damaged record.
            bound: the offset up to which there may be records.

        Returns:
            None if there is no further record.
        """
        header = self._header(offset)
        if header is not None:
            end = offset + header.length
            if end == bound or (end < bound and self._begins(end)):
                return end
        at = offset + ALIGNMENT
        while 0 <= (at := self._find(at, bound)) < bound:
            if at % ALIGNMENT == 0 and self.at(at) is not None:
                return at
            at += 1
        return None

    def seen(self, start: int, end: int) -> list[str]:
        """SOP Instance UIDs of the damaged records between two offsets, as far as they can be read.

        Args:
            start: offset of the first damaged record.
            end: offset behind the last one.

        Returns:
            One for each record that was recognised; empty where the UID cannot be read.
        """
        found = []
        while start < end and (header := self._header(start)) is not None:
            item = item_of(self.view, start, header)
            found.append(item.sop_instance_uid if isinstance(item, Entry) else "")
            start += header.length
        return found

    def _begins(self, offset: int) -> bool:
        """Whether a record begins there, even a damaged one; without a seed, an undamaged one."""
        return self._header(offset) is not None if self._seed else self.at(offset) is not None

    def _header(self, offset: int) -> Header | None:
        """The header there, if its lengths can be believed."""
        header = read_header(self.view, offset, self.generation)
        return header if header and is_sound(header, self.generation, self._seed) else None

    def _find(self, start: int, end: int) -> int:
        mapped = self.view.obj
        return mapped.find(MAGIC, start, end) if isinstance(mapped, mmap.mmap) else -1


def holds(view: memoryview, generation: int, seed: int) -> bool:
    """Whether a segment whose header is damaged has records of a generation.

    Args:
        view: the whole file, mapped; or empty.
        generation: number of the generation.
        seed: of the checksums.
    """
    bound = min(len(view), HEADER + _FIRST_BYTES)
    reader = SegmentReader(view, generation, seed)
    return reader.at(HEADER) is not None or (
        len(view) > 0 and reader.after(HEADER, bound) not in (None, bound)
    )
