"""What the node asks again and again never reads a table from end to end, on either database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from sqlalchemy import event, text

from node.completion.facts import Source, Statement
from node.core.records import AssociationEnd, SeriesState
from node.storage.index.engine import Index
from node.storage.index.peers.announced import Announced, StepState
from node.storage.index.peers.commitments import Commitments
from node.storage.index.peers.outbox import Outbox
from node.storage.index.peers.statements import Statements
from node.storage.index.search.latest import Latest
from node.storage.index.search.listing import Listing
from node.storage.index.search.selection import Selection
from node.storage.index.series.expiry import Expendable, Expiry, Place
from node.storage.index.series.obsolete_evidence import ObsoleteEvidence
from node.storage.index.series.recorded_arrivals import Recordings
from node.storage.index.series.work import Work
from node.storage.index.store import Store
from tests.unit.storage.index.test_work import record

SMALL = ("total", "commitment", "conflict", "timing")
"""Tables that do not grow with the archive, or are empty here."""
PARTIAL = ("ix_series_due", "ix_series_settled_since")
"""Indexes of what is under way alone."""


class Plan(NamedTuple):
    """A statement, and how the database goes about it."""

    statement: str
    steps: list[str]


def retention_removes(index: Index) -> None:
    series = Work(index).series("1.8.5")
    assert series is not None
    Expiry(index).remove(Expendable(series.pk, series.uid, series.change, 0))


def newest(selection: Selection) -> Callable[[Index], Any]:
    return lambda index: list(Listing(index).series(selection))


ASKED: dict[str, Callable[[Index], Any]] = {
    "due": lambda index: Work(index).due(5.0),
    "next due": lambda index: Work(index).next_due(),
    "settled": lambda index: Work(index).settled(5.0, 10),
    "in assembly": lambda index: Work(index).in_state(SeriesState.ASSEMBLING),
    "retention's size": lambda index: Expiry(index).size(),
    "retention's search": lambda index: Expiry(index).expendable(5.0, 20, Place(1.0, 1)),
    "retention's removal": retention_removes,
    "retention's sweep": lambda index: ObsoleteEvidence(index).sweep(5.0),
    "totals": lambda index: Listing(index).totals(),
    "deliveries by state": lambda index: Outbox(index).counts(),
    "the page": lambda index: Latest(index).series(50),
    "the next page": lambda index: Latest(index).series(50, before=3),
    "the page by state": lambda index: Latest(index).series(
        50, states=[SeriesState.FAILED, SeriesState.HELD]
    ),
    "waiting since": lambda index: Latest(index).waiting_since(),
    "last arrival": lambda index: Latest(index).last_arrival(),
    "status": newest(Selection(limit=50)),
    "status by state": newest(Selection((SeriesState.READY, SeriesState.HELD), limit=50)),
    "status of a study": newest(Selection(study="1.9", limit=50)),
    "status since": newest(Selection(since=1.0, limit=50)),
    "last words": lambda index: Listing(index).last_words([1, 2, 3]),
    "newest instances": lambda index: list(Listing(index).instances(Selection(limit=5))),
    "instances of a study": lambda index: list(Listing(index).instances(Selection(study="1.9"))),
    "lost associations": lambda index: Store(index).end_lost_associations("next run", 9.0),
    "an association's end": lambda index: Store(index).end_association(
        1, AssociationEnd.RELEASED, 9.0
    ),
    "senders": lambda index: Recordings(index).senders(),
    "a sender's series": lambda index: Recordings(index).series("CT1", limit=3),
    "the latest series": lambda index: Recordings(index).series(limit=3),
    "commitments": lambda index: Commitments(index).next_due(),
}


def fill(index: Index) -> None:
    """Series in several states, and everything that is kept beside them."""
    store, work, said = Store(index), Work(index), Statements(index)
    for number in range(1, 8):
        association = store.open_association(f"CT{number % 2}", "N", "", number, "first run")
        store.add([(record(1, series=number, at=float(number)), association)])
        said.add(f"1.8.{number}", Statement(Source.MPPS, "MR", 1.0), f"1.7.{number}")
        Announced(index).create_step(
            f"1.6.{number}", "MR", StepState.COMPLETED, {"1.8.9": [f"1.5.{number}"]}, 1.0
        )
        series = work.series(f"1.8.{number}")
        assert series is not None
        if number < 6:
            state = SeriesState.SETTLED if number < 5 else SeriesState.READY
            work.move(series, state, now=2.0, actor="a")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Index]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('index') / 'index.db'}"
    else:
        url = request.getfixturevalue("server")
    index = Index(url)
    index.recreate()
    fill(index)
    if not index.is_sqlite:  # as after years: the planner must not take the tables for small
        with index.writing() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            for statement in MANY:
                connection.execute(text(statement))
        with index.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as plain:
            plain.execute(text("VACUUM ANALYZE"))
    yield index
    index.close()


MANY = (
    "INSERT INTO patient (id, patient_id, issuer, name, name_key, name_alphabetic,"
    " name_ideographic, name_phonetic, birth_date, sex, attributes, studies, series, instances)"
    " SELECT n, 'x' || n, '', '', '', '', '', '', '', '', '{}', 1, 1, 1"
    " FROM generate_series(100, 20000) n",
    "INSERT INTO study (id, uid, patient_pk, date, time, accession, study_id, description,"
    " referring, referring_key, modalities, sop_classes, attributes, series, instances)"
    " SELECT n, '3.' || n, n, '', '', '', '', '', '', '', '', '', '{}', 1, 1"
    " FROM generate_series(100, 20000) n",
    "INSERT INTO series (id, uid, study_pk, modality, description, body_part, date, time,"
    " attributes, instances, state, state_since, change, revision, first_arrival, last_arrival,"
    " owner) SELECT n, '4.' || n, n, '', '', '', '', '', '{}', 1, 'ready', n, 1, 1, n, n, ''"
    " FROM generate_series(100, 20000) n",
    "INSERT INTO instance (id, uid, series_pk, sop_class_uid, transfer_syntax_uid, attributes,"
    " path, size, sha256, data_set_offset, received_at, association_pk)"
    " SELECT n, '5.' || n, n, '', '', '{}', '', 1, '', 1, n, n FROM generate_series(100, 20000) n",
    "INSERT INTO instance_header (instance_pk, header)"
    " SELECT n, '' FROM generate_series(100, 20000) n",
    'INSERT INTO association (id, calling_ae, called_ae, address, opened_at, ended_at, "end",'
    " process) SELECT n, 'CT' || n % 2, '', '', n, n, 'released', ''"
    " FROM generate_series(100, 20000) n",
    "INSERT INTO arrival (series_pk, association_pk, first_at, last_at, instances)"
    " SELECT n, n, n, n, 1 FROM generate_series(100, 20000) n",
    "INSERT INTO series_event (id, series_pk, at, actor, from_state, to_state, revision, detail)"
    " SELECT n, n, n, 'a', 'settled', 'ready', 1, '{}' FROM generate_series(100, 20000) n",
    "INSERT INTO delivery (id, key, series_pk, target, event, revision, payload, state, attempts,"
    " created_at, error) SELECT n, 'k' || n, n, 'hook', 'ready', 1, '{}', 'delivered', 1, n, ''"
    " FROM generate_series(100, 20000) n",
    "INSERT INTO statement (series_uid, source, reference, peer, at, final)"
    " SELECT '4.' || n, 'mpps', '6.' || n, 'p', n, true FROM generate_series(100, 20000) n",
    "INSERT INTO study_statement (study_uid, source, reference, peer, at, final, whole, series)"
    " SELECT '3.' || n, 'mpps', '6.' || n, 'p', n, true, true, '[]'"
    " FROM generate_series(100, 20000) n",
    "INSERT INTO procedure_step (uid, peer, state, created_at, updated_at, series)"
    " SELECT '6.' || n, 'p', 'COMPLETED', n, n, '{}' FROM generate_series(100, 20000) n",
)


@pytest.mark.parametrize("question", ASKED)
def test_no_table_is_read_from_end_to_end(filled: Index, question: str) -> None:
    with explained(filled) as plans:
        ASKED[question](filled)
    assert plans, "nothing was asked"
    whole = [plan for plan in plans if reads_a_table(plan)]
    assert not whole, whole


@contextmanager
def explained(index: Index) -> Iterator[list[Plan]]:
    """The plan of every statement that is executed."""
    plans: list[Plan] = []

    def explain(connection: Any, cursor: Any, statement: str, given: Any, *rest: Any) -> None:
        if not statement.startswith(("SELECT", "UPDATE", "DELETE")) or rest[-1]:
            return
        how = "EXPLAIN QUERY PLAN " if index.is_sqlite else "EXPLAIN "
        plain = cursor.connection.cursor()  # the given one may be the server's, for one statement
        plain.execute(how + statement, given)
        plans.append(Plan(statement, [str(row[-1]).strip() for row in plain.fetchall()]))
        plain.close()

    event.listen(index.engine, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        event.remove(index.engine, "before_cursor_execute", explain)


def reads_a_table(plan: Plan) -> bool:
    """Whether a statement reads more the more there is in the archive."""
    if any("Seq Scan on" in step for step in plan.steps):  # PostgreSQL's words
        return not all(
            any(f"Seq Scan on {table} " in step for table in SMALL)
            for step in plan.steps
            if "Seq Scan on" in step
        )
    limited = "LIMIT" in plan.statement
    in_order = limited and "WHERE" not in plan.statement
    sorts = any(step.startswith("USE TEMP B-TREE FOR ORDER BY") for step in plan.steps)
    by_key = "INTEGER PRIMARY KEY" in plan.steps[0]
    scans = [step for step in plan.steps if step.startswith("SCAN")]
    few = (*SMALL, "CONSTANT ROW", "(subquery", "json_each")
    large = [
        step
        for step in scans
        if not any(step.startswith(f"SCAN {one}") for one in few)
        and not any(index in step for index in PARTIAL)
    ]
    return bool(large and (sorts or not in_order)) or (limited and sorts and not by_key)
