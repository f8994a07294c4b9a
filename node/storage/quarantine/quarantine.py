"""The quarantine: what could not be understood, and how much of it each sender may leave there.

    quarantine/<time>-<kind>-<sender>-<hash>.dcm    with a .json that says why, from whom and when

What was `refused` is only kept for people to look at, since its sender was told: the oldest of a
sender's goes when that sender leaves more than it may, and nobody else's. What was `answered` with
success and could not be ingested is never removed: a sender that leaves too much is refused.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.core.errors import StorageFull
from node.core.rate_limited_log import RateLimitedLog
from node.core.system.disk import Buffer, sync_folders, write_new
from node.storage.quarantine.files import Kept, Kind, digest_of, files, name_of, sha256_of, taken

log = logging.getLogger(__name__)

PER_PEER: Final = 1 << 30  # bytes
DAYS: Final = 30.0
_ALTOGETHER: Final = 10  # times as much as one sender may leave, of all that was refused
_LOOK_SECONDS: Final = 5.0  # between two looks at what other processes have put there
_DAY: Final = 86400.0


@dataclass(frozen=True, slots=True)
class Left:
    """How much of one kind a sender has left there.

    Attributes:
        sender: an address, or a network of IPv6; IMPORTED; EARLIER.
        size: bytes on the disk.
    """

    sender: str
    kind: Kind
    files: int
    size: int


class _Pile:
    """The files of one sender and kind, the oldest first."""

    def __init__(self) -> None:
        self.files: dict[str, Kept] = {}
        self.digests: dict[str, str] = {}
        self.size = 0

    def add(self, one: Kept) -> None:
        self.files[one.name] = one
        self.digests[one.digest] = one.name
        self.size += one.size

    def remove(self, name: str) -> None:
        one = self.files.pop(name, None)
        if one is not None:
            self.size -= one.size
            if self.digests.get(one.digest) == name:
                del self.digests[one.digest]

    def oldest(self) -> Kept | None:
        return next(iter(self.files.values()), None)


class Quarantine:
    """The files of the quarantine. Safe for many threads; processes see each other's files soon.

    Args:
        folder: is there.
        per_peer: bytes that one sender may leave of each kind.
        days: after so many what was refused goes; None: age is no reason.
        clock: seconds since 1970, UTC.
    """

    def __init__(
        self,
        folder: Path,
        *,
        per_peer: int = PER_PEER,
        days: float | None = DAYS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._per_peer = per_peer
        self._days = days
        self._clock = clock
        self._lock = threading.Lock()
        self._complaints = RateLimitedLog(log)
        self._piles: dict[tuple[str, Kind], _Pile] = defaultdict(_Pile)
        self._seen: int | None = None  # when the folder had last changed, ns
        self._looked = 0.0

    def refused(
        self, sender: str, meta: bytes, data_set: Buffer, why: Mapping[str, Any]
    ) -> str | None:
        """Keep what was refused, in the place of older files of its sender if need be.

        Args:
            sender: as `node.core.sender_addresses` has them.
            meta: what a Part 10 file begins with.

        Returns:
            The file's name; None if it is larger than what a sender may leave, or the disk is out.
        """
        if taken(len(meta) + len(data_set)) > self._per_peer:
            return None
        try:
            return self._put(Kind.REFUSED, sender, meta, data_set, why)
        except OSError:
            return None

    def answered(self, sender: str, meta: bytes, data_set: Buffer, why: Mapping[str, Any]) -> str:
        """Keep what was answered with success and cannot be ingested; returns the file's name.

        Raises:
            StorageFull: it cannot be written.
        """
        try:
            return self._put(Kind.ANSWERED, sender, meta, data_set, why)
        except OSError as error:
            raise StorageFull(f"the quarantine cannot be written: {error.strerror}") from error

    def full(self) -> frozenset[str]:
        """Senders that have left more than they may of what is never removed."""
        return frozenset(
            left.sender
            for left in self.left()
            if left.kind is Kind.ANSWERED and left.size > self._per_peer
        )

    def left(self) -> list[Left]:
        """How much each sender has left; who has left most comes first."""
        with self._lock:
            self._look()
            found = [
                Left(sender, kind, len(pile.files), pile.size)
                for (sender, kind), pile in self._piles.items()
                if pile.files
            ]
        return sorted(found, key=lambda left: left.size, reverse=True)

    def prune(self) -> int:
        """Remove what was refused long ago; returns how many files went."""
        if self._days is None:
            return 0
        before, gone = self._clock() - self._days * _DAY, 0
        with self._lock:
            self._look(anew=True)
            for pile in self._refused():
                while (one := pile.oldest()) is not None and one.at < before:
                    self._drop(pile, one.name)
                    gone += 1
        if gone:
            log.info(
                "quarantine: %d files that were refused more than %g days ago are removed",
                gone,
                self._days,
            )
        return gone

    def _put(
        self, kind: Kind, sender: str, meta: bytes, data_set: Buffer, why: Mapping[str, Any]
    ) -> str:
        sha256 = hashlib.sha256(data_set).hexdigest()
        now, size = self._clock(), taken(len(meta) + len(data_set))
        name, digest = name_of(now, kind, sender, sha256), digest_of(sha256)
        with self._lock:
            self._look()
            pile = self._piles[sender, kind]
            there = pile.digests.get(digest)
        if there is not None and sha256_of(self._folder / there) == sha256:
            return there
        with self._lock:
            alone = self._changed_at() == self._seen
            if kind is Kind.REFUSED:
                self._make_room(sender, size)
            pile = self._piles[sender, kind]
            pile.add(Kept(now, name, size, digest))
        try:
            write_new(self._folder / name, (meta, data_set), durable=True)
            note = json.dumps({**why, "sender": sender, "file": name}, indent=1).encode()
            write_new((self._folder / name).with_suffix(".json"), (note,), durable=True)
            sync_folders([self._folder])
        except OSError:
            with self._lock:
                pile.remove(name)
            raise
        if alone:  # nobody else has changed anything: no need to look
            with self._lock:
                self._seen = self._changed_at()
        return name

    def _refused(self) -> list[_Pile]:
        return [pile for (_, kind), pile in self._piles.items() if kind is Kind.REFUSED]

    def _make_room(self, sender: str, size: int) -> None:
        """For so many bytes more that were refused."""
        own = self._piles[sender, Kind.REFUSED]
        if self._shorten(own, own.size + size - self._per_peer):
            self._complaints.say(
                sender,
                f"quarantine: {sender} left more than storage.quarantine.per_peer; "
                "the oldest of it that was refused is removed",
            )
        # Many senders together: whoever has left most gives way, and nobody who has left little.
        while (excess := self._refused_size() + size - _ALTOGETHER * self._per_peer) > 0:
            if not self._shorten(max(self._refused(), key=lambda pile: pile.size), excess):
                break
            self._complaints.say(
                "altogether",
                f"quarantine: more than {_ALTOGETHER} times storage.quarantine.per_peer was "
                "refused; the oldest of whoever left most is removed",
            )

    def _refused_size(self) -> int:
        return sum(pile.size for pile in self._refused())

    def _shorten(self, pile: _Pile, excess: int) -> bool:
        """Remove the oldest files of a pile until it is so many bytes smaller; whether any went."""
        wanted, went = pile.size - excess, False
        while pile.size > wanted and (one := pile.oldest()) is not None:
            self._drop(pile, one.name)
            went = True
        return went

    def _drop(self, pile: _Pile, name: str) -> None:
        path = self._folder / name
        for each in (path, path.with_suffix(".json")):
            with suppress(OSError):
                each.unlink(missing_ok=True)
        pile.remove(name)

    def _look(self, *, anew: bool = False) -> None:
        """See what is there, if it may have changed."""
        now = time.monotonic()
        if not anew and self._seen is not None and now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        if (changed := self._changed_at()) == self._seen and not anew:
            return
        self._piles.clear()
        for sender, kind, one in sorted(files(self._folder), key=lambda found: found[2]):
            self._piles[sender, kind].add(one)
        self._seen = changed

    def _changed_at(self) -> int:
        try:
            return self._folder.stat().st_mtime_ns
        except OSError:
            return 0
