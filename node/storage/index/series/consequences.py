"""What follows for names and other series when the volumes of a series change.

It is written in the transaction of that change. Otherwise a crash in between would leave series
with outdated names or labels, which nothing would assemble again, and a study would be told of as
ready although series of it are about to be renamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete

from node.core.records import SeriesRecord, SeriesState
from node.storage.index.schema import OutputRow
from node.storage.index.series.siblings import KeptSibling, write_siblings
from node.storage.index.series.transition import swap


@dataclass(frozen=True, slots=True)
class Follower:
    """A series that has to be assembled again because another one has changed.

    Attributes:
        series: as the decision saw it; if it has changed since, it is left alone.
        to: its next state.
        detail: for the history.
    """

    series: SeriesRecord
    to: SeriesState
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Consequences:
    """What follows when the volumes of a series change.

    Attributes:
        volumes: the volumes of the series on which other volumes of the dataset depend, as they
            are from now on; None: they stay.
        stems: the output names that the series still uses; None: all that it has reserved.
        followers: the series that are assembled again.
    """

    volumes: Sequence[KeptSibling] | None = None
    stems: Sequence[str] | None = None
    followers: tuple[Follower, ...] = ()


NO_CONSEQUENCES = Consequences()


def write_consequences(
    connection: Connection, series_pk: int, consequences: Consequences, now: float, actor: str
) -> None:
    """Write what follows from the change of a series.

    Args:
        connection: of `Index.writing`, which writes the change itself, too.
        series_pk: the row of the series that changes.
        consequences: what follows.
        now: seconds since 1970.
        actor: who decided, for the history.
    """
    if consequences.volumes is not None:
        write_siblings(connection, series_pk, consequences.volumes)
    if consequences.stems is not None:
        release_stems(connection, series_pk, consequences.stems)
    for one in sorted(consequences.followers, key=lambda follower: follower.series.pk):
        swap(connection, one.series, one.to, now, actor, one.detail, {"due": None})


def release_stems(connection: Connection, series_pk: int, kept: Iterable[str]) -> None:
    """Give up the output names of a series that it no longer uses.

    Args:
        connection: of `Index.writing`.
        series_pk: the row of the series.
        kept: the names that it uses.
    """
    unused = (OutputRow.series_pk == series_pk, OutputRow.stem.not_in(sorted(kept)))
    connection.execute(delete(OutputRow).where(*unused))
