"""Adds a batch of instances: reads the rows that exist, decides in memory, writes each table once.

The caller holds the write lock, so that no other transaction changes these rows meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, cast

from sqlalchemy import Connection, delete, select, update

from node.core.records import InstanceRecord, SeriesState, Shared, Stored, conflict_name
from node.core.sender_addresses import IMPORTED
from node.storage.index import totals
from node.storage.index.batch_statements import (
    INSERT_CONFLICTS,
    INSERT_EVENTS,
    INSERT_HEADERS,
    INSERT_INSTANCES,
    INSTANCE_UID,
    SELECT_INSTANCES,
    UPDATE_ASSOCIATION,
    UPDATE_SERIES,
    UPSERT_ARRIVALS,
    SeriesChanges,
    file_values,
    instance_row,
)
from node.storage.index.hierarchy import Hierarchy, KnownSeries
from node.storage.index.schema import (
    AssociationRow,
    ConflictRow,
    DamageRow,
    InstanceRow,
)
from node.storage.index.search.where import one_of
from node.storage.index.series.damages import archived
from node.storage.index.series.namesakes import Pair, flag
from node.storage.index.totals import LISTED, Total

Item = tuple[InstanceRecord, int | None]

_AT_ONCE: Final = 500  # values of one query, rows of one INSERT
REPAIRED: Final = "an instance whose file was damaged or lost was received again"
"""In the history of a series: why it is assembled again."""


@dataclass(frozen=True, slots=True)
class _File:
    """The file of a row."""

    row: type[InstanceRow | ConflictRow]
    pk: int
    path: str
    size: int
    data_set_offset: int


@dataclass
class _Known:
    """An instance that is in the index, or that this batch adds.

    Attributes:
        pk: its row; None until that is written.
        sha256: of its data set.
        series: the series that it belongs to.
        association: by which it was last received; None: an import.
        others: hashes of its conflicts.
        files: by hash; those that have rows already.
    """

    pk: int | None
    sha256: str
    series: KnownSeries
    association: int | None
    others: set[str] = field(default_factory=set)
    files: dict[str, _File] = field(default_factory=dict)


_ByUID = dict[str, list[_Known]]


class Batch:
    """Adds records to the index in one transaction.

    Args:
        connection: of `Index.writing`.
        items: records, each with the row of its association (None: an import).
        sqlite: whether the index is an SQLite file.
    """

    def __init__(self, connection: Connection, items: Sequence[Item], *, sqlite: bool) -> None:
        self._connection = connection
        self._sqlite = sqlite
        self._items = items
        self._hierarchy = Hierarchy(connection)
        self._new: list[dict[str, Any]] = []
        self._fresh: dict[tuple[str, int], tuple[_Known, bytes]] = {}
        self._namesakes: dict[tuple[int, int], Pair] = {}
        self._conflicts: list[tuple[_Known, int | None, dict[str, Any]]] = []
        self._changes: dict[int, SeriesChanges] = {}
        self._arrivals: dict[tuple[int, int], dict[str, Any]] = {}
        self._repeated: list[_Known] = []

    def write(self) -> list[Stored]:
        """Write the batch; returns how each record was taken."""
        self._hierarchy.load(record for record, _ in self._items)
        known = self._known()
        outcomes = [self._decide(known, record, by) for record, by in self._items]
        self._write_instances()
        self._write_changes()
        self._hierarchy.write_counts()
        return outcomes

    def _known(self) -> _ByUID:
        """By SOP Instance UID the instances that are in the index, oldest first."""
        uids = {record.sop_instance_uid for record, _ in self._items}
        found: _ByUID = {}
        for part in _parts(uids):
            for row in self._connection.execute(
                SELECT_INSTANCES.where(one_of(INSTANCE_UID, part, sqlite=self._sqlite))
            ).all():
                series = self._hierarchy.series_of_instance(row.series_pk)
                kept = _File(InstanceRow, row.id, row.path, row.size, row.data_set_offset)
                one = _Known(
                    row.id, row.sha256, series, row.association_pk, files={row.sha256: kept}
                )
                found.setdefault(row.uid, []).append(one)
        by_pk = {
            there.pk: there
            for record, _ in self._items
            for there in found.get(record.sop_instance_uid, ())
            if there.sha256 != record.sha256
        }
        for part in _parts(by_pk):
            for pk, sha256, *place in self._connection.execute(
                select(
                    ConflictRow.instance_pk,
                    ConflictRow.sha256,
                    ConflictRow.id,
                    ConflictRow.path,
                    ConflictRow.size,
                    ConflictRow.data_set_offset,
                ).where(ConflictRow.instance_pk.in_(part))
            ).all():
                by_pk[pk].others.add(sha256)
                kept = _File(ConflictRow, *cast("tuple[int, str, int, int]", place))
                by_pk[pk].files[sha256] = kept
        return found

    def _decide(self, known: _ByUID, record: InstanceRecord, association: int | None) -> Stored:
        sha256 = record.sha256
        of_uid = known.setdefault(record.sop_instance_uid, [])
        for one in of_uid:
            if sha256 == one.sha256 or sha256 in one.others:
                self._file_received_again(one, record)
                if sha256 == one.sha256:
                    self._repeat(one, record, association)
                return Stored.SAME
        self._rename_lost_file(of_uid, record)
        series, there = self._hierarchy.series(record), None
        for one in of_uid:
            if one.series is series:
                there = one
        if there is None:
            if of_uid:
                self._flag(series, of_uid[0].series)
            fresh = _Known(None, sha256, series, association)
            of_uid.append(fresh)
            self._new.append(instance_row(record, series.pk, association))
            self._fresh[record.sop_instance_uid, series.pk] = fresh, record.header
            self._hierarchy.count_instance(series, record.sop_class_uid)
            self._arrive(series, record, association, instances=1)
            return Stored.NEW
        there.others.add(sha256)
        self._conflicts.append(
            (there, association, {"header": record.header, **file_values(record)})
        )
        self._arrive(series, record, association, instances=0, why="a conflict was received")
        return Stored.CONFLICT

    def _flag(self, series: KnownSeries, other: KnownSeries) -> None:
        self._namesakes.setdefault(
            (series.pk, other.pk), Pair(series.pk, other.pk, Shared.INSTANCE_UIDS)
        )

    def _repeat(self, there: _Known, record: InstanceRecord, association: int | None) -> None:
        """The same instance was received by a later association: only that is noted.

        While the series is in state receiving it shows whether everything from an association that
        was cut off has been sent again.
        """
        if association is None or there.association is None or association <= there.association:
            return
        series = there.series
        if series.state != SeriesState.RECEIVING and series.pk not in self._changes:
            return
        there.association = association
        self._repeated.append(there)
        self._arrival(series, record.received_at, association)

    def _arrival(self, series: KnownSeries, at: float, association: int) -> dict[str, Any]:
        return self._arrivals.setdefault(
            (series.pk, association),
            {
                "series_pk": series.pk,
                "association_pk": association,
                "first_at": at,
                "last_at": at,
                "instances": 0,
            },
        )

    def _file_received_again(self, there: _Known, record: InstanceRecord) -> None:
        """The same bytes were received again, and may have repaired a damaged or lost file."""
        kept = there.files.get(record.sha256)
        if kept is None or not (record.fresh or record.path == kept.path):
            return
        now = (record.path, record.size, record.data_set_offset)
        if now != (kept.path, kept.size, kept.data_set_offset):
            path, size, offset = now  # the AE title is part of the meta information
            self._connection.execute(
                update(kept.row)
                .where(kept.row.id == kept.pk)
                .values(path=path, size=size, data_set_offset=offset)
            )
            if kept.row is InstanceRow:
                self._count(Total.BYTES, size - kept.size)
        if record.fresh or self._is_damaged:
            paths = [archived(kept.path), archived(record.path)]
            gone = self._connection.execute(delete(DamageRow).where(DamageRow.path.in_(paths)))
            if record.fresh or gone.rowcount:
                self._arrive(there.series, record, None, instances=0, why=REPAIRED)

    def _rename_lost_file(self, of_uid: Sequence[_Known], record: InstanceRecord) -> None:
        """If a record's file has the path of a lost file, give the lost one's row another path.

        So no two rows have one file, which retention or a repair of the other would remove.
        """
        for one in of_uid:
            for sha256, file in one.files.items():
                if file.path != record.path:
                    continue
                folder = file.path.rpartition("/")[0]
                path = f"{folder}/{conflict_name(record.sop_instance_uid, sha256)}"
                one.files[sha256] = replace(file, path=path)
                named = update(file.row).where(file.row.id == file.pk)
                self._connection.execute(named.values(path=path))
                if self._is_damaged:
                    known = update(DamageRow).where(DamageRow.path == archived(file.path))
                    self._connection.execute(known.values(path=archived(path)))

    @cached_property
    def _is_damaged(self) -> bool:
        """Whether any file is known to be damaged, which is rare: one query saves many."""
        return self._connection.scalar(select(DamageRow.path).limit(1)) is not None

    def _arrive(
        self,
        series: KnownSeries,
        record: InstanceRecord,
        association: int | None,
        instances: int,
        why: str = "another instance was received",
    ) -> None:
        at = record.received_at
        changes = self._changes.get(series.pk)
        if changes is None:
            newest = max(series.last_arrival, at)
            changes = self._changes[series.pk] = SeriesChanges(series, at, at, newest, why)
        changes.instances += instances
        changes.changes += 1
        changes.last = at
        changes.newest = max(changes.newest, at)
        if association is None:
            return
        arrival = self._arrival(series, at, association)
        arrival["last_at"] = at
        arrival["instances"] += 1

    def _write_instances(self) -> None:
        execute = self._connection.execute
        for part in _parts(self._new):
            headers = []
            for pk, uid, series in execute(INSERT_INSTANCES, part).all():
                fresh, header = self._fresh[uid, series]
                fresh.pk = pk
                headers.append({"instance_pk": pk, "header": header})
            execute(INSERT_HEADERS, headers)
        if self._repeated:
            execute(
                UPDATE_ASSOCIATION,
                [{"pk": one.pk, "by": one.association} for one in self._repeated],
            )
        self._count(Total.INSTANCES, len(self._new))
        self._count(Total.BYTES, sum(row["size"] for row in self._new))
        self._count(Total.CONFLICTS, len(self._conflicts))
        self._count(LISTED, len(self._new) + len(self._conflicts))
        if self._conflicts:
            senders = self._addresses({by for _, by, _ in self._conflicts if by is not None})
            execute(
                INSERT_CONFLICTS,
                [
                    {"instance_pk": there.pk, "sender": senders.get(by, IMPORTED), **row}
                    for there, by, row in self._conflicts
                ],
            )

    def _addresses(self, associations: Iterable[int]) -> dict[int | None, str]:
        row = AssociationRow
        query = select(row.id, row.address)
        return {
            pk: address
            for part in _parts(associations)
            for pk, address in self._connection.execute(query.where(row.id.in_(part))).all()
        }

    def _write_changes(self) -> None:
        execute = self._connection.execute
        changes = [self._changes[pk] for pk in sorted(self._changes)]
        if changes:
            execute(UPDATE_SERIES, [one.update() for one in changes])
        moved = [one for one in changes if one.moved]
        if moved:
            execute(INSERT_EVENTS, [one.event() for one in moved])
        for one in moved:
            before, after = one.series.state, SeriesState.RECEIVING
            totals.moved(self._connection, totals.in_state(before), totals.in_state(after))
        if self._arrivals:
            execute(UPSERT_ARRIVALS, list(self._arrivals.values()))
        pairs = [*self._hierarchy.namesakes, *self._namesakes.values()]
        if pairs:
            flag(self._connection, pairs, max(record.received_at for record, _ in self._items))

    def _count(self, name: str, by: int) -> None:
        totals.count(self._connection, name, by)


def _parts(values: Iterable[Any]) -> Iterator[list[Any]]:
    whole = list(values)
    for at in range(0, len(whole), _AT_ONCE):
        yield whole[at : at + _AT_ONCE]
