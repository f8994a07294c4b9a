"""An index of the first version becomes one of this version, with what it held."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import inspect, text

from node.index import engine
from node.index.engine import Index
from node.index.listing import Listing
from node.index.outbox import Outbox
from node.index.publications import Publications
from node.index.schema import Base
from node.index.work import Work
from node.records import SeriesState


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
