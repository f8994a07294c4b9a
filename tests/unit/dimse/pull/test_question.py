"""What a row asks for, and whether an answer is one to it."""

from __future__ import annotations

import pytest

from node.dimse.pull.question import BadKey, matches, question


def test_keys_go_to_their_level() -> None:
    asked = question({"PatientID": "1", "Modality": "SR"}, {"SeriesDescription": "T1*"})
    assert asked.study == {"PatientID": "1"}
    assert asked.series == {"Modality": "SR", "SeriesDescription": "T1*"}


def test_a_series_alone_is_enough() -> None:
    assert question({"SeriesInstanceUID": "1.2.3"}, {}).study == {}


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"PatientID": "*"}, "all of them"),
        ({"Modality": "CT"}, "all of them"),
        ({}, "all of them"),
        ({"PatientIdd": "1"}, "PatientIdd"),
        ({"StudyInstanceUID": "x.y"}, "x.y"),
        ({"StudyDate": "yesterday"}, "yesterday"),
        ({"StudyDate": "2023"}, "2023"),
        ({"PatientID": "1", "InstanceNumber": "3"}, "InstanceNumber"),
    ],
)
def test_what_cannot_be_asked(keys: dict[str, str], named: str) -> None:
    with pytest.raises(BadKey, match=named):
        question(keys, {})


@pytest.mark.parametrize(
    ("keys", "answered", "is_one"),
    [
        ({"PatientID": "W*1?"}, {"PatientID": "WX1Y"}, True),
        ({"PatientID": "W*1?"}, {"PatientID": "V"}, False),
        ({"PatientID": "ABC"}, {"PatientID": "abc"}, True),
        ({"PatientID": "ABC"}, {}, False),
        ({"PatientID": "ABC"}, {"PatientID": ""}, False),
        ({"StudyInstanceUID": "1.2"}, {"StudyInstanceUID": "1.3"}, False),
        ({"StudyInstanceUID": "1.2\\1.3"}, {"StudyInstanceUID": "1.3"}, True),
        ({"StudyDate": "20230101-20230131"}, {"StudyDate": "20230131"}, True),
        ({"StudyDate": "20230101-20230131"}, {"StudyDate": "20230201"}, False),
        ({"PatientName": "山田*"}, {"PatientName": "山田^太郎"}, True),
        ({"ModalitiesInStudy": "MR"}, {"ModalitiesInStudy": "CT\\MR"}, True),
        ({"SeriesNumber": "3"}, {"SeriesNumber": "003"}, True),
    ],
)
def test_only_answers_to_the_question_count(
    keys: dict[str, str], answered: dict[str, str], is_one: bool
) -> None:
    assert matches(keys, answered) is is_one
