"""What one segment holds, record by record, and where reading goes on behind a damaged one."""

from __future__ import annotations

import mmap
from typing import Final, NamedTuple

from node.storage.journal.entry import (
    ALIGNMENT,
    MAGIC,
    Ended,
    Entry,
    Header,
    data_set_of,
    is_sound,
    is_whole,
    item_of,
    read_header,
)
from node.storage.journal.segment import HEADER

_FIRST_BYTES: Final = 1 << 20  # of a segment without a header, in which its first record has to be


class Record(NamedTuple):
    """A record that is as it was written, and the offset behind it."""

    item: Entry | Ended
    data_set: memoryview
    end: int


class Records:
    """The records of one generation in a segment.

    Args:
        view: of the whole file; empty, or of a mapping.
        generation, seed: as its header says.
    """

    def __init__(self, view: memoryview, generation: int, seed: int) -> None:
        self.view = view
        self.generation = generation
        self._seed = seed

    def at(self, offset: int) -> Record | None:
        """The record that begins there; None if there is none, or it is damaged."""
        header = read_header(self.view, offset, self.generation)
        if header is None or not is_whole(self.view, offset, header, self._seed):
            return None
        item = item_of(self.view, offset, header)
        if item is None:
            return None
        return Record(item, data_set_of(self.view, offset, header), offset + header.length)

    def after(self, offset: int, bound: int) -> int | None:
        """Where reading goes on behind what cannot be read at `offset`; None if nowhere.

        The lengths of a damaged record are believed where they lead to another record or to the
        bound, as what is in its data set is nobody's record. Otherwise the next bytes count that
        have the magic, the generation and the checksum of a whole record.
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
        """What damaged records between two offsets seem to have been, as far as headers lead."""
        found = []
        while start < end and (header := self._header(start)) is not None:
            item = item_of(self.view, start, header)
            found.append(item.sop_instance_uid if isinstance(item, Entry) else "")
            start += header.length
        return found

    def _begins(self, offset: int) -> bool:
        """Whether a record begins there, whole or not; without a seed only a whole one counts."""
        return self._header(offset) is not None if self._seed else self.at(offset) is not None

    def _header(self, offset: int) -> Header | None:
        """The header there, if its lengths can be believed."""
        header = read_header(self.view, offset, self.generation)
        return header if header and is_sound(header, self.generation, self._seed) else None

    def _find(self, start: int, end: int) -> int:
        mapped = self.view.obj
        return mapped.find(MAGIC, start, end) if isinstance(mapped, mmap.mmap) else -1


def holds(view: memoryview, generation: int, seed: int) -> bool:
    """Whether a segment whose header cannot be read has records of a generation."""
    bound = min(len(view), HEADER + _FIRST_BYTES)
    records = Records(view, generation, seed)
    return records.at(HEADER) is not None or (
        len(view) > 0 and records.after(HEADER, bound) not in (None, bound)
    )
