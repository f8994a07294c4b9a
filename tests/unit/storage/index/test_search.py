"""What SQL finds is what `matches` says, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from node.core.query_keys import Level
from node.core.records import InstanceRecord
from node.dicom.matching import Model, Negotiated, Query, Retrieve, matches
from node.dicom.matching.key_conditions import MAX_VALUES
from node.storage.index.engine import Index
from node.storage.index.search.search import Search
from node.storage.index.store import Store
from tests.databases import migrated_postgresql, migrated_sqlite
from tests.unit.dicom.matching.identifiers import query

CT = "1.2.840.10008.5.1.4.1.1.2"
RELATIONAL = Negotiated(relational=True)
NAMES = (
    "Doe^John", "Doe^Jane^Q", "doe^JOHN^", "Doe", "Döe^Jöhn", "O'Neil^S", "D_e^J%n", "D[o]e^*",
    "Yamada^Tarou=山田^太郎=やまだ^たろう", "=山田", "", "Müller^Jürgen", "Dof", "\U0010ffff",
)  # fmt: skip
TEXTS = ("", "A", "a", "A1", "A_1", "A%1", "A[1]", "AB", "B", "A?1", "Ä", "A\\1", "50%_x", "**")
DATES = ("", "20200101", "20200102", "20200103", "20200229", "2020.01.01", "x")
TIMES = ("", "093000", "0930", "09", "100000", "130000.5", "235959.999999", "09:30:00", "x")
MODALITIES = ("CT", "MR", "SR", "")
NUMBERS = ("", "1", "2", "02", "+1", "x", "12", "2147483647")


def _studies() -> Iterator[dict[str, str]]:
    for number in range(140):
        yield {
            "PatientID": f"P{number % 30}" if number % 11 else "",
            "PatientName": NAMES[number % 30 % len(NAMES)] if number % 11 else "",
            "PatientBirthDate": DATES[number % 30 % 5] if number % 11 else "",
            "PatientSex": ("M", "F", "", "O")[number % 30 % 4] if number % 11 else "",
            "StudyInstanceUID": f"1.2.{number}",
            "StudyDate": DATES[number % len(DATES)],
            "StudyTime": TIMES[number * 5 % len(TIMES)],
            "AccessionNumber": TEXTS[number * 3 % len(TEXTS)],
            "StudyDescription": TEXTS[number * 5 % len(TEXTS)],
            "StudyID": TEXTS[number % len(TEXTS)],
            "ReferringPhysicianName": NAMES[number * 3 % len(NAMES)],
            "PatientAge": ("", "045Y", "046Y")[number % 3],
        }


def _series(study: dict[str, str], number: int) -> Iterator[dict[str, Any]]:
    for part in range(number % 3 + 1):
        yield study | {
            "SeriesInstanceUID": f"{study['StudyInstanceUID']}.{part}",
            "Modality": MODALITIES[(number + part * 3) % len(MODALITIES)],
            "SeriesNumber": NUMBERS[(number + part) % len(NUMBERS)],
            "SeriesDate": DATES[(number + part) % len(DATES)],
            "SeriesTime": TIMES[(number + part) % len(TIMES)],
            "SeriesDescription": TEXTS[(number + part * 5) % len(TEXTS)],
            "RequestAttributesSequence": [{"ScheduledProcedureStepID": TEXTS[number % 7]}],
        }


def _instances() -> Iterator[dict[str, Any]]:
    for number, study in enumerate(_studies()):
        for series, one in product(_series(study, number), range(2)):
            yield series | {
                "SOPInstanceUID": f"{series['SeriesInstanceUID']}.{one}",
                "SOPClassUID": CT,
                "InstanceNumber": NUMBERS[(number + one) % len(NUMBERS)],
                "ImageType": ("ORIGINAL\\PRIMARY", "DERIVED\\PRIMARY\\AXIAL")[one],
            }


INSTANCES = list(_instances())


def _record(attributes: dict[str, Any]) -> InstanceRecord:
    uid = attributes["SOPInstanceUID"]
    return InstanceRecord(
        sop_instance_uid=uid,
        sop_class_uid=CT,
        series_instance_uid=attributes["SeriesInstanceUID"],
        study_instance_uid=attributes["StudyInstanceUID"],
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=uid,
        size=1,
        sha256=uid,
        data_set_offset=0,
        pixel_offset=None,
        pixel_length=None,
        attributes={k: v for k, v in attributes.items() if v or len(uid) % 2},
        header=b"",
        received_at=1.0,
    )


def _entities(level: Level) -> dict[str, dict[str, Any]]:
    """What there is at a level, by its first instance, with what the index keeps of it."""
    unique = {
        Level.PATIENT: "PatientID",
        Level.STUDY: "StudyInstanceUID",
        Level.SERIES: "SeriesInstanceUID",
        Level.IMAGE: "SOPInstanceUID",
    }
    first: dict[str, dict[str, Any]] = {}
    for one in INSTANCES:
        first.setdefault(one[unique[level]], dict(one))
    for entity in first.values():
        of_study = [i for i in INSTANCES if i["StudyInstanceUID"] == entity["StudyInstanceUID"]]
        found = {i["Modality"] for i in of_study if i["Modality"]}
        entity["ModalitiesInStudy"] = "\\".join(sorted(found))
        entity["SOPClassesInStudy"] = CT
        entity["NumberOfStudyRelatedSeries"] = str(len({i["SeriesInstanceUID"] for i in of_study}))
    return first


UNIQUE = {
    Level.PATIENT: "PatientID",
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.IMAGE: "SOPInstanceUID",
}
ENTITIES = {level: _entities(level) for level in Level}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def search(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Search]:
    """Filled once: nothing here writes."""
    with ExitStack() as database:
        if request.param == "sqlite":
            url = migrated_sqlite(tmp_path_factory.mktemp("index") / "index.db")
        else:
            server = request.getfixturevalue("server")
            url = database.enter_context(migrated_postgresql(server))
        index = Index(url)
        database.callback(index.close)
        Store(index).add([(_record(one), None) for one in INSTANCES])
        yield Search(index)


def _bent(texts: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Values that are there, with wildcards in them, in other cases, cut short."""
    text = st.sampled_from([t for t in texts if t])
    return st.one_of(
        text,
        text.map(str.swapcase),
        text.map(lambda t: t[:1] + "*"),
        text.map(lambda t: "*" + t[-1:]),
        text.map(lambda t: "?" * len(t)),
        text.map(lambda t: t[:1] + "?" + t[2:]),
        text.map(lambda t: "*" + t[1:-1] + "*"),
        text.map(lambda t: "*" * 9 + "*".join(t) + "*"),
        st.text("AaB1*?_%[]\\", max_size=4),
        st.just("*"),
        st.just('""'),
    )


