"""C-FIND, C-MOVE and C-GET: queries of which the rows are streamed."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select

from node.dicom.matching.query import Query, Retrieve
from node.storage.index.engine import Index
from node.storage.index.schema import InstanceRow, PatientRow, SeriesRow, StudyRow
from node.storage.index.search import where
from node.storage.index.search.query_plan import UNIQUE, Plan

_BATCH = 200  # rows that are fetched from the database at once
_CHECK = 256  # rows between two checks for a cancel


@dataclass(frozen=True, slots=True)
class Sendable:
    """An instance that can be sent: its archive file and its encoding."""

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: str
    size: int
    sha256: str
    data_set_offset: int
    crc32: int | None = None


def sendable_columns() -> tuple[Any, ...]:
    """The columns of a `Sendable`, in the order of its fields."""
    return (
        InstanceRow.uid,
        InstanceRow.sop_class_uid,
        InstanceRow.transfer_syntax_uid,
        InstanceRow.path,
        InstanceRow.size,
        InstanceRow.sha256,
        InstanceRow.data_set_offset,
        InstanceRow.crc32,
    )


class Search:
    """Answers C-FIND, and finds what C-MOVE and C-GET send. Safe for many threads."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def find(
        self, query: Query, stop: Callable[[], bool] = lambda: False
    ) -> Generator[dict[str, Any]]:
        """Every match, as keyword to value, in no particular order.

        Args:
            query: the identifier of a C-FIND.
            stop: returns whether to stop; called now and then while rows do not match.

        Raises:
            IndexUnavailable: the database does not answer.
        """
        plan = Plan(query, sqlite=self._index.is_sqlite)
        with self._index.reading() as connection:
            streaming = connection.execution_options(stream_results=True, max_row_buffer=_BATCH)
            with closing(streaming.execute(plan.statement)) as result:
                for number, row in enumerate(result):
                    record = plan.record(row)
                    if plan.holds(record):
                        yield record
                    elif number % _CHECK == 0 and stop():
                        return

    def select(self, retrieve: Retrieve) -> Sequence[int]:
        """The rows of all instances of a retrieval, by series and InstanceNumber."""
        statement = self._retrieved(retrieve, InstanceRow.id).order_by(
            InstanceRow.series_pk, InstanceRow.number, InstanceRow.id
        )
        with self._index.reading() as connection:
            return array("q", connection.scalars(statement))

    def kinds(self, retrieve: Retrieve) -> list[tuple[str, str]]:
        """SOP classes and transfer syntaxes of a retrieval, each pair once."""
        statement = self._retrieved(
            retrieve, InstanceRow.sop_class_uid, InstanceRow.transfer_syntax_uid
        ).distinct()
        with self._index.reading() as connection:
            return sorted((row[0], row[1]) for row in connection.execute(statement))

    def _retrieved(self, retrieve: Retrieve, *columns: Any) -> Select[Any]:
        statement = (
            select(*columns)
            .join(SeriesRow, SeriesRow.id == InstanceRow.series_pk)
            .join(StudyRow, StudyRow.id == SeriesRow.study_pk)
            .join(PatientRow, PatientRow.id == StudyRow.patient_pk)
        )
        for level, uids in retrieve.uids:
            statement = statement.where(
                where.one_of(UNIQUE[level], uids, sqlite=self._index.is_sqlite)
            )
        return statement

    def sendable(self, rows: Sequence[int]) -> list[Sendable]:
        """The instances of these rows, in the same order."""
        key: Any = InstanceRow.id
        statement = select(key, *sendable_columns()).where(
            where.one_of(key, list(rows), sqlite=self._index.is_sqlite)
        )
        with self._index.reading() as connection:
            found = {row[0]: Sendable(*row[1:]) for row in connection.execute(statement)}
        return [found[row] for row in rows if row in found]
