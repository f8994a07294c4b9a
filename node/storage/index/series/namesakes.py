"""Series that share UIDs with others: told apart by address, and flagged in pairs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, insert, select
from sqlalchemy.orm import aliased

from node.core.records import SeriesRecord, Shared, address_of
from node.storage.index.engine import Index
from node.storage.index.schema import InstanceRow, NamesakeRow, SeriesEventRow, SeriesRow, StudyRow

RECEIVER: Final = "receiver"
"""Who acts, in the history of series, when instances come."""
MOST: Final = 20
"""Others that are kept of one series, however many copies of it come."""
_WHY: Final = {
    Shared.SERIES_UID: "its Series Instance UID came under another study or patient, too",
    Shared.INSTANCE_UIDS: "some of its SOP Instance UIDs came in another series, too",
}


class Pair(NamedTuple):
    """Two series, by their rows, and what they share."""

    one: int
    other: int
    shared: Shared


class Namesake(NamedTuple):
    """Another series that shares something with a series."""

    shared: Shared
    address: str
    study_uid: str

    @property
    def sentence(self) -> str:
        """What is shared, for people."""
        return f"{_WHY[self.shared]}: see series {self.address} of study {self.study_uid}"

    def as_dict(self) -> dict[str, Any]:
        """As `status` and the API give it."""
        return {
            "shared": str(self.shared),
            "address": self.address,
            "study_instance_uid": self.study_uid,
            "sentence": self.sentence,
        }


class Part(NamedTuple):
    """Another series that came under a series' UID.

    Attributes:
        instances: how many it has.
        copied: how many of them have the SOP Instance UIDs of the series' own.
    """

    address: str
    study_uid: str
    instances: int
    copied: int


def addressed(address: str) -> ColumnElement[bool]:
    """The rows of a UID, or the one of an address such as `1.2.3~1`."""
    uid, mark, part = address.partition("~")
    if not mark:
        return SeriesRow.uid == uid
    known = part.isdecimal() and len(part) < 9
    return and_(SeriesRow.uid == uid, SeriesRow.part == (int(part) if known else -1))


def flag(connection: Connection, pairs: Iterable[Pair], at: float) -> None:
    """Keep that series share something, with each of them and in its history, once."""
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


class Namesakes:
    """Reads which series share UIDs."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def of(self, series: Sequence[int]) -> dict[int, list[Namesake]]:
        """Those of some series, by their rows; a few hundred at once."""
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
        """The other series that came under a series' UID."""
        mine, theirs = aliased(InstanceRow), aliased(InstanceRow)
        copied = (
            select(func.count())
            .select_from(mine)
            .join(theirs, theirs.uid == mine.uid)
            .where(mine.series_pk == series.pk, theirs.series_pk == SeriesRow.id)
            .scalar_subquery()
        )
        query = (
            select(SeriesRow.part, StudyRow.uid, SeriesRow.instances, copied)
            .join(StudyRow, StudyRow.id == SeriesRow.study_pk)
            .where(SeriesRow.uid == series.uid, SeriesRow.id != series.pk)
            .order_by(SeriesRow.part)
        )
        with self._index.reading() as connection:
            return [
                Part(address_of(series.uid, part), study, instances, shared)
                for part, study, instances, shared in connection.execute(query)
            ]

    def beside(self, uid: str, series: SeriesRecord) -> str | None:
        """The address of the series of a UID that a series means; None if it is not sure which.

        One of its own study, and none of a study of this UID that is another patient's.
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
