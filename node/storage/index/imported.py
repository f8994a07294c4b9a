"""What an import asks the index: what became of its files, and whether their series are done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import func, select

from node.core.records import SeriesState
from node.storage.index.engine import Index
from node.storage.index.schema import InstanceRow, SeriesRow

_UNDER_WAY = (SeriesState.RECEIVING, SeriesState.SETTLED, SeriesState.ASSEMBLING)


class Known(NamedTuple):
    """An instance that is in the index."""

    series: int
    sha256: str
    received_at: float


class Imported:
    """Reads of instances and series by their keys, so that the archive's size does not matter."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def instances(self, uids: Sequence[str]) -> dict[str, list[Known]]:
        """Those of some SOP Instance UIDs that are there, copies, too; a few hundred at once."""
        row = InstanceRow
        query = select(row.uid, row.series_pk, row.sha256, row.received_at).where(row.uid.in_(uids))
        known: dict[str, list[Known]] = {}
        with self._index.reading() as connection:
            for found in connection.execute(query.order_by(row.id)):
                one = Known(found.series_pk, found.sha256, found.received_at)
                known.setdefault(found.uid, []).append(one)
        return known

    def under_way(self, series: Sequence[int]) -> int:
        """How many of some series are on their way to a volume; a few hundred at once."""
        query = select(func.count()).where(
            SeriesRow.id.in_(series), SeriesRow.state.in_(_UNDER_WAY)
        )
        with self._index.reading() as connection:
            return connection.scalar(query) or 0