def _ranges(values: tuple[str, ...], least: str) -> st.SearchStrategy[str]:
    value = st.sampled_from([v for v in values if v[:1].isdigit() or v == least])
    return st.one_of(
        value,
        st.tuples(value, value).map("-".join),
        value.map(lambda v: f"-{v}"),
        value.map(lambda v: f"{v}-"),
    )


def _uids(keyword: str) -> st.SearchStrategy[list[str]]:
    known = st.sampled_from(sorted({i[keyword] for i in INSTANCES}))
    return st.lists(known | st.just("9.9"), min_size=1, max_size=90)


@st.composite
def _item(draw: st.DrawFn) -> Dataset:
    made = Dataset()
    with disable_value_validation():
        made.ScheduledProcedureStepID = draw(_bent(TEXTS))
    return made


KEYS: dict[Level, dict[str, st.SearchStrategy[Any]]] = {
    Level.PATIENT: {
        "PatientID": _bent(tuple(f"P{n}" for n in range(30))),
        "PatientName": _bent(NAMES) | st.sampled_from(["Doe^*", "*=山田*", "=山田", "*=*", "^"]),
        "PatientBirthDate": _ranges(DATES, "20200101"),
        "PatientSex": st.sampled_from(["M", "F\\O", "?"]),
    },
    Level.STUDY: {
        "StudyInstanceUID": _uids("StudyInstanceUID"),
        "StudyDate": _ranges(DATES, "20200101"),
        "StudyTime": _ranges(TIMES, "0930"),
        "AccessionNumber": _bent(TEXTS),
        "StudyDescription": _bent(TEXTS),
        "StudyID": _bent(TEXTS),
        "ReferringPhysicianName": _bent(NAMES),
        "ModalitiesInStudy": st.sampled_from(["CT", "M*", "CT\\SR", "?R", "XX", '""']),
        "NumberOfStudyRelatedSeries": st.sampled_from(["1", "2\\3", "1.5", "99999999999"]),
        "SOPClassesInStudy": st.sampled_from([CT, "1.2.3"]),
        "PatientAge": st.sampled_from(["045Y", "046Y\\045Y"]),
    },
    Level.SERIES: {
        "SeriesInstanceUID": _uids("SeriesInstanceUID"),
        "Modality": st.sampled_from(["CT", "C*", "MR\\SR", '""']),
        "SeriesNumber": st.sampled_from(["1", "2", "12", "1.5", "99999999999999"]),
        "SeriesDate": _ranges(DATES, "20200101"),
        "SeriesTime": _ranges(TIMES, "0930"),
        "SeriesDescription": _bent(TEXTS),
        "RequestAttributesSequence": _item(),
    },
    Level.IMAGE: {
        "SOPInstanceUID": _uids("SOPInstanceUID"),
        "SOPClassUID": st.sampled_from([CT, "1.2.3"]),
        "InstanceNumber": st.sampled_from(["1", "02", "+1"]),
        "ImageType": st.sampled_from(["PRIMARY", "ORIGINAL\\AXIAL", "DER*"]),
    },
}


