"""A batch of instances as one plan: read what is known, decide in memory, write each table once.

The caller holds the write lock, so that what was read stays true until the transaction ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, cast

from sqlalchemy import Connection, bindparam, delete, insert, select, text, update

from node.attributes import BY_LEVEL, Level
from node.index import totals
from node.index.damages import archived
from node.index.hierarchy import Hierarchy, KnownSeries, integer_of
from node.index.schema import (
    ConflictRow,
    DamageRow,
    HeaderRow,
    InstanceRow,
    SeriesEventRow,
    SeriesRow,
)
from node.index.totals import Total
from node.index.where import one_of
from node.records import InstanceRecord, SeriesState, Stored

Item = tuple[InstanceRecord, int | None]

_AT_ONCE: Final = 500  # values that are looked for, rows in one INSERT
HEALED: Final = "an instance came again whose file was damaged or lost"
"""Why a series is made again, in its history."""
_IMAGE_KEYWORDS: Final = tuple(attribute.keyword for attribute in BY_LEVEL[Level.IMAGE])

_INSTANCES: Final = insert(InstanceRow).returning(InstanceRow.id, InstanceRow.uid)
_UID: Final = InstanceRow.__table__.c.uid
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
_ARRIVALS: Final = text(
    "INSERT INTO arrival (series_pk, association_pk, first_at, last_at, instances)"
    " VALUES (:series_pk, :association_pk, :first_at, :last_at, :instances)"
    " ON CONFLICT (series_pk, association_pk) DO UPDATE SET"
    " last_at = excluded.last_at, instances = arrival.instances + excluded.instances"
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
    """A SOP Instance UID that is in the index, or about to be.

    Attributes:
        pk: None as long as its row has not been written.
        others: hashes of the conflicts beside it.
        files: by hash; those whose rows have been written.
    """

    pk: int | None
    sha256: str
    series: KnownSeries
    others: set[str] = field(default_factory=set)
    files: dict[str, _File] = field(default_factory=dict)


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
        self._headers: dict[str, bytes] = {}
        self._conflicts: list[tuple[_Known, dict[str, Any]]] = []
        self._changes: dict[int, _Changes] = {}
        self._arrivals: dict[tuple[int, int], dict[str, Any]] = {}

    def write(self) -> list[Stored]:
        """Do it all; returns what became of each record."""
        self._hierarchy.load(record for record, _ in self._items)
        known = self._known()
        outcomes = [self._decide(known, record, by) for record, by in self._items]
        self._write_instances(known)
        self._write_changes()
        self._hierarchy.write_counts()
        return outcomes

    def _known(self) -> dict[str, _Known]:
        uids = {record.sop_instance_uid for record, _ in self._items}
        found: dict[str, _Known] = {}
        by_pk: dict[int, _Known] = {}
        columns = (
            InstanceRow.uid,
            InstanceRow.id,
            InstanceRow.sha256,
            InstanceRow.series_pk,
            InstanceRow.path,
            InstanceRow.size,
            InstanceRow.data_set_offset,
        )
        for part in _parts(uids):
            for row in self._connection.execute(
                select(*columns).where(one_of(_UID, part, sqlite=self._sqlite))
            ).all():
                series = self._hierarchy.series_of_instance(row.series_pk)
                kept = _File(InstanceRow, row.id, row.path, row.size, row.data_set_offset)
                found[row.uid] = by_pk[row.id] = _Known(
                    row.id, row.sha256, series, files={row.sha256: kept}
                )
        different = [
            known.pk
            for record, _ in self._items
            if (known := found.get(record.sop_instance_uid)) and known.sha256 != record.sha256
        ]
        for part in _parts(different):
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

    def _decide(
        self, known: dict[str, _Known], record: InstanceRecord, association: int | None
    ) -> Stored:
        there = known.get(record.sop_instance_uid)
        if there is None:
            series = self._hierarchy.series(record)
            known[record.sop_instance_uid] = _Known(None, record.sha256, series)
            self._new.append(_instance(record, series.pk, association))
            self._headers[record.sop_instance_uid] = record.header
            self._hierarchy.count_instance(series, record.sop_class_uid)
            self._arrive(series, record, association, instances=1)
            return Stored.NEW
        if record.sha256 == there.sha256 or record.sha256 in there.others:
            self._keep_again(there, record)
            return Stored.SAME
        there.others.add(record.sha256)
        self._conflicts.append((there, {"header": record.header, **_bytes_of(record)}))
        self._arrive(there.series, record, association, instances=0, why="a conflict came")
        return Stored.CONFLICT

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
        arrival = self._arrivals.setdefault(
            (series.pk, association),
            {
                "series_pk": series.pk,
                "association_pk": association,
                "first_at": at,
                "last_at": at,
                "instances": 0,
            },
        )
        arrival["last_at"] = at
        arrival["instances"] += 1

    def _write_instances(self, known: dict[str, _Known]) -> None:
        execute = self._connection.execute
        for part in _parts(self._new):
            keys = {uid: pk for pk, uid in execute(_INSTANCES, part).all()}
            for uid, pk in keys.items():
                known[uid].pk = pk
            execute(
                _HEADERS,
                [{"instance_pk": pk, "header": self._headers[uid]} for uid, pk in keys.items()],
            )
        self._count(Total.INSTANCES, len(self._new))
        self._count(Total.BYTES, sum(row["size"] for row in self._new))
        self._count(Total.CONFLICTS, len(self._conflicts))
        if self._conflicts:
            execute(
                _CONFLICTS, [{"instance_pk": there.pk, **row} for there, row in self._conflicts]
            )

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
        "actor": "receiver",
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
        "pixel_offset": record.pixel_offset,
        "pixel_length": record.pixel_length,
        "crc32": record.crc32,
        "received_at": record.received_at,
    }


def _parts(values: Iterable[Any]) -> Iterator[list[Any]]:
    whole = list(values)
    for at in range(0, len(whole), _AT_ONCE):
        yield whole[at : at + _AT_ONCE]
