"""Queries of an import: are its instances in the index, and are their series done?"""

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
    """Reads instances and series by their keys, so that the number of others does not matter."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def instances(self, uids: Sequence[str]) -> dict[str, list[Known]]:
        """The instances of SOP Instance UIDs, copies included; for a few hundred UIDs at most."""
        row = InstanceRow
        query = select(row.uid, row.series_pk, row.sha256, row.received_at).where(row.uid.in_(uids))
        known: dict[str, list[Known]] = {}
        with self._index.reading() as connection:
            for found in connection.execute(query.order_by(row.id)):
                one = Known(found.series_pk, found.sha256, found.received_at)
                known.setdefault(found.uid, []).append(one)
        return known

    def under_way(self, series: Sequence[int]) -> int:
        """How many of these series are not done; for a few hundred rows at most."""
        query = select(func.count()).where(
            SeriesRow.id.in_(series), SeriesRow.state.in_(_UNDER_WAY)
        )
        with self._index.reading() as connection:
            return connection.scalar(query) or 0