@st.composite
def queries(draw: st.DrawFn) -> Query:
    level = draw(st.sampled_from(list(Level)))
    model = Model.PATIENT if level is Level.PATIENT else draw(st.sampled_from(list(Model)))
    levels = list(Level)[: list(Level).index(level) + 1]
    allowed = {k: s for one in levels for k, s in KEYS[one].items()}
    chosen = draw(st.lists(st.sampled_from(sorted(allowed)), max_size=3, unique=True))
    keys = {keyword: draw(allowed[keyword]) for keyword in chosen}
    agreed = Negotiated(True, draw(st.booleans()), draw(st.booleans()), draw(st.booleans()))
    keys.setdefault(UNIQUE[level], "")
    return query(level, model, agreed, "ISO_IR 192", **keys)


def _answers(search: Search, asked: Query) -> list[str]:
    unique = UNIQUE[asked.level]
    return sorted(str(found.get(unique, "")) for found in search.find(asked))


def _expected(asked: Query) -> list[str]:
    return sorted(uid for uid, one in ENTITIES[asked.level].items() if matches(asked, one))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(asked=queries())
@example(asked=query("STUDY", StudyDescription="A*", StudyInstanceUID=""))
@example(
    asked=query(
        "STUDY",
        negotiated=Negotiated(multiple_values=True),
        ModalitiesInStudy="CT\\SR",
        StudyInstanceUID="",
    )
)
@example(
    asked=query(
        "STUDY", ModalitiesInStudy="CT", NumberOfStudyRelatedSeries="1.5", StudyInstanceUID=""
    )
)
@example(asked=query("STUDY", PatientName="Doe*", StudyInstanceUID=""))
@example(asked=query("STUDY", charset="ISO_IR 192", PatientName="D?e^J*", StudyInstanceUID=""))
@example(asked=query("STUDY", charset="ISO_IR 192", PatientName="D?e^Jö*", StudyInstanceUID=""))
@example(asked=query("PATIENT", Model.PATIENT, PatientBirthDate="-20200102", PatientID=""))
@example(
    asked=query(
        "SERIES",
        negotiated=Negotiated(relational=True, combined=True),
        SeriesInstanceUID="",
        SeriesDate="20200101-20200103",
        SeriesTime="0930-1000",
    )
)
@example(asked=query("STUDY", PatientName="*=*", StudyInstanceUID=""))
@example(asked=query("STUDY", AccessionNumber="A\x00*", StudyInstanceUID=""))
def test_sql_finds_what_matches(search: Search, asked: Query) -> None:
    assert _answers(search, asked) == _expected(asked)


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("AccessionNumber", [f"A{n}*" for n in range(MAX_VALUES)]),
        ("AccessionNumber", [f"A{n}" for n in range(MAX_VALUES)]),
        ("PatientName", [f"Doe^J{n}^*" for n in range(MAX_VALUES - 1)] + ["Doe^J*^*"]),
        ("ReferringPhysicianName", [f"Doe^J{n}^*" for n in range(MAX_VALUES - 1)] + ["Doe^J*"]),
        ("StudyDate", [f"{n + 1990:04d}0101" for n in range(MAX_VALUES)]),
        ("ModalitiesInStudy", [f"C{n}*" for n in range(MAX_VALUES - 1)] + ["CT"]),
        ("NumberOfStudyRelatedSeries", [str(n) for n in range(MAX_VALUES)]),
        ("StudyDescription", ["A*" + "?" * 300, "A"]),
    ],
)
@pytest.mark.parametrize("every", [False, True])
def test_keys_with_many_values(search: Search, keyword, values, every: bool) -> None:
    agreed = Negotiated(multiple_values=every)
    asked = query("STUDY", negotiated=agreed, StudyInstanceUID="", **{keyword: values})
    assert _answers(search, asked) == _expected(asked)


