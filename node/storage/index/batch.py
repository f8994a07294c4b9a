"""A batch of instances as one plan: read what is known, decide in memory, write each table once.

The caller holds the write lock, so that what was read stays true until the transaction ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, cast

from sqlalchemy import Connection, bindparam, delete, insert, select, text, update

from node.core.query_keys import BY_LEVEL, Level
from node.core.records import InstanceRecord, SeriesState, Shared, Stored, conflict_name
from node.core.sender_addresses import IMPORTED
from node.storage.index import totals
from node.storage.index.hierarchy import Hierarchy, KnownSeries, integer_of
from node.storage.index.schema import (
    AssociationRow,
    ConflictRow,
    DamageRow,
    HeaderRow,
    InstanceRow,
    SeriesEventRow,
    SeriesRow,
)
from node.storage.index.search.where import one_of
from node.storage.index.series.damages import archived
from node.storage.index.series.namesakes import RECEIVER, Pair, flag
from node.storage.index.totals import LISTED, Total

Item = tuple[InstanceRecord, int | None]

_AT_ONCE: Final = 500  # values that are looked for, rows in one INSERT
HEALED: Final = "an instance came again whose file was damaged or lost"
"""Why a series is made again, in its history."""
_IMAGE_KEYWORDS: Final = tuple(attribute.keyword for attribute in BY_LEVEL[Level.IMAGE])

_INSTANCES: Final = insert(InstanceRow).returning(
    InstanceRow.id, InstanceRow.uid, InstanceRow.series_pk
)
_UID: Final = InstanceRow.__table__.c.uid
_HELD: Final = select(
    InstanceRow.uid,
    InstanceRow.id,
    InstanceRow.sha256,
    InstanceRow.series_pk,
    InstanceRow.association_pk,
    InstanceRow.path,
    InstanceRow.size,
    InstanceRow.data_set_offset,
).order_by(InstanceRow.id)
_HEADERS: Final = insert(HeaderRow)
_CONFLICTS: Final = insert(ConflictRow)
_EVENTS: Final = insert(SeriesEventRow)
_SERIES: Final = (
    update(SeriesRow.__table__)  # type: ignore[arg-type]
    .where(SeriesRow.id == bindparam("pk"))
    .values(
        instances=SeriesRow.instances + bindparam("more"),
        change=SeriesRow.change + bindparam("changes"),
        last_arrival=bindparam("last"),
        due=bindparam("now_due"),
        state=SeriesState.RECEIVING,
        state_since=bindparam("since"),
        owner="",
    )
)
_BROUGHT: Final = (
    update(InstanceRow.__table__)  # type: ignore[arg-type]
    .where(InstanceRow.id == bindparam("pk"))
    .values(association_pk=bindparam("by"))
)
_ARRIVALS: Final = text(
    "INSERT INTO arrival (series_pk, association_pk, first_at, last_at, instances)"
    " VALUES (:series_pk, :association_pk, :first_at, :last_at, :instances)"
    " ON CONFLICT (series_pk, association_pk) DO UPDATE SET"
    " last_at = CASE WHEN excluded.instances > 0 THEN excluded.last_at ELSE arrival.last_at END,"
    " instances = arrival.instances + excluded.instances"
)


@dataclass(frozen=True, slots=True)
class _File:
    """Where a row says that its bytes are."""

    row: type[InstanceRow | ConflictRow]
    pk: int
    path: str
    size: int
    data_set_offset: int


@dataclass
class _Known:
    """An instance that is in the index, or about to be.

    Attributes:
        pk: None as long as its row has not been written.
        association: that brought it last; None: an import.
        others: hashes of the conflicts beside it.
        files: by hash; those whose rows have been written.
    """

    pk: int | None
    sha256: str
    series: KnownSeries
    association: int | None
    others: set[str] = field(default_factory=set)
    files: dict[str, _File] = field(default_factory=dict)


_ByUID = dict[str, list[_Known]]


@dataclass
class _Changes:
    """What the batch does to one series."""

    series: KnownSeries
    first: float
    last: float
    newest: float
    why: str
    instances: int = 0
    changes: int = 0


class Batch:
    """Adds records to the index in one go."""

    def __init__(self, connection: Connection, items: Sequence[Item], *, sqlite: bool) -> None:
        self._connection = connection
        self._sqlite = sqlite
        self._items = items
        self._hierarchy = Hierarchy(connection)
        self._new: list[dict[str, Any]] = []
        self._fresh: dict[tuple[str, int], tuple[_Known, bytes]] = {}
        self._namesakes: dict[tuple[int, int], Pair] = {}
        self._conflicts: list[tuple[_Known, int | None, dict[str, Any]]] = []
        self._changes: dict[int, _Changes] = {}
        self._arrivals: dict[tuple[int, int], dict[str, Any]] = {}
        self._repeated: list[_Known] = []

    def write(self) -> list[Stored]:
        """Do it all; returns what became of each record."""
        self._hierarchy.load(record for record, _ in self._items)
        known = self._known()
        outcomes = [self._decide(known, record, by) for record, by in self._items]
        self._write_instances()
        self._write_changes()
        self._hierarchy.write_counts()
        return outcomes

    def _known(self) -> _ByUID:
        """Of each SOP Instance UID the instances that have it, the first that came first."""
        uids = {record.sop_instance_uid for record, _ in self._items}
        found: _ByUID = {}
        for part in _parts(uids):
            for row in self._connection.execute(
                _HELD.where(one_of(_UID, part, sqlite=self._sqlite))
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
                self._keep_again(one, record)
                if sha256 == one.sha256:
                    self._repeat(one, record, association)
                return Stored.SAME
        self._give_way(of_uid, record)
        series, there = self._hierarchy.series(record), None
        for one in of_uid:
            if one.series is series:
                there = one
        if there is None:
            if of_uid:
                self._flag(series, of_uid[0].series)
            fresh = _Known(None, sha256, series, association)
            of_uid.append(fresh)
            self._new.append(_instance(record, series.pk, association))
            self._fresh[record.sop_instance_uid, series.pk] = fresh, record.header
            self._hierarchy.count_instance(series, record.sop_class_uid)
            self._arrive(series, record, association, instances=1)
            return Stored.NEW
        there.others.add(sha256)
        self._conflicts.append((there, association, {"header": record.header, **_bytes_of(record)}))
        self._arrive(series, record, association, instances=0, why="a conflict came")
        return Stored.CONFLICT

    def _flag(self, series: KnownSeries, other: KnownSeries) -> None:
        self._namesakes.setdefault(
            (series.pk, other.pk), Pair(series.pk, other.pk, Shared.INSTANCE_UIDS)
        )

    def _repeat(self, there: _Known, record: InstanceRecord, association: int | None) -> None:
        """A later association brought the same again: nothing changes but who brought it last.

        That tells, as long as the series is waited for, whether everything that an association
        brought before it was cut has come again.
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

    def _keep_again(self, there: _Known, record: InstanceRecord) -> None:
        """Bytes that are known came once more: perhaps in the place of a damaged or lost file."""
        kept = there.files.get(record.sha256)
        if kept is None or not (record.fresh or record.path == kept.path):
            return
        now = (record.path, record.size, record.data_set_offset)
        if now != (kept.path, kept.size, kept.data_set_offset):
            path, size, offset = now  # who sent it is in its meta information, which is as long
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
                self._arrive(there.series, record, None, instances=0, why=HEALED)

    def _give_way(self, of_uid: Sequence[_Known], record: InstanceRecord) -> None:
        """Other bytes have the name of a file that was lost: what was in that has another name.

        So no file is that of two rows, and none goes with the series of another or is replaced.
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
        """Whether anything is: hardly ever, so that what comes again costs no more than before."""
        return self._connection.scalar(select(DamageRow.path).limit(1)) is not None

    def _arrive(
        self,
        series: KnownSeries,
        record: InstanceRecord,
        association: int | None,
        instances: int,
        why: str = "another instance came",
    ) -> None:
        at = record.received_at
        changes = self._changes.get(series.pk)
        if changes is None:
            newest = max(series.last_arrival, at)
            changes = self._changes[series.pk] = _Changes(series, at, at, newest, why)
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
            for pk, uid, series in execute(_INSTANCES, part).all():
                fresh, header = self._fresh[uid, series]
                fresh.pk = pk
                headers.append({"instance_pk": pk, "header": header})
            execute(_HEADERS, headers)
        if self._repeated:
            execute(_BROUGHT, [{"pk": one.pk, "by": one.association} for one in self._repeated])
        self._count(Total.INSTANCES, len(self._new))
        self._count(Total.BYTES, sum(row["size"] for row in self._new))
        self._count(Total.CONFLICTS, len(self._conflicts))
        self._count(LISTED, len(self._new) + len(self._conflicts))
        if self._conflicts:
            senders = self._addresses({by for _, by, _ in self._conflicts if by is not None})
            execute(
                _CONFLICTS,
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
            execute(_SERIES, [_series_update(one) for one in changes])
        moved = [one for one in changes if one.series.state != SeriesState.RECEIVING]
        if moved:
            execute(_EVENTS, [_event(one) for one in moved])
        for one in moved:
            before, after = one.series.state, SeriesState.RECEIVING
            totals.moved(self._connection, totals.in_state(before), totals.in_state(after))
        if self._arrivals:
            execute(_ARRIVALS, list(self._arrivals.values()))
        pairs = [*self._hierarchy.namesakes, *self._namesakes.values()]
        if pairs:
            flag(self._connection, pairs, max(record.received_at for record, _ in self._items))

    def _count(self, name: str, by: int) -> None:
        totals.count(self._connection, name, by)


def _series_update(one: _Changes) -> dict[str, Any]:
    moved = one.series.state != SeriesState.RECEIVING
    return {
        "pk": one.series.pk,
        "more": one.instances,
        "changes": one.changes,
        "last": one.newest,
        "now_due": one.last,
        "since": one.first if moved else one.series.state_since,
    }


def _event(one: _Changes) -> dict[str, Any]:
    return {
        "series_pk": one.series.pk,
        "at": one.first,
        "actor": RECEIVER,
        "from_state": one.series.state,
        "to_state": SeriesState.RECEIVING,
        "revision": one.series.revision,
        "detail": {"why": one.why},
    }


def _instance(record: InstanceRecord, series_pk: int, association: int | None) -> dict[str, Any]:
    values = record.attributes
    return {
        "uid": record.sop_instance_uid,
        "series_pk": series_pk,
        "sop_class_uid": record.sop_class_uid,
        "number": integer_of(values.get("InstanceNumber")),
        "attributes": {key: values[key] for key in _IMAGE_KEYWORDS if key in values},
        "association_pk": association,
        **_bytes_of(record),
    }


def _bytes_of(record: InstanceRecord) -> dict[str, Any]:
    return {
        "transfer_syntax_uid": record.transfer_syntax_uid,
        "path": record.path,
        "size": record.size,
        "sha256": record.sha256,
        "data_set_offset": record.data_set_offset,
        "pixel_offset": _offset(record),
        "pixel_length": record.pixel_length,
        "crc32": record.crc32,
        "received_at": record.received_at,
    }


def _offset(record: InstanceRecord) -> int | None:
    """Where the pixel data begin; None beyond the column's 32 bits: they are looked for then."""
    offset = record.pixel_offset
    return offset if offset is not None and offset < 2**31 else None


def _parts(values: Iterable[Any]) -> Iterator[list[Any]]:
    whole = list(values)
    for at in range(0, len(whole), _AT_ONCE):
        yield whole[at : at + _AT_ONCE]
