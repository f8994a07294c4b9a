"""Where SQLite begins to search: at an index that leaves few rows, whatever else is asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from node.dicom.matching import Negotiated, Query
from node.storage.index.engine import Index
from node.storage.index.search.query_plan import Plan
from tests.unit.dicom.matching.identifiers import query

RANGE = {"StudyDate": "20150101-20241231"}
BELOW = {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.3"}
RELATIONAL = Negotiated(relational=True)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    index = Index(f"sqlite:///{tmp_path_factory.mktemp('index') / 'index.db'}")
    index.migrate()
    yield index
    index.close()


def searched(index: Index, asked: Query) -> list[str]:
    statement = Plan(asked, sqlite=True).statement
    with index.reading() as connection:
        compiled = statement.compile(connection, compile_kwargs={"literal_binds": True})
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}").all()
    return [str(row[3]) for row in rows]


@pytest.mark.parametrize(
    ("asked", "begins"),
    [
        (query("STUDY", StudyInstanceUID="1.2"), "study USING INDEX sqlite_autoindex_study"),
        (
            query("STUDY", PatientID="P1", **RANGE),
            "patient USING INDEX ix_patient_patient_id_issuer_name_key",
        ),
        (query("STUDY", PatientName="DOE^J*", **RANGE), "patient USING INDEX ix_patient_name_al"),
        (query("STUDY", PatientName="Doe", **RANGE), "patient USING INDEX ix_patient_name_al"),
        (query("STUDY", AccessionNumber="A1", **RANGE), "study USING INDEX ix_study_accession"),
        (query("STUDY", StudyID="1", **RANGE), "study USING INDEX ix_study_study_id"),
        (query("STUDY", **RANGE), "study USING INDEX ix_study_date_time"),
        (
            query("STUDY", StudyDate="20200101", PatientName="D*"),
            "study USING INDEX ix_study_date_time",
        ),
        (
            query("STUDY", StudyDate="20200101", ModalitiesInStudy="CT"),
            "study USING INDEX ix_study_date_time",
        ),
        (
            query("STUDY", ModalitiesInStudy="CT"),
            "study_modality USING INDEX sqlite_autoindex_study_modality",
        ),
        (
            query("SERIES", StudyInstanceUID="1.2", SeriesInstanceUID=""),
            "study USING INDEX sqlite_autoindex_study",
        ),
        (query("SERIES", **BELOW), "series USING INDEX sqlite_autoindex_series"),
        (
            query("IMAGE", negotiated=RELATIONAL, SOPInstanceUID="1.4"),
            "instance USING INDEX sqlite_autoindex_instance",
        ),
    ],
)
def test_the_search_begins_at(empty: Index, asked: Query, begins: str) -> None:
    found = [line for line in searched(empty, asked) if line.startswith(("SEARCH", "SCAN"))]
    assert begins in found[0].replace("COVERING ", "")


def test_nothing_is_read_whole_for_the_usual_keys(empty: Index) -> None:
    for asked in (
        query("STUDY", PatientName="Doe*", **RANGE, ModalitiesInStudy="CT"),
        query("IMAGE", **BELOW, SOPInstanceUID=""),
        query("STUDY", StudyInstanceUID=[f"1.2.{number}" for number in range(500)]),
    ):
        for line in searched(empty, asked):
            assert not line.startswith("SCAN") or "json_each" in line
