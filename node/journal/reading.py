"""Reading the journal: what is new, and after an unclean end what may not have been filed."""

from __future__ import annotations

import logging
import mmap
import time
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from node.errors import Retryable
from node.journal import segment
from node.journal.board import Board
from node.journal.entry import Ended, Entry, data_set_of, is_whole, item_of, read_header
from node.journal.segment import place, position
from node.journal.supply import paths

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.002
_DEAD_SECONDS: Final = 2.0  # the filer moves on within that time, or there is none


class JournalDamaged(Retryable):
    """Records are not where they have to be; whoever starts to read again may find them."""


class Found(NamedTuple):
    """A record, and the position behind it."""

    item: Entry | Ended
    data_set: memoryview
    after: int


class Cursor:
    """Reads one lane record by record, behind its writer.

    Args:
        start: a position.
        check: compare every record with its checksum, as one must after a crash; what cannot be
            read is named, and the next segment goes on.
    """

    def __init__(self, folder: Path, lane: int, start: int, *, check: bool = False) -> None:
        self._folder = folder
        self._lane = lane
        self._check = check
        self._maps: dict[Path, tuple[tuple[int, int], memoryview]] = {}
        self._generation, self._offset = place(start)
        self._view: memoryview | None = self._views().get(self._generation)

    @property
    def position(self) -> int:
        """Up to where it has read."""
        return position(self._generation, self._offset)

    def next(self, limit: int) -> Found | None:
        """The next record that begins before the position `limit`; None if there is none.

        Raises:
            JournalDamaged: there is one and it cannot be read.
        """
        while self.position < limit:
            found = self._here()
            if found is not None:
                return found
            views = self._views()
            if (view := views.get(self._generation)) is not self._view:
                self._view = view  # its file is another, or has grown: there may be more in it
                continue
            later = [g for g in views if self._generation < g <= place(limit)[0]]
            if not later:
                return None
            self._see_to_the_end()
            self._generation, self._offset = min(later), segment.HEADER
            self._view = views[self._generation]
        return None

    def generations(self) -> list[int]:
        """Of all segments of the lane."""
        return sorted(self._views())

    def _see_to_the_end(self) -> None:
        """Nothing that was answered is passed over."""
        at = max(self._offset, segment.HEADER)
        if self._view is None or at >= segment.read_end(self._view, self._generation):
            return
        sentence = "a record of the journal that was answered cannot be read"
        if not self._check:
            raise JournalDamaged(sentence)
        log.error("%s: lane %d, generation %d, at %d", sentence, self._lane, *place(self.position))

    def _here(self) -> Found | None:
        view = self._view
        if view is None:
            return None
        at = max(self._offset, segment.HEADER)
        header = read_header(view, at, self._generation)
        if header is None or (self._check and not is_whole(view, at, header)):
            return None
        self._offset = at + header.length
        return Found(item_of(view, at, header), data_set_of(view, at, header), self.position)

    def _views(self) -> dict[int, memoryview]:
        """The segments by what they hold at the moment."""
        found = {}
        for path in paths(self._folder, self._lane):
            view = self._mapped(path)
            generation = segment.read_generation(view[:64])
            if generation:
                found[generation] = view
        return found

    def _mapped(self, path: Path) -> memoryview:
        """A segment's file, all of it; the same view as long as it is the same file. Nothing
        of one that is too small for anybody to have written to it."""
        status = path.stat()
        if status.st_size < segment.SMALLEST:
            return memoryview(b"")
        identity = (status.st_ino, status.st_size)
        known = self._maps.get(path)
        if known is None or known[0] != identity:
            with path.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            known = self._maps[path] = (identity, memoryview(mapped))
        return known[1]


class Journal:
    """The journal's folder.

    Args:
        root: `storage.root`.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / "journal"
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self.board = Board(self.folder)

    def lanes(self) -> list[int]:
        """Numbers of the lanes that have files."""
        return sorted({int(path.name[:2]) for path in self.folder.glob("[0-9][0-9]-*.seg")})

    def settle(self, seconds: float) -> bool:
        """Wait until whatever has been answered by now, by any process, can be found.

        Returns:
            False if that takes too long, or nobody files any more.
        """
        reached = [(lane, self.board.answered(lane)) for lane in self.lanes()]
        start = moved = time.monotonic()
        last = -1
        while any(self.board.filed(lane) < position for lane, position in reached):
            now = time.monotonic()
            filed = sum(self.board.filed(lane) for lane, _ in reached)
            if filed != last:
                last, moved = filed, now
            if self.board.stuck or now - start > seconds or now - moved > _DEAD_SECONDS:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def left_over(self, but: Container[int] = ()) -> Iterator[Found]:
        """What an earlier run has answered and may not have filed, lane by lane.

        Args:
            but: lanes that are being written.
        """
        for lane in [one for one in self.lanes() if one not in but]:
            safe = self.board.safe(lane)
            cursor = Cursor(self.folder, lane, safe, check=True)
            end = position(max(cursor.generations(), default=0) + 1, 0)
            while found := cursor.next(end):
                yield found

    def forget(self, but: Container[int] = ()) -> None:
        """Everything in it has been filed, and is on stable storage.

        Args:
            but: lanes that are being written: what is not safe in them is to be filed again.
        """
        for lane in self.lanes():
            if lane in but:
                self.board.set_filed(lane, self.board.safe(lane))
                continue
            generations = Cursor(self.folder, lane, 0).generations()
            end = position(max([*generations, place(self.board.safe(lane))[0]]) + 1, 0)
            self.board.set_safe(lane, end)
            self.board.set_filed(lane, end)
            self.board.set_answered(lane, end)

    def close(self) -> None:
        """Let the shared memory go."""
        self.board.close()
