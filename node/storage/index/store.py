"""Writes received instances and associations to the index, one transaction for each batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, func, select, text, update

from node.core.records import AssociationEnd, SeriesState, Stored
from node.storage.index.batch import Batch, Item
from node.storage.index.engine import Index
from node.storage.index.patients import inserted
from node.storage.index.schema import (
    ArrivalRow,
    AssociationRow,
    ConflictRow,
    InstanceRow,
    SeriesRow,
)

_WRITERS: Final = text("SELECT pg_advisory_xact_lock(7241976330)")
"""PostgreSQL: one such transaction at a time, as with SQLite anyway."""


_RECENT: Final = 1000  # associations, the newest, among which one is searched that may have a row


class Store:
    """Writes what is received. Every method is one transaction, committed when it returns."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def add(self, items: Sequence[Item]) -> list[Stored]:
        """Add instances that have their archive files.

        Args:
            items: records, each with the row of its association (None: an import).

        Returns:
            For each record how it was taken. A conflict is kept beside the first instance.

        Raises:
            StorageFull, IndexUnavailable: nothing of the batch was indexed.
        """
        if not items:
            return []
        with self._index.writing() as connection:
            take_turn(connection)
            return Batch(connection, items, sqlite=self._index.is_sqlite).write()

    def open_association(
        self, calling_ae: str, called_ae: str, address: str, now: float, process: str
    ) -> int:
        """Add an association by which instances are received.

        Args:
            calling_ae: AE title of the peer.
            called_ae: AE title that it called.
            address: of the peer.
            now: when it began; seconds since 1970.
            process: the run of the node that accepted it.

        Returns:
            Its row.
        """
        with self._index.writing() as connection:
            return inserted(
                connection,
                AssociationRow,
                calling_ae=calling_ae,
                called_ae=called_ae,
                address=address,
                opened_at=now,
                end=AssociationEnd.OPEN,
                process=process,
            )

    def find_or_open_association(
        self, calling_ae: str, called_ae: str, address: str, opened_at: float, process: str
    ) -> int:
        """The row of an association, which is added if there is none. Arguments as above."""
        row = AssociationRow
        with self._index.reading() as connection:
            found = connection.scalar(
                select(row.id).where(
                    row.id > select(func.max(row.id) - _RECENT).scalar_subquery(),
                    row.opened_at == opened_at,
                    row.calling_ae == calling_ae,
                    row.address == address,
                    row.process == process,
                )
            )
        return found or self.open_association(calling_ae, called_ae, address, opened_at, process)

    def kept(self, sop_instance_uid: str) -> dict[str, tuple[str, str]]:
        """The files of a SOP Instance UID, conflicts included: path and transfer syntax by the hash
        of the data set."""
        row, other = InstanceRow, ConflictRow
        first = select(row.sha256, row.path, row.transfer_syntax_uid)
        others = select(other.sha256, other.path, other.transfer_syntax_uid).join(
            row, row.id == other.instance_pk
        )
        with self._index.reading() as connection:
            return {
                sha256: (path, syntax)
                for query in (others, first)
                for sha256, path, syntax in connection.execute(
                    query.where(row.uid == sop_instance_uid)
                )
            }

    def end_association(self, association: int, end: AssociationEnd, now: float) -> None:
        """Note how an association ended, and have the watcher look at its series now.

        Args:
            association: its row.
            end: how it ended.
            now: when; seconds since 1970.
        """
        with self._index.writing() as connection:
            take_turn(connection)
            connection.execute(
                update(AssociationRow)
                .where(AssociationRow.id == association)
                .values(end=end, ended_at=now)
            )
            _wake(connection, [association], now)

    def end_lost_associations(self, process: str, now: float) -> int:
        """After an unclean end: mark the associations that earlier runs left open as lost.

        Args:
            process: this run of the node.
            now: seconds since 1970.

        Returns:
            How many there were.
        """
        with self._index.writing() as connection:
            take_turn(connection)
            rows = connection.scalars(
                select(AssociationRow.id).where(
                    AssociationRow.end == AssociationEnd.OPEN, AssociationRow.process != process
                )
            ).all()
            connection.execute(
                update(AssociationRow)
                .where(AssociationRow.id.in_(rows))
                .values(end=AssociationEnd.LOST, ended_at=now)
            )
            _wake(connection, rows, now)
            return len(rows)


def take_turn(connection: Connection) -> None:
    """Wait until no other transaction adds or removes instances; exclude others until this ends."""
    if connection.dialect.name != "sqlite":
        connection.execute(_WRITERS)


def _wake(connection: Connection, associations: Sequence[int], now: float) -> None:
    brought = select(ArrivalRow.series_pk).where(ArrivalRow.association_pk.in_(associations))
    connection.execute(
        update(SeriesRow)
        .where(SeriesRow.id.in_(brought), SeriesRow.state == SeriesState.RECEIVING)
        .values(due=now)
    )
