"""Performed procedure steps (MPPS) and instance availability notices, as evidence.

The SOP Instance UIDs that they list become statements on each series, with the peer, the time, and
whether more may follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from sqlalchemy import insert, select, update

from node.completion.facts import Source, Statement
from node.completion.study_decision import StudyStatement
from node.core.errors import Permanent
from node.storage.index.engine import Index
from node.storage.index.peers.statements import Statements
from node.storage.index.schema import ProcedureStepRow
from node.storage.index.studies.statements import StudyStatements

Listed = Mapping[str, Sequence[str]]
"""Series Instance UID -> SOP Instance UIDs."""


class StepState(StrEnum):
    """Performed Procedure Step Status (0040,0252)."""

    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"


class StepExists(Permanent):
    """A procedure step with that SOP Instance UID is known already."""


class StepUnknown(Permanent):
    """No procedure step with that SOP Instance UID is known."""


class StepEnded(Permanent):
    """The procedure step was completed or discontinued: it may not change any more."""


class Announced:
    """Keeps announcements, and adds a statement to every series that they name."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._statements = Statements(index)
        self._study_statements = StudyStatements(index)

    def create_step(
        self,
        uid: str,
        peer: str,
        state: StepState,
        series: Listed,
        now: float,
        studies: Sequence[str] = (),
    ) -> None:
        """Add a procedure step (N-CREATE).

        Args:
            uid: its SOP Instance UID.
            peer: AE title of the sender.
            state: its state.
            series: the instances that it lists.
            now: seconds since 1970.
            studies: the Study Instance UIDs that it is for.

        Raises:
            StepExists: there is one with this UID.
        """
        row = ProcedureStepRow
        with self._index.writing() as connection:
            if connection.scalar(select(row.uid).where(row.uid == uid)) is not None:
                raise StepExists("a procedure step with this UID is known already")
            connection.execute(
                insert(row).values(
                    uid=uid,
                    peer=peer,
                    state=state,
                    studies=list(studies),
                    created_at=now,
                    updated_at=now,
                    series={key: list(value) for key, value in series.items()},
                )
            )
        self._state_step(uid, peer, state, series, now, studies)

    def update_step(
        self, uid: str, state: StepState | None, series: Listed | None, now: float
    ) -> StepState:
        """Change a procedure step (N-SET).

        Args:
            uid: its SOP Instance UID.
            state: its new state; None: unchanged.
            series: the instances that it lists; None: unchanged.
            now: seconds since 1970.

        Returns:
            Its state now.

        Raises:
            StepUnknown: there is none with this UID.
            StepEnded: it has ended.
        """
        row = ProcedureStepRow
        with self._index.writing() as connection:
            found = connection.execute(select(row).where(row.uid == uid)).first()
            if found is None:
                raise StepUnknown("no procedure step with this UID is known")
            if found.state != StepState.IN_PROGRESS:
                raise StepEnded("the procedure step has ended")
            now_state = StepState(found.state) if state is None else state
            listed = found.series if series is None else series
            connection.execute(
                update(row)
                .where(row.uid == uid)
                .values(
                    state=now_state,
                    updated_at=now,
                    series={key: list(value) for key, value in listed.items()},
                )
            )
        self._state_step(uid, found.peer, now_state, listed, now, found.studies or ())
        return now_state

    def step(self, uid: str) -> tuple[StepState, dict[str, list[str]]] | None:
        """A procedure step's state and lists; None if it is unknown."""
        row = ProcedureStepRow
        with self._index.reading() as connection:
            found = connection.execute(select(row.state, row.series).where(row.uid == uid)).first()
        return None if found is None else (StepState(found.state), found.series)

    def available(self, uid: str, peer: str, series: Listed, now: float, study: str = "") -> None:
        """Add the statements of an instance availability notice (PS3.4 R.3).

        Args:
            uid: SOP Instance UID of the notice.
            peer: AE title of the sender.
            series: the instances that it lists.
            now: seconds since 1970.
            study: its Study Instance UID.
        """
        if study and series:
            listed = StudyStatement(
                Source.INSTANCE_AVAILABILITY, peer, now, series=frozenset(series)
            )
            self._study_statements.add(study, listed, uid)
        for series_uid, instances in series.items():
            if instances:
                statement = Statement(
                    Source.INSTANCE_AVAILABILITY, peer, now, uids=frozenset(instances)
                )
                self._statements.add(series_uid, statement, uid)

    def _state_step(
        self,
        uid: str,
        peer: str,
        state: StepState,
        series: Listed,
        now: float,
        studies: Sequence[str],
    ) -> None:
        # A step for several studies does not say which of its series belongs to which.
        known = frozenset(series) if len(studies) == 1 else frozenset()
        final = state is not StepState.IN_PROGRESS
        for study in studies:
            of_study = StudyStatement(Source.MPPS, peer, now, final=final, series=known)
            self._study_statements.add(study, of_study, uid)
        for series_uid, instances in series.items():
            statement = Statement(
                Source.MPPS,
                peer,
                now,
                final=final,
                uids=frozenset(instances) if instances else None,
            )
            self._statements.add(series_uid, statement, uid)
