"""`matches`: the definition of matching, kind by kind (PS3.4 C.2.2.2)."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from node.core.query_keys import fold
from node.dicom.matching import Model, Negotiated, matches, returned
from tests.unit.dicom.matching.identifiers import query

COMBINED = Negotiated(combined=True)


@pytest.mark.parametrize(
    ("key", "name", "found"),
    [
        ("Doe^John", "Doe^John", True),
        ("DOE^JOHN", "Doe^John", True),
        ("Doe", "Doe^John", False),
        ("Doe*", "Doe^John", True),
        ("Doe^*", "Doe", True),
        ("Doe^John^^^", "Doe^John", True),
        ("Doe^John", "Doe^John^^", True),
        ("Muller*", "Müller^Jürgen", True),
        ("MÜLLER^J*", "Müller^Jürgen", True),
        ("?ó??^*", "Żółć^Łukasz", True),
        ("Żołć^Łukasz", "Żółć^Łukasz", False),
        ("Muller^Jurgen", "Müller^Jürgen", True),
        ("Müller*", "Muller^Jurgen", False),
        ("?ó??^*", "Golf^Many", False),
        ("Yamada^Tarou", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("Yamada*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("*=山田*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("*山田^太郎*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("山田^太郎", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("=山田^太郎", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("Yamada*=川田*", "Yamada^Tarou=山田^太郎=やまだ^たろう", False),
        ("かとう*", "Gato^Hana=加藤^花=がとう^はな", False),
        ("がとう*", "Gato^Hana=加藤^花=がとう^はな", True),
        ("O'Neil^S*", "o'neil^sean", True),
        ("Doe ^ John", "Doe^John", True),
        ("^^", "Doe^John", True),
    ],
)
def test_person_names(key: str, name: str, found: bool) -> None:
    asked = query("STUDY", charset="ISO_IR 192", PatientName=key)
    assert matches(asked, {"PatientName": name}) is found


def test_folding_is_stable() -> None:
    for text in ("Straße", "ŻÓŁĆ", "㎒", "ΣΊΣΥΦΟΣ", "İstanbul", "が", "Å"):
        assert fold(fold(text)) == fold(text) == fold(text.upper())


@pytest.mark.parametrize(
    ("keys", "record", "found"),
    [
        ({"AccessionNumber": "a1"}, {"AccessionNumber": "A1"}, False),
        ({"AccessionNumber": "A1 "}, {"AccessionNumber": "A1"}, True),
        ({"AccessionNumber": "A_1"}, {"AccessionNumber": "AX1"}, False),
        ({"StudyDescription": "Sch?del"}, {"StudyDescription": "Schädel"}, True),
        ({"StudyDescription": ["CT*", "MR*"]}, {"StudyDescription": "MR Knee"}, True),
        ({"ModalitiesInStudy": "MR"}, {"ModalitiesInStudy": "CT\\MR"}, True),
        ({"ModalitiesInStudy": "M*"}, {"ModalitiesInStudy": "CT\\MR"}, True),
        ({"ModalitiesInStudy": "CT\\PT"}, {"ModalitiesInStudy": "CT\\MR"}, True),
        ({"ModalitiesInStudy": "C"}, {"ModalitiesInStudy": "CT"}, False),
        ({"NumberOfStudyRelatedSeries": "3"}, {"NumberOfStudyRelatedSeries": "3"}, True),
        ({"PatientAge": "045Y"}, {"PatientAge": "045Y"}, True),
        ({"PatientWeight": "70"}, {"PatientWeight": "70.0"}, True),
        ({"PatientWeight": "70"}, {"PatientWeight": "nan"}, False),
    ],
)
def test_other_values(keys, record, found: bool) -> None:
    assert matches(query("STUDY", **keys), record) is found


def test_an_unknown_required_key_matches_anything() -> None:
    for record in ({}, {"AccessionNumber": ""}):
        assert matches(query("STUDY", AccessionNumber="A1"), record)
        assert matches(query("STUDY", PatientName="A*"), record)
        assert matches(query("STUDY", StudyDate="20200101-"), record)


def test_an_unknown_optional_key_matches_nothing() -> None:
    for record in ({}, {"StudyDescription": ""}):
        assert not matches(query("STUDY", StudyDescription="A*"), record)


def test_the_patient_id_is_the_unique_key_of_patient_root() -> None:
    assert matches(query("STUDY", Model.STUDY, PatientID="A"), {})
    assert not matches(query("PATIENT", Model.PATIENT, PatientID="A"), {})


def test_all_keys_have_to_match() -> None:
    asked = query("STUDY", PatientID="A", StudyDate="20200101")
    assert matches(asked, {"PatientID": "A", "StudyDate": "20200101"})
    assert not matches(asked, {"PatientID": "A", "StudyDate": "20200102"})


RANGE = {"StudyDate": "20200101-20200103", "StudyTime": "100000-130000"}


@pytest.mark.parametrize(
    ("date", "time", "apart", "together"),
    [
        ("20200101", "093000", False, False),
        ("20200101", "100000", True, True),
        ("20200102", "235959", False, True),
        ("20200103", "130000", True, True),
        ("20200103", "130001", False, False),
        ("20200102", "", True, True),
        ("", "", True, True),
        ("20200104", "", False, False),
    ],
)
def test_date_and_time_count_together_only_once_negotiated(date, time, apart, together) -> None:
    record = {"StudyDate": date, "StudyTime": time}
    assert matches(query("STUDY", **RANGE), record) is apart
    assert matches(query("STUDY", negotiated=COMBINED, **RANGE), record) is together


def test_ranges_of_different_forms_stay_apart() -> None:
    asked = query("STUDY", negotiated=COMBINED, StudyDate="20200101-20200103", StudyTime="1000-")
    assert not asked.combined


def test_no_value_once_negotiated() -> None:
    asked = query(
        "STUDY", negotiated=Negotiated(empty_values=True), StudyDescription='""', StudyID='""'
    )
    assert matches(asked, {})
    assert not matches(asked, {"StudyDescription": "x"})
    literal = query("STUDY", StudyDescription='""')
    assert matches(literal, {"StudyDescription": '""'})


def test_every_value_once_negotiated() -> None:
    asked = query(
        "STUDY", negotiated=Negotiated(multiple_values=True), ModalitiesInStudy=["CT", "PT"]
    )
    assert matches(asked, {"ModalitiesInStudy": "CT\\PT\\SR"})
    assert not matches(asked, {"ModalitiesInStudy": "CT\\SR"})


ITEMS = [
    {"ScheduledProcedureStepID": "S1", "RequestedProcedureID": "R1"},
    {"ScheduledProcedureStepID": "S2", "RequestedProcedureID": "R2"},
]


def asked_for(**keys: str):
    item = Dataset()
    for keyword, value in keys.items():
        setattr(item, keyword, value)
    return query("SERIES", StudyInstanceUID="1", RequestAttributesSequence=item)


def test_one_item_of_a_sequence_is_enough() -> None:
    record = {"StudyInstanceUID": "1", "RequestAttributesSequence": ITEMS}
    assert matches(asked_for(ScheduledProcedureStepID="S2"), record)
    assert not matches(asked_for(ScheduledProcedureStepID="S3"), record)
    assert not matches(asked_for(ScheduledProcedureStepID="S1", RequestedProcedureID="R2"), record)
    assert not matches(asked_for(ScheduledProcedureStepID="S1"), {"StudyInstanceUID": "1"})
    assert matches(asked_for(ScheduledProcedureStepID=""), {"StudyInstanceUID": "1"})


def test_of_a_sequence_what_matches_comes_back() -> None:
    def back(asked):
        key = next(k for k in asked.keys if k.attribute.vr == "SQ")
        return returned(key, ITEMS)

    assert back(asked_for(ScheduledProcedureStepID="S2")) == [{"ScheduledProcedureStepID": "S2"}]
    assert back(asked_for()) == ITEMS
    assert back(asked_for(RequestedProcedureID="")) == [
        {"RequestedProcedureID": "R1"},
        {"RequestedProcedureID": "R2"},
    ]
