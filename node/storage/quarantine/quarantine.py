"""The quarantine: instances that could not be understood, with a limit for each sender.

    quarantine/<time>-<kind>-<sender>-<hash>.dcm    with a .json that says why, from whom and when

A `refused` instance is kept only for people to look at, as its sender knows that it was refused:
when a sender reaches its limit, the oldest refused files of this sender are removed. An `answered`
instance was answered with success and could not be ingested: it is never removed, and at the limit
the node refuses further instances of the sender.
"""

from __future__ import annotations

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
from node.storage.integrity import Damage, hash_archived, sha256_of
from node.storage.quarantine.files import Kept, Kind, digest_of, files, name_of, taken

log = logging.getLogger(__name__)

PER_PEER: Final = 1 << 30  # bytes
DAYS: Final = 30.0
_ALTOGETHER: Final = 10  # limit of all refused files, in limits of one sender
_LOOK_SECONDS: Final = 5.0  # between two checks for files of other processes
_DAY: Final = 86400.0


@dataclass(frozen=True, slots=True)
class Left:
    """How many files of one kind the quarantine has of a sender.

    Attributes:
        sender: an address, or a network of IPv6; IMPORTED; EARLIER.
        files: how many.
        size: bytes on the disk.
    """

    sender: str
    kind: Kind
    files: int
    size: int


class _Pile:
    """The files of one sender and kind, oldest first."""

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
        folder: the quarantine; it exists.
        per_peer: limit of one sender, bytes of each kind.
        days: age at which `prune` removes refused files; None: at no age.
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
        self._limited_log = RateLimitedLog(log)
        self._piles: dict[tuple[str, Kind], _Pile] = defaultdict(_Pile)
        self._seen: int | None = None  # when the folder last changed, ns since 1970
        self._looked = 0.0  # at the folder, s of the monotonic clock

    def refused(
        self, sender: str, meta: bytes, data_set: Buffer, why: Mapping[str, Any]
    ) -> str | None:
        """Keep a refused instance; older refused files of its sender are removed if need be.

        Args:
            sender: as `node.core.sender_addresses` has them.
            meta: preamble and meta information of a Part 10 file.
            data_set: as it was received.
            why: what its JSON file says.

        Returns:
            The name of the file; None if it is larger than the limit, or the disk does not take it.
        """
        if taken(len(meta) + len(data_set)) > self._per_peer:
            return None
        try:
            return self._put(Kind.REFUSED, sender, meta, data_set, why)
        except OSError:
            return None

    def answered(self, sender: str, meta: bytes, data_set: Buffer, why: Mapping[str, Any]) -> str:
        """Keep an instance that was answered with success and cannot be ingested.

        Args:
            sender: as `node.core.sender_addresses` has them.
            meta: preamble and meta information of a Part 10 file.
            data_set: as it was received.
            why: what its JSON file says.

        Returns:
            The name of the file.

        Raises:
            StorageFull: it cannot be written.
        """
        try:
            return self._put(Kind.ANSWERED, sender, meta, data_set, why)
        except OSError as error:
            raise StorageFull(f"the quarantine cannot be written: {error.strerror}") from error

    def full(self) -> frozenset[str]:
        """Senders of which more than the limit was answered and could not be ingested."""
        return frozenset(
            left.sender
            for left in self.left()
            if left.kind is Kind.ANSWERED and left.size > self._per_peer
        )

    def left(self) -> list[Left]:
        """How much the quarantine has of each sender, the largest first."""
        with self._lock:
            self._look()
            found = [
                Left(sender, kind, len(pile.files), pile.size)
                for (sender, kind), pile in self._piles.items()
                if pile.files
            ]
        return sorted(found, key=lambda left: left.size, reverse=True)

    def prune(self) -> int:
        """Remove refused files that are old enough; returns how many."""
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
                "the node removed %d refused instances from quarantine/ after %g days",
                gone,
                self._days,
            )
        return gone

    def _put(
        self, kind: Kind, sender: str, meta: bytes, data_set: Buffer, why: Mapping[str, Any]
    ) -> str:
        sha256 = sha256_of(data_set)
        now, size = self._clock(), taken(len(meta) + len(data_set))
        name, digest = name_of(now, kind, sender, sha256), digest_of(sha256)
        with self._lock:
            self._look()
            pile = self._piles[sender, kind]
            there = pile.digests.get(digest)
        if there is not None and _holds(self._folder / there, sha256):
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
        if alone:  # no other process has changed the folder: it need not be read
            with self._lock:
                self._seen = self._changed_at()
        return name

    def _refused(self) -> list[_Pile]:
        return [pile for (_, kind), pile in self._piles.items() if kind is Kind.REFUSED]

    def _make_room(self, sender: str, size: int) -> None:
        """Remove refused files until there is room for so many bytes."""
        own = self._piles[sender, Kind.REFUSED]
        if self._shorten(own, own.size + size - self._per_peer):
            self._limited_log.say(
                sender,
                f"{sender} sent more refused instances than storage.quarantine.per_peer allows; "
                "the node removes its oldest from quarantine/",
            )
        # Many senders together: files of the sender with the most bytes are removed.
        while (excess := self._refused_size() + size - _ALTOGETHER * self._per_peer) > 0:
            if not self._shorten(max(self._refused(), key=lambda pile: pile.size), excess):
                break
            self._limited_log.say(
                "altogether",
                f"quarantine/ has more than {_ALTOGETHER} times storage.quarantine.per_peer of "
                "refused instances; the node removes the oldest of the sender with the most",
            )

    def _refused_size(self) -> int:
        return sum(pile.size for pile in self._refused())

    def _shorten(self, pile: _Pile, excess: int) -> bool:
        """Remove the oldest files of a pile, `excess` bytes of them; whether it removed any."""
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
        """Read the folder, if it may have changed."""
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


def _holds(path: Path, sha256: str) -> bool:
    """Whether a file of the quarantine is undamaged and has this data set."""
    try:
        return hash_archived(path)[0] == sha256
    except (Damage, OSError):
        return False
