"""Peers' statements of which series a study has."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from node.completion.facts import Source
from node.completion.study_decision import StudyStatement
from node.storage.index.engine import Index
from node.storage.index.schema import StudyRow, StudyStatementRow


class StudyStatements:
    """Keeps statements by the study's UID, as they may be received before its first instance."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def add(self, study_uid: str, statement: StudyStatement, reference: str) -> None:
        """Add a statement; it replaces an earlier one of the same source and reference.

        Args:
            study_uid: the study.
            statement: the statement; the watcher looks at the study at once. One that is not of
                the whole study adds to the earlier one.
            reference: identifies it among those of its source: the UID of the MPPS or notice, or
                the peer's name.
        """
        row = StudyStatementRow
        same = (
            row.study_uid == study_uid,
            row.source == statement.source,
            row.reference == reference,
        )
        with self._index.writing() as connection:
            if not statement.whole:
                # What was asked for before is still known to belong to the study.
                before = connection.execute(select(row.series, row.whole).where(*same)).first()
                series = statement.series | frozenset(before.series if before else ())
                whole = bool(before and before.whole and statement.series <= set(before.series))
                statement = replace(statement, series=series, whole=whole)
            connection.execute(delete(row).where(*same))
            connection.execute(
                insert(row).values(
                    study_uid=study_uid,
                    source=statement.source,
                    reference=reference,
                    peer=statement.by,
                    at=statement.at,
                    final=statement.final,
                    whole=statement.whole,
                    series=sorted(statement.series),
                )
            )
            connection.execute(
                update(StudyRow).where(StudyRow.uid == study_uid).values(due=statement.at)
            )


_STATEMENTS: Final = (
    select(StudyStatementRow)
    .where(StudyStatementRow.study_uid == bindparam("uid"))
    .order_by(StudyStatementRow.at, StudyStatementRow.reference)
)


def statements_of(connection: Connection, study_uid: str) -> tuple[StudyStatement, ...]:
    """Every statement on a study, oldest first.

    Args:
        connection: of the index.
        study_uid: the study.
    """
    return tuple(
        StudyStatement(
            source=Source(found.source),
            by=found.peer,
            at=found.at,
            final=found.final,
            whole=found.whole,
            series=frozenset(found.series),
        )
        for found in connection.execute(_STATEMENTS, {"uid": study_uid})
    )
