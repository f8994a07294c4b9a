"""Which series label which: segmentations and contours refer to other series."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, insert, select

from node.core.records import address_of
from node.storage.index.engine import Index
from node.storage.index.schema import ReferenceRow, SeriesRow


class References:
    """Keeps the references of label series, so that they are made again when the other changes."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def note(self, series_pk: int, referenced: Iterable[str]) -> None:
        """Replace the references of a series.

        Args:
            series_pk: its row.
            referenced: Series Instance UIDs.
        """
        rows = [{"series_pk": series_pk, "referenced_uid": uid} for uid in sorted(set(referenced))]
        with self._index.writing() as connection:
            connection.execute(delete(ReferenceRow).where(ReferenceRow.series_pk == series_pk))
            if rows:
                connection.execute(insert(ReferenceRow), rows)

    def labels_of(self, uid: str) -> list[str]:
        """Addresses of the series that refer to a series, in a stable order."""
        query = (
            select(SeriesRow.uid, SeriesRow.part)
            .join(ReferenceRow, ReferenceRow.series_pk == SeriesRow.id)
            .where(ReferenceRow.referenced_uid == uid)
            .order_by(SeriesRow.uid, SeriesRow.part)
        )
        with self._index.reading() as connection:
            return [address_of(row.uid, row.part) for row in connection.execute(query)]
