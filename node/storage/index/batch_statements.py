"""The SQL statements of a batch, and their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, insert, select, text, update

from node.core.query_keys import BY_LEVEL, Level
from node.core.records import InstanceRecord, SeriesState
from node.storage.index.hierarchy import KnownSeries, integer_of
from node.storage.index.schema import (
    ConflictRow,
    HeaderRow,
    InstanceRow,
    SeriesEventRow,
    SeriesRow,
)
from node.storage.index.series.namesakes import RECEIVER

_IMAGE_KEYWORDS: Final = tuple(attribute.keyword for attribute in BY_LEVEL[Level.IMAGE])

INSERT_INSTANCES: Final = insert(InstanceRow).returning(
    InstanceRow.id, InstanceRow.uid, InstanceRow.series_pk
)
INSTANCE_UID: Final = InstanceRow.__table__.c.uid
SELECT_INSTANCES: Final = select(
    InstanceRow.uid,
    InstanceRow.id,
    InstanceRow.sha256,
    InstanceRow.series_pk,
    InstanceRow.association_pk,
    InstanceRow.path,
    InstanceRow.size,
    InstanceRow.data_set_offset,
).order_by(InstanceRow.id)
INSERT_HEADERS: Final = insert(HeaderRow)
INSERT_CONFLICTS: Final = insert(ConflictRow)
INSERT_EVENTS: Final = insert(SeriesEventRow)
UPDATE_SERIES: Final = (
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
UPDATE_ASSOCIATION: Final = (
    update(InstanceRow.__table__)  # type: ignore[arg-type]
    .where(InstanceRow.id == bindparam("pk"))
    .values(association_pk=bindparam("by"))
)
UPSERT_ARRIVALS: Final = text(
    "INSERT INTO arrival (series_pk, association_pk, first_at, last_at, instances)"
    " VALUES (:series_pk, :association_pk, :first_at, :last_at, :instances)"
    " ON CONFLICT (series_pk, association_pk) DO UPDATE SET"
    " last_at = CASE WHEN excluded.instances > 0 THEN excluded.last_at ELSE arrival.last_at END,"
    " instances = arrival.instances + excluded.instances"
)


@dataclass
class SeriesChanges:
    """The changes of one series by this batch.

    Attributes:
        first, last: when its first and last record were received; seconds since 1970.
        newest: when its newest instance was received, earlier batches included.
        why: for its history.
        instances: how many are new.
        changes: how many records changed the series.
    """

    series: KnownSeries
    first: float
    last: float
    newest: float
    why: str
    instances: int = 0
    changes: int = 0

    @property
    def moved(self) -> bool:
        """Whether the series returns to state receiving."""
        return self.series.state != SeriesState.RECEIVING

    def update(self) -> dict[str, Any]:
        """The parameters of `UPDATE_SERIES`."""
        return {
            "pk": self.series.pk,
            "more": self.instances,
            "changes": self.changes,
            "last": self.newest,
            "now_due": self.last,
            "since": self.first if self.moved else self.series.state_since,
        }

    def event(self) -> dict[str, Any]:
        """The parameters of `INSERT_EVENTS`."""
        return {
            "series_pk": self.series.pk,
            "at": self.first,
            "actor": RECEIVER,
            "from_state": self.series.state,
            "to_state": SeriesState.RECEIVING,
            "revision": self.series.revision,
            "detail": {"why": self.why},
        }


def instance_row(record: InstanceRecord, series_pk: int, association: int | None) -> dict[str, Any]:
    """The parameters of `INSERT_INSTANCES`.

    Args:
        record: the instance.
        series_pk: the row of its series.
        association: the row of its association; None: an import.
    """
    values = record.attributes
    return {
        "uid": record.sop_instance_uid,
        "series_pk": series_pk,
        "sop_class_uid": record.sop_class_uid,
        "number": integer_of(values.get("InstanceNumber")),
        "attributes": {key: values[key] for key in _IMAGE_KEYWORDS if key in values},
        "association_pk": association,
        **file_values(record),
    }


def file_values(record: InstanceRecord) -> dict[str, Any]:
    """The columns that instances and conflicts have for their files."""
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
    """Where the pixel data begin; None beyond the column's 32 bits: they are searched for then."""
    offset = record.pixel_offset
    return offset if offset is not None and offset < 2**31 else None
