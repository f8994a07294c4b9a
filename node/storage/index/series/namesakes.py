"""Namesakes: series that share UIDs. They have different addresses, and each names the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    func,
    insert,
    select,
)
from sqlalchemy.orm import aliased

from node.core.records import SeriesRecord, Shared, address_of
from node.storage.index.engine import Index
from node.storage.index.schema import InstanceRow, NamesakeRow, SeriesEventRow, SeriesRow, StudyRow

RECEIVER: Final = "receiver"
"""The actor of received instances in the history of series."""
MOST: Final = 20
"""Namesakes that are kept of one series, however many it has."""
_WHY: Final = {
    Shared.SERIES_UID: "another study or patient has a series of the same Series Instance UID",
    Shared.INSTANCE_UIDS: "another series has some of the same SOP Instance UIDs",
}


class Pair(NamedTuple):
    """Two series, by their rows, and what they share."""

    one: int
    other: int
    shared: Shared


class Namesake(NamedTuple):
    """Another series that shares UIDs with a series."""

    shared: Shared
    address: str
    study_uid: str

    @property
    def sentence(self) -> str:
        """What is shared, for people."""
        return f"{_WHY[self.shared]}: see series {self.address} of study {self.study_uid}"

    def as_dict(self) -> dict[str, Any]:
        """As `status` and the API show it."""
        return {
            "shared": str(self.shared),
            "address": self.address,
            "study_instance_uid": self.study_uid,
            "sentence": self.sentence,
        }


class Part(NamedTuple):
    """Another series with the UID of a series.

    Attributes:
        address: of the other series.
        study_uid: its Study Instance UID.
        instances: how many it has.
        copied: how many of them have SOP Instance UIDs that the series has too.
    """

    address: str
    study_uid: str
    instances: int
    copied: int


def addressed(address: str) -> ColumnElement[bool]:
    """The condition for the series of a UID, or of an address such as `1.2.3~1`."""
    uid, mark, part = address.partition("~")
    if not mark:
        return SeriesRow.uid == uid
    known = part.isdecimal() and len(part) < 9
    return and_(SeriesRow.uid == uid, SeriesRow.part == (int(part) if known else -1))


def flag(connection: Connection, pairs: Iterable[Pair], at: float) -> None:
    """Note that series share UIDs, with each of them and in its history, once.

    Args:
        connection: of `Index.writing`.
        pairs: the series.
        at: seconds since 1970.
    """
    both = {turned for pair in pairs for turned in (pair, Pair(pair.other, pair.one, pair.shared))}
    row = NamesakeRow
    known: defaultdict[int, set[tuple[int, str]]] = defaultdict(set)
    for pk in sorted({pair.one for pair in both}):
        found = connection.execute(select(row.other_pk, row.shared).where(row.series_pk == pk))
        known[pk] = {(other, shared) for other, shared in found}
    for pair in sorted(both):
        seen = known[pair.one]
        if (pair.other, pair.shared) in seen or len(seen) >= MOST:
            continue
        seen.add((pair.other, pair.shared))
        connection.execute(
            insert(row).values(series_pk=pair.one, other_pk=pair.other, shared=pair.shared)
        )
        _note(connection, pair, at)


def _note(connection: Connection, pair: Pair, at: float) -> None:
    state, revision = connection.execute(
        select(SeriesRow.state, SeriesRow.revision).where(SeriesRow.id == pair.one)
    ).one()
    uid, part, study = connection.execute(
        select(SeriesRow.uid, SeriesRow.part, StudyRow.uid)
        .join(StudyRow, StudyRow.id == SeriesRow.study_pk)
        .where(SeriesRow.id == pair.other)
    ).one()
    other = Namesake(pair.shared, address_of(uid, part), study)
    connection.execute(
        insert(SeriesEventRow).values(
            series_pk=pair.one,
            at=at,
            actor=RECEIVER,
            from_state=state,
            to_state=state,
            revision=revision,
            detail={"why": other.sentence},
        )
    )


@cache
def _query_of_parts() -> Select[Any]:
    """Made once: for each assembly, making it would take longer than running it."""
    mine, theirs = aliased(InstanceRow), aliased(InstanceRow)
    series: BindParameter[int] = bindparam("series")
    copied = (
        select(func.count())
        .select_from(mine)
        .join(theirs, theirs.uid == mine.uid)
        .where(mine.series_pk == series, theirs.series_pk == SeriesRow.id)
        .scalar_subquery()
    )
    return (
        select(SeriesRow.part, StudyRow.uid, SeriesRow.instances, copied)
        .join(StudyRow, StudyRow.id == SeriesRow.study_pk)
        .where(SeriesRow.uid == bindparam("uid"), SeriesRow.id != series)
        .order_by(SeriesRow.part)
    )


class Namesakes:
    """Reads which series share UIDs."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def of(self, series: Sequence[int]) -> dict[int, list[Namesake]]:
        """The namesakes of series, by their rows; for a few hundred at most."""
        row = NamesakeRow
        query = (
            select(row.series_pk, row.shared, SeriesRow.uid, SeriesRow.part, StudyRow.uid)
            .join(SeriesRow, SeriesRow.id == row.other_pk)
            .join(StudyRow, StudyRow.id == SeriesRow.study_pk)
            .where(row.series_pk.in_(series))
            .order_by(row.series_pk, row.other_pk, row.shared)
        )
        found: defaultdict[int, list[Namesake]] = defaultdict(list)
        with self._index.reading() as connection:
            for pk, shared, uid, part, study in connection.execute(query):
                found[pk].append(Namesake(Shared(shared), address_of(uid, part), study))
        return dict(found)

    def parts(self, series: SeriesRecord) -> list[Part]:
        """The other series with the UID of a series."""
        with self._index.reading() as connection:
            found = connection.execute(_query_of_parts(), {"uid": series.uid, "series": series.pk})
            return [
                Part(address_of(series.uid, part), study, instances, shared)
                for part, study, instances, shared in found
            ]

    def beside(self, uid: str, series: SeriesRecord) -> str | None:
        """The address of the series that a series refers to by UID; None if that is ambiguous.

        It is one of the same study; a study of this UID of another patient does not count.

        Args:
            uid: the Series Instance UID in the reference.
            series: the series that refers to it.
        """
        query = (
            select(SeriesRow.part, SeriesRow.study_pk, StudyRow.uid)
            .join(StudyRow, StudyRow.id == SeriesRow.study_pk)
            .where(SeriesRow.uid == uid)
        )
        own = select(SeriesRow.study_pk).where(SeriesRow.id == series.pk)
        with self._index.reading() as connection:
            found = connection.execute(query).all()
            study_pk = connection.scalar(own)
        if not found:
            return uid
        mine = [row for row in found if row.study_pk == study_pk]
        left = mine or [row for row in found if row.uid != series.study_uid]
        return address_of(uid, left[0].part) if len(left) == 1 else None
