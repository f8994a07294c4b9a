"""Conflicts: other data sets of archived SOP Instance UIDs; how many each sender has sent."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from sqlalchemy import and_, func, select

from node.core.sender_addresses import EARLIER, neighbourhood
from node.storage.index.engine import Index
from node.storage.index.schema import ConflictRow, InstanceRow, TotalRow
from node.storage.index.totals import Total

_BLOCK: Final = 4096  # bytes of the disk that a file takes in addition
_COUNT: Final = select(TotalRow.value).where(TotalRow.name == Total.CONFLICTS)


@dataclass(frozen=True, slots=True)
class Copies:
    """The conflicts of one sender.

    Attributes:
        sender: an address, or a network of IPv6; IMPORTED; EARLIER.
        files: how many.
        size: bytes that the files take on the disk.
    """

    sender: str
    files: int
    size: int


class Conflicts:
    """Reads conflicts."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._left: tuple[int, list[Copies]] = (0, [])

    def left(self) -> list[Copies]:
        """The conflicts of each sender, the largest first."""
        with self._index.reading() as connection:
            count = connection.scalar(_COUNT) or 0
        if count != self._left[0]:
            self._left = count, self._by_sender()
        return self._left[1]

    def _by_sender(self) -> list[Copies]:
        row = ConflictRow
        query = select(row.sender, func.count(), func.sum(row.size)).group_by(row.sender)
        with self._index.reading() as connection:
            rows = connection.execute(query).all()
        found: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        for address, files, size in rows:
            sender = neighbourhood(address) if address else EARLIER
            before = found[sender]
            found[sender] = before[0] + files, before[1] + int(size) + files * _BLOCK
        copies = [Copies(sender, *figures) for sender, figures in found.items()]
        return sorted(copies, key=lambda one: one.size, reverse=True)

    def would_be(self, sop_instance_uid: str, sha256: str) -> bool:
        """Whether a data set would be a new conflict: its UID is archived, but not these bytes.

        Args:
            sop_instance_uid: of the data set.
            sha256: of the data set.
        """
        instance, other = InstanceRow, ConflictRow
        there = select(instance.id).where(instance.uid == sop_instance_uid)
        beside = (
            select(other.id)
            .join(instance, instance.id == other.instance_pk)
            .where(instance.uid == sop_instance_uid, other.sha256 == sha256)
        )
        with self._index.reading() as connection:
            return bool(
                connection.scalar(
                    select(
                        and_(
                            there.exists(),
                            ~there.where(instance.sha256 == sha256).exists(),
                            ~beside.exists(),
                        )
                    )
                )
            )
