"""Revisions of volumes: begun before their files appear, visible once they have.

The number of a revision is reserved before any file appears. One transaction marks it visible,
moves the series to its new state and adds the deliveries. So a crash leaves either nothing, or a
revision that is finished under the same number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from node.core.events import NewDelivery
from node.core.records import SeriesRecord, SeriesState
from node.storage.index.engine import Index
from node.storage.index.peers.outbox import enqueue
from node.storage.index.schema import DamageRow, PublicationRow, SeriesEventRow, SeriesRow
from node.storage.index.series.consequences import (
    NO_CONSEQUENCES,
    Consequences,
    write_consequences,
)
from node.storage.index.series.transition import swap


class Stage(StrEnum):
    """The state of a revision."""

    BEGUN = "begun"
    ABANDONED = "abandoned"  # after a crash the result was different: its number is not used again
    VISIBLE = "visible"


@dataclass(frozen=True, slots=True)
class Publication:
    """A revision.

    Attributes:
        fingerprint: equal for revisions between which nothing differs.
        files: relative to the output folder.
        digests: SHA-256 of each; None: made before they were kept.
    """

    revision: int
    stage: Stage
    fingerprint: str
    files: tuple[str, ...]
    verdict: dict[str, Any]
    visible_at: float | None
    digests: dict[str, str] | None = None


# Put together once: that takes longer than the answers.
_OF_SERIES: Final = PublicationRow.series_pk == bindparam("pk")
_ALL: Final = select(PublicationRow).where(_OF_SERIES).order_by(PublicationRow.revision)
_LAST: Final = select(func.max(PublicationRow.revision)).where(
    _OF_SERIES, PublicationRow.state != Stage.BEGUN
)


class Publications:
    """The revisions of every series."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def all(self, series_pk: int) -> list[Publication]:
        """The revisions of a series, oldest first."""
        with self._index.reading() as connection:
            return [
                Publication(
                    revision=found.revision,
                    stage=Stage(found.state),
                    fingerprint=found.fingerprint,
                    files=tuple(found.files),
                    verdict=found.verdict,
                    visible_at=found.visible_at,
                    digests=found.digests,
                )
                for found in connection.execute(_ALL, {"pk": series_pk})
            ]

    def visible(self, series_pk: int) -> Publication | None:
        """The revision that readers see; None if there is none."""
        seen = [item for item in self.all(series_pk) if item.stage is Stage.VISIBLE]
        return seen[-1] if seen else None

    def digests(self, series_pk: int) -> tuple[int, dict[str, str]]:
        """The revision that readers see, 0 if there is none, and the SHA-256 of its files."""
        found = self.visible(series_pk)
        return (0, {}) if found is None else (found.revision, found.digests or {})

    def latest(self, series_pk: int) -> Publication | None:
        """The revision that was begun last; None if there is none.

        Its files may be there even if it is not visible.
        """
        known = self.all(series_pk)
        return known[-1] if known else None

    def next_revision(self, series_pk: int, floor: int = 0) -> int:
        """The number of the next revision.

        Args:
            series_pk: the row of the series.
            floor: a number that is in use although the index does not have it, by files of an
                earlier index.
        """
        with self._index.reading() as connection:
            return max(connection.scalar(_LAST, {"pk": series_pk}) or 0, floor) + 1

    def begin(
        self,
        series: SeriesRecord,
        revision: int,
        fingerprint: str,
        files: Sequence[str],
        verdict: dict[str, Any],
        now: float,
        digests: dict[str, str] | None = None,
    ) -> bool:
        """Reserve a revision before its files appear.

        Args:
            series: the series as the assembly saw it.
            revision: its number.
            fingerprint: equal for revisions without a difference.
            files: relative to the output folder.
            verdict: of the series.
            now: seconds since 1970.
            digests: SHA-256 of each file, by its name relative to the output folder.

        Returns:
            False if the series has changed, or if a different revision of this number was begun
            before a crash: then nothing may be published, and the series has to be assembled
            again under the next number.
        """
        row = PublicationRow
        with self._index.writing() as connection:
            current = connection.execute(
                select(SeriesRow.state, SeriesRow.change).where(SeriesRow.id == series.pk)
            ).one()
            if (current.state, current.change) != (series.state, series.change):
                return False
            key = (row.series_pk == series.pk, row.revision == revision)
            before = connection.execute(select(row.state, row.fingerprint).where(*key)).first()
            if before is not None and before.fingerprint != fingerprint:
                connection.execute(update(row).where(*key).values(state=Stage.ABANDONED))
                return False
            connection.execute(delete(row).where(*key))
            connection.execute(
                insert(row).values(
                    series_pk=series.pk,
                    revision=revision,
                    state=Stage.BEGUN,
                    fingerprint=fingerprint,
                    files=list(files),
                    digests=digests,
                    verdict=verdict,
                    begun_at=now,
                )
            )
        return True

    def finish(
        self,
        series: SeriesRecord,
        revision: int,
        state: SeriesState,
        *,
        now: float,
        actor: str,
        detail: dict[str, Any],
        deliveries: Sequence[NewDelivery] = (),
        consequences: Consequences = NO_CONSEQUENCES,
    ) -> SeriesState:
        """Mark a revision visible, and add its deliveries and what follows for other series.

        If instances were received while its files appeared, the revision counts all the same, and
        the series stays in the state that it has now.

        Args:
            series: the series as the assembly saw it.
            revision: its number.
            state: the new state of the series.
            now: seconds since 1970.
            actor: who decided, for the history.
            detail: for the history.
            deliveries: for the outbox.
            consequences: of the revision, for names and for other series.

        Returns:
            The state of the series.
        """
        row = PublicationRow
        with self._index.writing() as connection:
            key = (row.series_pk == series.pk, row.revision == revision)
            connection.execute(update(row).where(*key).values(state=Stage.VISIBLE, visible_at=now))
            found = connection.execute(select(row.files, row.verdict).where(*key)).one()
            values = {"revision": revision, "outputs": found.files}
            full = {**values, "verdict": found.verdict, "due": None, "owner": ""}
            enqueue(connection, series.pk, deliveries, now)
            write_consequences(connection, series.pk, consequences, now, actor)
            connection.execute(
                delete(DamageRow).where(DamageRow.series_pk == series.pk, DamageRow.uid == "")
            )
            if swap(connection, series, state, now, actor, detail, full):
                return state
            return _overtaken(connection, series, now, actor, detail, values)


def _overtaken(
    connection: Connection,
    series: SeriesRecord,
    now: float,
    actor: str,
    detail: dict[str, Any],
    values: dict[str, Any],
) -> SeriesState:
    connection.execute(update(SeriesRow).where(SeriesRow.id == series.pk).values(**values))
    state = connection.scalars(select(SeriesRow.state).where(SeriesRow.id == series.pk)).one()
    connection.execute(
        insert(SeriesEventRow).values(
            series_pk=series.pk,
            at=now,
            actor=actor,
            from_state=state,
            to_state=state,
            revision=values["revision"],
            detail=detail,
        )
    )
    return SeriesState(state)
