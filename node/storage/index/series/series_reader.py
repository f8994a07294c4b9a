"""Reads one series: its arrivals, its instances and its history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace
from sqlalchemy import Select, select

from node.core.records import Arrival, AssociationEnd, StoredInstance
from node.storage.index.engine import Index
from node.storage.index.schema import (
    HeaderRow,
    InstanceRow,
    PullItemRow,
    PullJobRow,
    PullStudyRow,
    SeriesEventRow,
    SeriesRow,
    StudyRow,
)
from node.storage.index.series.series_queries import (
    ARRIVALS,
    ATTRIBUTES,
    BACKGROUND,
    HEADERS,
    INSTANCES,
    STEMS,
    stored_columns,
)

_CUT = (AssociationEnd.ABORTED, AssociationEnd.LOST)


class Background(NamedTuple):
    """What a decision needs of the history of a series.

    Attributes:
        assembled: how many assemblies of it have ended.
        held_by: the person who holds it; empty: none.
        given_up: whether the wait for its gaps has ended in vain since the last assembly.
    """

    assembled: int
    held_by: str
    given_up: bool = False


class InstanceHeader(NamedTuple):
    """An instance and its header.

    Attributes:
        pk: its row.
        uid: its SOP Instance UID.
        number: its InstanceNumber.
        header: encoded by `node.assemble.frames.headers`.
    """

    pk: int
    uid: str
    number: int | None
    header: bytes


class SeriesReader:
    """Reads single series, by their rows."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def arrivals(self, series_pk: int) -> list[Arrival]:
        """What was received of the series by each association, in order of the first instance."""
        with self._index.reading() as connection:
            rows = connection.execute(ARRIVALS, {"pk": series_pk}).all()
            cut = [row.id for row in rows if row.end in _CUT]
            left = set(connection.scalars(_last_received_by(series_pk, cut))) if cut else set()
        return [
            Arrival(
                calling_ae=row.calling_ae,
                address=row.address,
                end=AssociationEnd(row.end),
                ended_at=row.ended_at,
                first_at=row.first_at,
                last_at=row.last_at,
                instances=row.instances,
                repeated=row.end in _CUT and row.id not in left,
                called_ae=row.called_ae,
            )
            for row in rows
        ]

    def background(self, series_pk: int) -> Background:
        """What a decision needs of the history of the series."""
        with self._index.reading() as connection:
            found = connection.execute(BACKGROUND, {"pk": series_pk}).one()
        return Background(found[0], found[1] or "", (found[3] or 0) > (found[2] or 0))

    def headers(self, series_pk: int, after: int = 0) -> list[InstanceHeader]:
        """The headers of the series' instances in the order in which they were received.

        Args:
            series_pk: the row of the series.
            after: only instances whose row comes after this one.
        """
        asked = {"pk": series_pk, "after": after}
        with self._index.reading() as connection:
            return [InstanceHeader(*row) for row in connection.execute(HEADERS, asked)]

    def arrived(
        self, series_pk: int, *, after: int, limit: int
    ) -> tuple[int, list[StoredInstance]]:
        """Instances of the series in the order in which they were received, without conflicts.

        Args:
            series_pk: the row of the series.
            after: only instances whose row comes after this one.
            limit: of their number.

        Returns:
            The row of the last of them, `after` if there is none, and the instances.
        """
        query = (
            select(InstanceRow.id, *stored_columns(InstanceRow, HeaderRow.header))
            .join(HeaderRow, HeaderRow.instance_pk == InstanceRow.id)
            .where(InstanceRow.series_pk == series_pk, InstanceRow.id > after)
            .order_by(InstanceRow.id)
            .limit(limit)
        )
        with self._index.reading() as connection:
            rows = connection.execute(query).all()
        return (rows[-1][0] if rows else after), [StoredInstance(*row[1:]) for row in rows]

    def attributes(self, series_pk: int) -> dict[str, Any]:
        """The attributes of the series, its study and its patient: keyword to value."""
        with self._index.reading() as connection:
            patient, study, series = connection.execute(ATTRIBUTES, {"pk": series_pk}).one()
        return {**patient, **study, **series}

    def attributes_of_study(self, series_pk: int) -> list[dict[str, Any]]:
        """The attributes of every series of a series' study, with those of the study."""
        study = select(SeriesRow.study_pk).where(SeriesRow.id == series_pk).scalar_subquery()
        query = (
            select(StudyRow.attributes, SeriesRow.attributes)
            .join(StudyRow, StudyRow.id == SeriesRow.study_pk)
            .where(SeriesRow.study_pk == study)
            .order_by(SeriesRow.id)
        )
        with self._index.reading() as connection:
            return [{**whole, **series} for whole, series in connection.execute(query)]

    def instances(self, series_pk: int, *, whole_run: bool = True) -> list[StoredInstance]:
        """Everything that assembly needs of the series' instances, conflicts included.

        Args:
            series_pk: the row of the series.
            whole_run: with the instances of the other series of the run that it stands for.
        """
        first, others = INSTANCES[whole_run]
        asked = {"pk": series_pk}
        with self._index.reading() as connection:
            return [
                *(StoredInstance(*row) for row in connection.execute(first, asked)),
                *(
                    replace(StoredInstance(*row), conflict=True)
                    for row in connection.execute(others, asked)
                ),
            ]

    def image_types(self, series_pk: int) -> list[str]:
        """Every value of ImageType that an instance of the series has, each once."""
        stated = InstanceRow.attributes["ImageType"].as_string()
        query = select(stated).where(InstanceRow.series_pk == series_pk).distinct()
        with self._index.reading() as connection:
            found = [text for text in connection.scalars(query) if text]
        values = [
            value
            for text in found
            for value in (json.loads(text) if text.startswith("[") else [text])
        ]
        return sorted(set(values))

    def pull_jobs(self, study_uid: str, series_uid: str) -> list[tuple[str, str]]:
        """The jobs that asked a peer for a series: name of the job and of the peer, oldest first.

        Args:
            study_uid: its study.
            series_uid: the series.
        """
        row = PullStudyRow
        query = (
            select(PullJobRow.name, PullJobRow.peer, row.series)
            .join(PullItemRow, PullItemRow.job_pk == PullJobRow.id)
            .join(row, row.item_pk == PullItemRow.id)
            .where(row.uid == study_uid)
            .order_by(PullJobRow.id)
        )
        with self._index.reading() as connection:
            found = connection.execute(query).all()
        return [
            (name, peer)
            for name, peer, series in found
            if any(one.get("series_instance_uid") == series_uid for one in series)
        ]

    def instance(self, series_pk: int, uid: str) -> StoredInstance | None:
        """One instance of the series, not a conflicting one; None: it has none of this UID.

        Args:
            series_pk: the row of the series.
            uid: SOP Instance UID.
        """
        query = (
            select(*stored_columns(InstanceRow, HeaderRow.header))
            .join(HeaderRow, HeaderRow.instance_pk == InstanceRow.id)
            .where(InstanceRow.uid == uid, InstanceRow.series_pk == series_pk)
        )
        with self._index.reading() as connection:
            row = connection.execute(query).first()
        return StoredInstance(*row) if row else None

    def history(self, series_pk: int) -> list[dict[str, Any]]:
        """Every transition of the series, oldest first."""
        query = (
            select(SeriesEventRow)
            .where(SeriesEventRow.series_pk == series_pk)
            .order_by(SeriesEventRow.id)
        )
        with self._index.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return [{key: row[key] for key in row if key not in {"id", "series_pk"}} for row in rows]

    def numbers_of_study(self, series_pk: int) -> set[int]:
        """The Series Numbers of all series of a series' study."""
        study = select(SeriesRow.study_pk).where(SeriesRow.id == series_pk).scalar_subquery()
        query = select(SeriesRow.number).where(
            SeriesRow.study_pk == study, SeriesRow.number.is_not(None)
        )
        with self._index.reading() as connection:
            return {number for number in connection.scalars(query) if number is not None}

    def stems(self, series_pk: int) -> list[str]:
        """Every output name that was ever reserved for the series."""
        with self._index.reading() as connection:
            return list(connection.scalars(STEMS, {"pk": series_pk}))


def _last_received_by(series_pk: int, associations: Sequence[int]) -> Select[Any]:
    """Those associations by which an instance of a series was last received."""
    return (
        select(InstanceRow.association_pk)
        .where(InstanceRow.series_pk == series_pk, InstanceRow.association_pk.in_(associations))
        .distinct()
    )
