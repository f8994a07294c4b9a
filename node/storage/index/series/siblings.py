"""The volumes of BIDS datasets, on which names and field maps of other volumes depend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from node.storage.index.engine import Index
from node.storage.index.schema import SeriesRow, SiblingRow


@dataclass(frozen=True, slots=True)
class KeptSibling:
    """A volume.

    Attributes:
        series_pk: the row of its series.
        number: of the volume in its series.
        scope: folders of the participant and session.
        known: what other volumes depend on.
        made: its name and fields when its files were published; None before.
        row: its name in the table of scans; empty: it is not there yet.
    """

    series_pk: int
    number: int
    scope: str
    known: dict[str, Any] = field(hash=False)
    made: dict[str, Any] | None = field(default=None, hash=False)
    row: str = ""


class Siblings:
    """Keeps what the volumes of a dataset have to know of each other."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def of_series(self, series_pk: int) -> list[KeptSibling]:
        """The volumes of a series."""
        return self._found(SiblingRow.series_pk == series_pk)

    def of_scopes(self, scopes: Iterable[str]) -> list[KeptSibling]:
        """The volumes of some participants' sessions."""
        wanted = sorted(set(scopes))
        return self._found(SiblingRow.scope.in_(wanted)) if wanted else []

    def of_study(self, series_pk: int) -> list[KeptSibling]:
        """The volumes of the study that a series belongs to."""
        study = select(SeriesRow.study_pk).where(SeriesRow.id == series_pk).scalar_subquery()
        inside = select(SeriesRow.id).where(SeriesRow.study_pk == study)
        return self._found(SiblingRow.series_pk.in_(inside))

    def replace(self, series_pk: int, volumes: Sequence[KeptSibling]) -> None:
        """Replace the volumes of a series; those that were there stay as they were published.

        Args:
            series_pk: its row.
            volumes: all of them; what was made is kept for those that were there.
        """
        before = {one.number: one for one in self.of_series(series_pk)}
        kept = [
            replace(one, made=before[one.number].made, row=before[one.number].row)
            if one.number in before
            else one
            for one in volumes
        ]
        with self._index.writing() as connection:
            write_siblings(connection, series_pk, kept)

    def note_row(self, series_pk: int, number: int, row: str) -> None:
        """Note the name of a volume in the table of scans.

        Args:
            series_pk: the row of its series.
            number: of the volume in its series.
            row: the name.
        """
        which = (SiblingRow.series_pk == series_pk, SiblingRow.number == number)
        with self._index.writing() as connection:
            connection.execute(update(SiblingRow).where(*which).values(row=row))

    def _found(self, condition: Any) -> list[KeptSibling]:
        row = SiblingRow
        columns = (row.series_pk, row.number, row.scope, row.known, row.made, row.row)
        query = select(*columns).where(condition).order_by(row.series_pk, row.number)
        with self._index.reading() as connection:
            return [KeptSibling(*found) for found in connection.execute(query)]


def write_siblings(connection: Connection, series_pk: int, volumes: Sequence[KeptSibling]) -> None:
    """Replace the volumes of a series by these.

    Args:
        connection: of `Index.writing`.
        series_pk: the row of the series.
        volumes: all of them.
    """
    connection.execute(delete(SiblingRow).where(SiblingRow.series_pk == series_pk))
    rows = [
        {
            "series_pk": series_pk,
            "number": one.number,
            "scope": one.scope,
            "known": one.known,
            "made": one.made,
            "row": one.row,
        }
        for one in volumes
    ]
    if rows:
        connection.execute(insert(SiblingRow), rows)