def test_the_oracle_is_not_always_empty() -> None:
    asked = query("STUDY", PatientName="Doe^J*", StudyInstanceUID="")
    assert 0 < len(_expected(asked)) < len(ENTITIES[Level.STUDY])


def test_the_first_row_comes_before_the_last_is_read(search: Search) -> None:
    rows = search.find(query("STUDY", StudyInstanceUID="", StudyDate=""))
    assert next(rows)["StudyInstanceUID"]
    rows.close()  # gives the connection back


def test_nobody_waits_for_rows_that_do_not_match(search: Search) -> None:
    asked = query("IMAGE", negotiated=RELATIONAL, ImageType="NOTHING", SOPInstanceUID="")
    looked: list[bool] = []
    assert list(search.find(asked, lambda: bool(looked.append(True)) or True)) == []
    assert len(looked) == 1


def test_values_come_back_as_they_were_kept(search: Search) -> None:
    asked = query(
        "SERIES",
        StudyInstanceUID="1.2.8",
        SeriesInstanceUID="",
        SeriesNumber="",
        PatientName="",
        StudyDate="",
        ModalitiesInStudy="",
        NumberOfSeriesRelatedInstances="",
        NumberOfStudyRelatedInstances="",
    )
    found = sorted(search.find(asked), key=lambda record: record["SeriesInstanceUID"])
    assert [record["SeriesNumber"] for record in found] == ["", "1", "2"]
    assert {record["PatientName"] for record in found} == {NAMES[8]}
    assert {record["ModalitiesInStudy"] for record in found} == {"CT\\SR"}
    assert {record["NumberOfSeriesRelatedInstances"] for record in found} == {"2"}
    assert {record["NumberOfStudyRelatedInstances"] for record in found} == {"6"}


@pytest.mark.parametrize(
    ("uids", "expected"),
    [
        (((Level.STUDY, ("1.2.1",)),), ["1.2.1.0.0", "1.2.1.0.1", "1.2.1.1.0", "1.2.1.1.1"]),
        (((Level.STUDY, ("1.2.1",)), (Level.SERIES, ("1.2.1.1",))), ["1.2.1.1.0", "1.2.1.1.1"]),
        (((Level.STUDY, ("1.2.1",)), (Level.SERIES, ("1.2.2.1",))), []),
        (((Level.IMAGE, ("1.2.1.0.1", "1.2.2.0.0", "9")),), ["1.2.1.0.1", "1.2.2.0.0"]),
        (((Level.PATIENT, ("P1",)), (Level.STUDY, ("1.2.31",))), None),
    ],
)
def test_retrievals(search: Search, uids, expected) -> None:
    rows = search.select(Retrieve(Level.STUDY, uids))
    found = [one.sop_instance_uid for one in search.sendable(rows)]
    if expected is None:
        assert all(uid.startswith("1.2.31.") for uid in found)
        assert found
    else:
        assert sorted(found) == expected


def test_a_retrieval_of_many(search: Search) -> None:
    every = tuple(one["SOPInstanceUID"] for one in INSTANCES)
    rows = search.select(Retrieve(Level.IMAGE, ((Level.IMAGE, every),)))
    assert len(rows) == len(every)
    assert {one.sop_instance_uid for one in search.sendable(rows)} == set(every)
