"""Runs of several series: which series stands for a run, and which are volumes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from node.core.records import Arrival, AssociationEnd, SeriesRecord, SeriesState
from node.storage.index.engine import Index
from node.storage.index.schema import ArrivalRow, AssociationRow
from node.storage.index.series.transition import swap


@dataclass(frozen=True, slots=True)
class Regrouped:
    """A series and its place in a run.

    Attributes:
        series: as the decision saw it.
        state: its next state.
        run: the row of the series that stands for its run; None: it stands for itself.
        verdict: its verdict from now on.
        why: for the history.
    """

    series: SeriesRecord
    state: SeriesState
    run: int | None
    verdict: dict[str, Any]
    why: str


class _HasChanged(Exception):
    """A series is not any more what the decision saw."""


class Runs:
    """The places of series in runs, in the index."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def regroup(self, changes: Sequence[Regrouped], now: float, actor: str) -> bool:
        """Give series their places in runs, all of them or none.

        Args:
            changes: the series.
            now: seconds since 1970.
            actor: who decided, for the history.

        Returns:
            False if one of the series has changed: then nothing was done.
        """
        try:
            with self._index.writing() as connection:
                for one in sorted(changes, key=lambda change: change.series.pk):
                    values = {"run_pk": one.run, "verdict": one.verdict, "due": None}
                    detail = {"why": one.why}
                    if not swap(connection, one.series, one.state, now, actor, detail, values):
                        raise _HasChanged
        except _HasChanged:
            return False
        return True

    def arrivals(self, series: Sequence[int]) -> list[Arrival]:
        """What was received of several series, by association.

        Args:
            series: their rows.
        """
        query = (
            select(
                AssociationRow.calling_ae,
                AssociationRow.address,
                AssociationRow.end,
                AssociationRow.ended_at,
                ArrivalRow.first_at,
                ArrivalRow.last_at,
                ArrivalRow.instances,
            )
            .join(AssociationRow, AssociationRow.id == ArrivalRow.association_pk)
            .where(ArrivalRow.series_pk.in_(series))
        )
        with self._index.reading() as connection:
            rows = connection.execute(query).all()
        return [Arrival(row[0], row[1], AssociationEnd(row[2]), *row[3:]) for row in rows]
