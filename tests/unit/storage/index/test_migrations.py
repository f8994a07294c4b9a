"""An index of the first version becomes one of this version, with what it held."""

from __future__ import annotations

from pathlib import Path

import msgspec
from alembic import command
from alembic.config import Config
from sqlalchemy import UniqueConstraint, inspect, text

from node.core.records import SeriesState, Stored
from node.storage.index import engine
from node.storage.index.engine import Index
from node.storage.index.peers.outbox import Outbox
from node.storage.index.schema import Base
from node.storage.index.search.listing import Listing
from node.storage.index.series.publications import Publications
from node.storage.index.series.work import Work
from node.storage.index.store import Store
from tests.unit.storage.index.test_store import record


def at_version(url: str, version: str) -> Index:
    index = Index(url)
    config = Config()
    config.set_main_option("script_location", str(engine._MIGRATIONS))
    with index.engine.connect().execution_options(**{engine._WRITES: True}) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        connection.commit()
    return index


FIRST = (
    "INSERT INTO patient VALUES (1, 'P', '', 'A^B', 'a^b', '', '', '{}', 1, 1, 1)",
    "INSERT INTO study VALUES (1, '1.4', 1, '', '', '', '', '', '', '', 'MR', '', '{}', 1, 1)",
    "INSERT INTO series (id, uid, study_pk, modality, description, body_part, date, time,"
    " attributes, instances, state, state_since, change, revision, first_arrival, last_arrival,"
    " owner) VALUES (1, '1.5', 1, 'MR', '', '', '', '', '{}', 1, 'ready', 1.0, 5, 1, 1.0, 1.0, '')",
)


def test_from_the_first_version_on(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'index.db'}"
    old = at_version(url, "0001")
    with old.writing() as connection:
        for statement in FIRST:
            connection.execute(text(statement))
    old.close()

    index = Index(url)
    index.migrate()
    work = Work(index)
    series = work.series("1.5")
    assert series is not None
    assert (series.state, series.revision) == (SeriesState.READY, 1)
    assert work.background(series.pk).held_by == ""
    assert Publications(index).all(series.pk) == []
    assert Outbox(index).counts() == {}
    totals = Listing(index).totals()
    assert (totals["patients"], totals["studies"], totals["series_ready"]) == (1, 1, 1)
    assert (totals["series"], totals["instances"], totals["bytes"]) == (1, 0, 0)
    tables = inspect(index.engine)
    for table in Base.metadata.sorted_tables:
        found = {column["name"] for column in tables.get_columns(table.name)}
        assert found == {column.name for column in table.columns}, table.name
        indexes = {made["name"]: made["column_names"] for made in tables.get_indexes(table.name)}
        assert indexes == {
            made.name: [column.name for column in made.columns] for made in table.indexes
        }, table.name
    index.close()


HELD = (
    "INSERT INTO patient (id, patient_id, issuer, name, name_key, birth_date, sex, attributes,"
    " studies, series, instances, name_alphabetic, name_ideographic, name_phonetic)"
    " VALUES (1, 'P', '', 'A^B', 'a^b', '', '', '{}', 1, 1, 1, 'a^b', '', '')",
    "INSERT INTO study (id, uid, patient_pk, date, time, accession, study_id, description,"
    " referring, referring_key, modalities, sop_classes, attributes, series, instances)"
    " VALUES (1, '1.4', 1, '', '', '', '', '', '', '', 'MR', '', '{}', 1, 1)",
    "INSERT INTO study_modality (modality, study_pk) VALUES ('MR', 1)",
    FIRST[2],
    "INSERT INTO series_event (series_pk, at, actor, from_state, to_state, revision, detail)"
    " VALUES (1, 1.0, 'a', 'receiving', 'ready', 1, '{}')",
    "INSERT INTO instance (id, uid, series_pk, sop_class_uid, transfer_syntax_uid, attributes,"
    " path, size, sha256, data_set_offset, received_at)"
    " VALUES (7, '1.6', 1, '1.2', '1.3', '{}', 'x', 5, 's', 3, 1.0)",
    "INSERT INTO instance_header (instance_pk, header) VALUES (7, 'h')",
    "INSERT INTO output (stem, series_pk) VALUES ('d/T1', 1)",
)


def test_what_an_index_of_the_version_before_holds_stays_and_copies_come(index: Index) -> None:
    """On both databases; on SQLite tables are copied that others refer to."""
    turned(index, "downgrade", "0008")
    with index.writing() as connection:
        for statement in HELD:
            connection.execute(text(statement))
        for table in () if index.is_sqlite else ("patient", "study", "series", "instance"):
            number = f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), 100)"
            connection.execute(text(number))
    index.migrate()
    with index.reading() as connection:
        kept = connection.execute(
            text(
                "SELECT series.uid, part, instance.uid, length(header), folded FROM instance"
                " JOIN instance_header ON instance_pk = instance.id"
                " JOIN series ON series.id = instance.series_pk"
                " JOIN output ON output.series_pk = series.id"
            )
        ).one()
        assert tuple(kept) == ("1.5", 0, "1.6", 1, "d/t1")
        if index.is_sqlite:
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
            assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
    tables = inspect(index.engine)
    for table in Base.metadata.sorted_tables:
        keys = {
            one["name"]: one["column_names"] for one in tables.get_unique_constraints(table.name)
        }
        assert keys == {
            str(one.name): [column.name for column in one.columns]
            for one in table.constraints
            if isinstance(one, UniqueConstraint)
        }, table.name
    partial = {one["name"] for one in tables.get_indexes("series") if one["dialect_options"]}
    assert {"ix_series_due", "ix_series_settled_since"} <= partial

    known, strange = (
        msgspec.structs.replace(
            record(1),
            sop_instance_uid="1.6",
            series_instance_uid="1.5",
            study_instance_uid="1.4",
            sha256=sha256,
            attributes={"PatientID": patient},
        )
        for patient, sha256 in (("P", "s"), ("Q", "q"))
    )
    store = Store(index)
    assert store.add([(known, None), (strange, None)]) == [Stored.SAME, Stored.NEW]
    assert [one.address for one in Work(index).in_state()] == ["1.5", "1.5~1"]


def turned(index: Index, direction: str, version: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(engine._MIGRATIONS))
    with index._maintenance() as plain, engine._unchecked(plain):
        connection = plain.execution_options(**{engine._WRITES: True})
        config.attributes["connection"] = connection
        getattr(command, direction)(config, version)
        connection.commit()
